"""A predictor's own error as an objective: training epochs of the network as budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import ConfigSpace
import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.predictors import make_predictor, module_of
from curvecast.predictors.base import Predictor
from curvecast.protocol import seed_from
from curvecast.studies import identity
from curvecast.studies.evaluation import Config, Objective, Trial
from curvecast.studies.settings import Parts, Settings


def split(curves: CurveSet, parts: Parts) -> list[CurveSet]:
    """Training, validation and test runs; runs without a finite end are left out.

    Raises
    ------
    DataError : fewer usable runs than the splits need.
    """
    groups = curves.groups
    place = np.arange(groups.max() + 1)
    if not parts.in_file_order:
        place = np.random.default_rng(seed_from(curves.name, "study")).permutation(len(place))
    by_group = np.argsort(place[groups], kind="stable")
    rows = by_group[np.isfinite(curves.final[by_group])]
    sizes = (parts.n_train, parts.n_validation, parts.n_test)
    splits, start = [], 0
    for size in sizes:
        end = start + size
        while 0 < end < len(rows) and groups[rows[end]] == groups[rows[end - 1]]:
            end += 1
        if end > len(rows):
            raise DataError(
                f"{len(rows)} usable runs, the splits need {sum(sizes)}", file=curves.name
            )
        splits.append(curves.take(rows[start:end]))
        start = end
    return splits


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
    DataError : see `split`.
    """

    def __init__(
        self,
        model: str,
        curves: CurveSet,
        parts: Parts,
        space: ConfigSpace.ConfigurationSpace,
        fixed: Mapping[str, Any] | None = None,
        metric: Literal["mse", "mae"] = "mse",
    ) -> None:
        self.metric = metric
        self.model, self.parts, self.space = model, parts, space
        self.fixed = dict(fixed or {})
        self._content = identity.of_curves(curves)
        self._train, self._validation, self._test = split(curves, parts)

    def identity(self) -> dict[str, Any]:
        """Model with its code, collection and splits."""
        return {
            "predictor": self.model,
            "code": identity.of_code(module_of(self.model)),
            "curves": self._content,
            "parts": self.parts.model_dump(),
            "fixed": self.fixed,
            "metric": self.metric,
        }

    def check(self, settings: Settings) -> None:
        """The predictor has the options that are searched, fixed, and the budget."""
        self.predictor(seed=0, **{**self.space.get_default_configuration(), "epochs": 1})

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

    def predictor(self, **options: Any) -> Predictor:
        """The predictor with the fixed options and these."""
        return make_predictor(self.model, **{**self.fixed, **options})

    def score(self, options: Mapping[str, Any], seed: int) -> dict[str, float]:
        """`{validation,test}_{mse,mae,r2}` of the model with these options (untuned: `{}`)."""
        model = self.predictor(seed=seed, **options)
        model.fit(self._train, [self.parts.tau])
        scores = {}
        for name, curves in (("validation", self._validation), ("test", self._test)):
            errors = model.predict(curves, self.parts.tau).mean - curves.final
            spread = np.sum((curves.final - curves.final.mean()) ** 2)
            scores[f"{name}_mse"] = float(np.mean(errors**2))
            scores[f"{name}_mae"] = float(np.mean(np.abs(errors)))
            scores[f"{name}_r2"] = float(1 - np.sum(errors**2) / spread)
        return scores
