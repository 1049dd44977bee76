"""Recorded curves as a tabular benchmark: an evaluation looks a run up instead of training it.

Budgets are epochs. A configuration that was not recorded is answered by the nearest recorded
one; every evaluation says how far away that was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import ConfigSpace
import numpy as np
import pandas as pd
from ConfigSpace import UniformFloatHyperparameter, UniformIntegerHyperparameter
from scipy.spatial import cKDTree

from curvecast.curves import CurveSet, DataError
from curvecast.studies.early import EarlyEnd, Ended
from curvecast.studies.evaluation import Config, Evaluation, EvaluationError, Trial
from curvecast.studies.spaces import of_curves


class Recorded:
    """The loss of a configuration after `budget` epochs, from recorded curves.

    A run costs the epochs that it was not trained for on lower rungs.

    Parameters
    ----------
    curves : the recorded runs.
    space : search space; default: the box around the recorded configurations. A parameter `lr`
        stands for a column `lr`, `hp_lr` or `ap_lr`.
    early : ends evaluations before their budget; default: none is ended.
    """

    def __init__(
        self,
        curves: CurveSet,
        space: ConfigSpace.ConfigurationSpace | None = None,
        early: EarlyEnd | None = None,
    ) -> None:
        self.curves, self.early = curves, early
        self.space = of_curves(curves) if space is None else space
        self.losses = -curves.sign * curves.values
        self._columns = [_column_of(curves, name) for name in self.space]
        recorded = curves.configs[self._columns].set_axis(list(self.space), axis=1)
        self._tree = cKDTree(scaled(self.space, recorded))

    def identity(self) -> dict[str, Any]:
        """Name and content of the collection, and the rule."""
        content = hashlib.sha256(np.ascontiguousarray(self.curves.values).tobytes())
        content.update(self.curves.configs.to_csv(index=False).encode())
        return {
            "recorded": self.curves.name,
            "content": content.hexdigest(),
            "early": None if self.early is None else self.early.identity(),
        }

    def nearest(self, config: Config) -> tuple[int, float]:
        """Row of the nearest recorded configuration and its distance in the scaled space.

        Every parameter spans 0..1 (logarithms on a log scale), a different category is at
        distance 1, and of equally near rows the first one counts.
        """
        point = scaled(self.space, pd.DataFrame([config], columns=list(self.space)))
        distance, row = self._tree.query(point[0])
        return int(row), float(distance)

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Look up the loss; see `evaluation.Objective` for the information that comes with it."""
        row, distance = self.nearest(config)
        end = int(np.searchsorted(self.curves.epochs, trial.budget, side="right")) - 1
        if end < 0:
            raise DataError(
                f"budget {trial.budget:g} lies before the first recorded epoch",
                file=self.curves.name,
            )
        info = {"row": row, "distance": distance, "trained": trial.budget}
        ended = self._ended(row, trial)
        if ended is not None:
            info |= {"trained": max(ended.epoch, trial.trained), "stopped": ended.epoch}
            loss = ended.loss
        else:
            loss = float(self.losses[row, end])
            if not np.isfinite(loss):
                raise EvaluationError(f"run {self.curves.configs['id'].iloc[row]} diverged")
        return {"loss": loss, "info": {**info, "cost": info["trained"] - trial.trained}}

    def _ended(self, row: int, trial: Trial) -> Ended | None:
        if self.early is None:
            return None
        judge = self.early.judge(trial, self._observed, run=row)
        run = self.curves.take([row])
        return next(filter(None, (judge.ends(run, epoch) for epoch in judge.looks)), None)

    def _observed(self, evaluations: Sequence[Evaluation]) -> CurveSet:
        """The recorded runs behind evaluations, each once."""
        return self.curves.take(list(dict.fromkeys(e.info["row"] for e in evaluations)))


def scaled(space: ConfigSpace.ConfigurationSpace, configs: pd.DataFrame) -> np.ndarray:
    """Configurations as points in which every parameter spans 0..1, shape (n, n_coordinates).

    Categories are one-hot over the root of 2, so that two of them are at distance 1. A parameter
    that is missing (inactive) lies in the middle.
    """
    parts = []
    for name, parameter in space.items():
        values = configs[name]
        if isinstance(parameter, ConfigSpace.CategoricalHyperparameter):
            same = values.to_numpy()[:, None] == np.array(parameter.choices, dtype=object)
            parts.append(same / np.sqrt(2))
            continue
        if not isinstance(parameter, UniformFloatHyperparameter | UniformIntegerHyperparameter):
            raise DataError("neither a number nor a category", column=name)
        low, high, numbers = parameter.lower, parameter.upper, values.to_numpy(dtype=np.float64)
        if parameter.log:
            low, high, numbers = np.log(low), np.log(high), np.log(numbers)
        unit = (numbers - low) / (high - low)
        parts.append(np.where(np.isnan(unit), 0.5, unit)[:, None])
    return np.concatenate(parts, axis=1).astype(np.float64)


def _column_of(curves: CurveSet, name: str) -> str:
    for column in (name, f"hp_{name}", f"ap_{name}"):
        if column in curves.configs:
            return column
    raise DataError(
        "the search space has a parameter that was not recorded", file=curves.name, column=name
    )
