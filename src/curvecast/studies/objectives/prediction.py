"""A predictor's own error as an objective: training epochs of the network as budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ConfigSpace
import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.predictors import make_predictor
from curvecast.protocol import seed_from
from curvecast.studies import identity
from curvecast.studies.evaluation import Config, Objective, Trial

METRICS = ("mse", "mae")


@dataclass(frozen=True)
class Parts:
    """How the runs of a collection are divided, and what is predicted from what.

    Attributes
    ----------
    n_train, n_validation, n_test : runs of the three splits, without a common configuration.
    tau : last epoch that is seen.
    in_file_order : split as in LCBench's task A (the first runs train); otherwise the order is
        drawn, from a seed that the collection's name gives.
    """

    n_train: int
    n_validation: int
    n_test: int
    tau: int
    in_file_order: bool = False

    def of(self, curves: CurveSet) -> tuple[CurveSet, CurveSet, CurveSet]:
        """Training, validation and test runs; runs without a finite end are left out.

        Raises
        ------
        DataError : fewer usable runs than the splits need.
        """
        groups = curves.groups
        place = np.arange(groups.max() + 1)
        if not self.in_file_order:
            rng = np.random.default_rng(seed_from(curves.name, "study"))
            place = rng.permutation(len(place))
        by_group = np.argsort(place[groups], kind="stable")
        rows = by_group[np.isfinite(curves.final[by_group])]
        sizes = (self.n_train, self.n_validation, self.n_test)
        parts, start = [], 0
        for size in sizes:
            end = start + size
            while 0 < end < len(rows) and groups[rows[end]] == groups[rows[end - 1]]:
                end += 1
            if end > len(rows):
                raise DataError(
                    f"{len(rows)} usable runs, the splits need {sum(sizes)}", file=curves.name
                )
            parts.append(curves.take(rows[start:end]))
            start = end
        return parts[0], parts[1], parts[2]


class Prediction(Objective):
    """Error of a network predictor on the validation runs.

    The configuration and `epochs` (the budget) are options of the predictor; it is trained from
    the start on every rung. Singh's studies on LCBench task A are of this kind.

    Parameters
    ----------
    space : its parameters are options of the model.
    fixed : further options.
    metric : "mse", Singh's, or "mae": a heavy tail of final values leaves the mean squared error to
        a handful of runs.

    Raises
    ------
    DataError : another metric; see `Parts.of`.
    """

    def __init__(
        self,
        model: str,
        curves: CurveSet,
        parts: Parts,
        space: ConfigSpace.ConfigurationSpace,
        fixed: Mapping[str, Any] | None = None,
        metric: str = "mse",
    ) -> None:
        if metric not in METRICS:
            raise DataError(f"metric is {metric!r}, not one of {', '.join(METRICS)}")
        self.metric = metric
        self.model, self.parts, self.space = model, parts, space
        self.fixed = dict(fixed or {})
        self._content = identity.of_curves(curves)
        self._train, self._validation, self._test = parts.of(curves)

    def identity(self) -> dict[str, Any]:
        """Model with its code, collection and splits."""
        return {
            "predictor": self.model,
            "code": identity.of_model(self.model),
            "curves": self._content,
            "parts": vars(self.parts),
            "fixed": self.fixed,
            "metric": self.metric,
        }

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Fit with `epochs` = budget; errors of both splits are reported with the loss."""
        scores = self.score({**config, "epochs": round(trial.budget)}, trial.seed)
        return {
            "loss": scores[f"validation_{self.metric}"],
            "info": {
                "cost": trial.budget,
                "validation": scores[f"validation_{self.metric}"],
                "test": scores[f"test_{self.metric}"],
                **scores,
            },
        }

    def default_epochs(self) -> int:
        """Epochs for which the model trains unless it is told otherwise."""
        return int(vars(make_predictor(self.model, **self.fixed))["epochs"])

    def score(self, options: Mapping[str, Any], seed: int) -> dict[str, float]:
        """`{validation,test}_{mse,mae,r2}` of the model with these options (untuned: `{}`)."""
        model = make_predictor(self.model, seed=seed, **{**self.fixed, **options})
        model.fit(self._train, [self.parts.tau])
        scores = {}
        for name, curves in (("validation", self._validation), ("test", self._test)):
            errors = model.predict(curves, self.parts.tau).mean - curves.final
            spread = np.sum((curves.final - curves.final.mean()) ** 2)
            scores[f"{name}_mse"] = float(np.mean(errors**2))
            scores[f"{name}_mae"] = float(np.mean(np.abs(errors)))
            scores[f"{name}_r2"] = float(1 - np.sum(errors**2) / spread)
        return scores
