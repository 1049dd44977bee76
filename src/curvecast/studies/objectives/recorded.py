"""Evaluates configurations on recorded curves: reads a run instead of training it.

Budgets are epochs. For a configuration that was not recorded the nearest recorded one counts that
the study has not used yet, and every evaluation reports its distance. (If repeats were allowed, a
search in a good region would read one and the same run again and again, which no real training
does, and a stopping rule would know its end beforehand.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ConfigSpace
import numpy as np
import pandas as pd
from ConfigSpace import UniformFloatHyperparameter, UniformIntegerHyperparameter

from curvecast.curves import CurveSet, DataError
from curvecast.studies import identity
from curvecast.studies.early import EarlyEnd, Ended
from curvecast.studies.evaluation import Config, Evaluation, Objective, Trial, native
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import layers, of_curves


class Recorded(Objective):
    """The loss of a configuration after `budget` epochs, from recorded curves.

    A run costs the epochs that it was not trained for on lower rungs.

    Parameters
    ----------
    curves : the recorded runs.
    space : search space; default: the box around the recorded configurations. A parameter `lr`
        stands for a column `lr`, `hp_lr`, `ap_lr` or `info_lr`.
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
        self.possible = layers.possible(self.space)
        self.losses = -curves.sign * curves.values
        self._columns = [_column_of(curves, name) for name in self.space]
        recorded = curves.configs[self._columns].set_axis(list(self.space), axis=1)
        self._points = scaled(self.space, recorded)
        self._recorded = _legal(self.space, recorded)

    def identity(self) -> dict[str, Any]:
        """Name and content of the collection, and the rule."""
        return {
            "recorded": self.curves.name,
            "content": identity.of_curves(self.curves),
            "early": None if self.early is None else self.early.identity(),
        }

    def check(self, settings: Settings) -> None:
        """The curves are long enough, and the rule has a predictor."""
        if settings.max_budget > self.curves.last_epoch:
            raise DataError(
                f"max_budget {settings.max_budget:g} lies after the last recorded epoch "
                f"{self.curves.last_epoch}",
                file=self.curves.name,
            )
        if self.early is not None:
            self.early.make()

    def nearest(self, config: Config, used: Collection[int] = ()) -> tuple[int, float]:
        """Row of the nearest unused recorded configuration and its distance in the scaled space.

        Every parameter spans 0..1 (logarithms on a log scale), a different category is at
        distance 1, and of equally near rows the first one counts. Once all rows are used, all
        may be used again.
        """
        point = scaled(self.space, {name: [config.get(name)] for name in self.space})
        distances = np.sqrt(((self._points - point) ** 2).sum(axis=1))
        free = np.ones(len(distances), dtype=bool)
        free[list(used)] = False
        row = int(np.argmin(np.where(free | ~free.any(), distances, np.inf)))
        return row, float(distances[row])

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Read the loss; see `evaluation.Objective` for the information that comes with it.

        `row`, `distance` and, where the space holds it, the recorded configuration as `evaluated`
        are added; a run that is not finite at the budget has diverged.
        """
        end = int(np.searchsorted(self.curves.epochs, trial.budget, side="right")) - 1
        if end < 0:
            raise DataError(
                f"budget {trial.budget:g} lies before the first recorded epoch",
                file=self.curves.name,
            )
        rows = {e.id: e.info["row"] for e in trial.history}
        used = set(rows.values())
        if trial.id in rows:
            used = set(range(len(self.curves))) - {rows[trial.id]}
        row, distance = self.nearest(config, used)
        info: dict[str, Any] = {"row": row, "distance": distance, "trained": trial.budget}
        if "end_test_accuracy" in self.curves.configs:
            info["test"] = self.curves.configs["end_test_accuracy"].iloc[row]
        if (evaluated := self._recorded[row]) is not None:
            info["evaluated"] = evaluated
        ended = self._ended(row, trial)
        if ended is not None:
            info |= {"trained": max(ended.epoch, trial.trained), "stopped": ended.epoch}
            loss = ended.loss
        else:
            loss = float(self.losses[row, end])
            if not np.isfinite(loss):
                info["reason"] = f"run {self.curves.configs['id'].iloc[row]} diverged"
        return {"loss": loss, "info": {**info, "cost": info["trained"] - trial.trained}}

    def _ended(self, row: int, trial: Trial) -> Ended | None:
        if self.early is None:
            return None
        rule = self.early.rule(trial, self._observed)
        if rule is None:
            return None
        run = self.curves.take([row])
        return next(filter(None, (rule.ends(run, epoch) for epoch in rule.needed)), None)

    def _observed(self, evaluations: Sequence[Evaluation]) -> CurveSet:
        """The recorded runs behind evaluations."""
        return self.curves.take(list(dict.fromkeys(e.info["row"] for e in evaluations)))


def scaled(
    space: ConfigSpace.ConfigurationSpace, configs: Mapping[str, Any] | pd.DataFrame
) -> np.ndarray:
    """Configurations as points in which every parameter spans 0..1, shape (n, n_coordinates).

    Categories are one-hot over the root of 2, so that two of them are at distance 1. A parameter
    that is missing (inactive) lies in the middle.
    """
    parts = []
    for name, parameter in space.items():
        values = np.asarray(configs[name])
        if isinstance(parameter, ConfigSpace.CategoricalHyperparameter):
            same = values[:, None] == np.array(parameter.choices, dtype=object)
            parts.append(same / np.sqrt(2))
            continue
        (low, high), numbers = _bounds(name, parameter), values.astype(np.float64)
        if getattr(parameter, "log", False):
            low, high, numbers = np.log(low), np.log(high), np.log(numbers)
        unit = (numbers - low) / (high - low)
        parts.append(np.where(np.isnan(unit), 0.5, unit)[:, None])
    return np.concatenate(parts, axis=1).astype(np.float64)


def _bounds(name: str, parameter: object) -> tuple[float, float]:
    if not isinstance(parameter, UniformFloatHyperparameter | UniformIntegerHyperparameter):
        raise DataError("neither a number nor a category", column=name)
    return parameter.lower, parameter.upper


def _legal(space: ConfigSpace.ConfigurationSpace, recorded: pd.DataFrame) -> list[Config | None]:
    """Recorded configurations as such of the space; None where it does not hold one.

    That is a missing value, another category, or a space with conditions. Numbers move to the
    nearest bound (ConfigSpace rounds the bounds of a space around recorded ones).
    """
    held = np.full(len(recorded), not space.conditions)
    columns = {}
    for name, parameter in space.items():
        if isinstance(parameter, ConfigSpace.CategoricalHyperparameter):
            columns[name] = recorded[name].astype(object)
            held &= recorded[name].isin(parameter.choices).to_numpy()
            continue
        values = recorded[name].astype(np.float64).clip(*_bounds(name, parameter))
        held &= values.notna().to_numpy()
        whole = isinstance(parameter, UniformIntegerHyperparameter)
        columns[name] = values.fillna(0).round().astype(np.int64) if whole else values
    rows = pd.DataFrame(columns).astype(object).to_dict("records")
    return [native(row) if legal else None for row, legal in zip(rows, held, strict=True)]


def _column_of(curves: CurveSet, name: str) -> str:
    for column in (name, f"hp_{name}", f"ap_{name}", f"info_{name}"):
        if column in curves.configs:
            return column
    raise DataError(
        "the search space has a parameter that was not recorded", file=curves.name, column=name
    )
