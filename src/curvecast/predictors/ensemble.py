"""The project's own answer: many regressors and target forms, combined robustly, calibrated.

No single regressor wins everywhere, and the forms of the target (`targets.FORMS`) fail in
different places: a level falls back to the mean where a curve lies outside of the training
range, a gain follows the curve there. Which of the two is right cannot be learnt from a hundred
runs that hold few such curves. So members are weighted by their errors on runs they did not see
(stacking in the sense of Wolpert 1992, with weights that are far from sharp), and at every run
the combination is a weighted *trimmed* mean: a member that runs away there is outvoted, nothing
is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from curvecast.predictors import make_predictor
from curvecast.predictors.base import Prediction, Regressor, TabularPredictor
from curvecast.predictors.prediction import ResidualPrediction

MODELS = {"ensemble": {"class": "Ensemble"}}
USES = ("extra_trees", "gp", "nusvr_linear", "nusvr_rbf", "ridge")


@dataclass(frozen=True)
class Member:
    """One regressor of the library."""

    model: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)


# Straight lines in a warped target leave the data exponentially, and a warped level falls back to
# the median where it knows nothing: only models that fall back to "no further gain" are asked.
LIBRARY = (
    *(Member("gp", target) for target in ("level", "gain", "warped_gain")),
    *(Member("gp", target, {"kernel": "matern+linear"}) for target in ("level", "gain")),
    *(
        Member("ridge", target, {"summaries": summaries})
        for summaries in (False, True)
        for target in ("level", "gain")
    ),
    *(Member("extra_trees", target) for target in ("level", "gain", "warped_gain")),
    *(Member("nusvr_rbf", target) for target in ("level", "gain")),
    Member("nusvr_linear", "level"),
)
# A level shrinks to the mean where it knows nothing, which is the safer error: it counts twice.
PRIOR = {"level": 2.0, "gain": 1.0, "warped_gain": 1.0}
POWER = 2.0
TRIM = 0.35


def weigh(errors: np.ndarray, forms: list[str]) -> np.ndarray:
    """Weights of the members, shape (n_members,), that sum to 1.

    Within a target form a member weighs error^-2 with the geometric mean of its root mean
    square and its mean absolute error; a form as a whole weighs prior * rmse^-2 with the
    smallest root mean square error among its members.

    Parameters
    ----------
    errors : of runs that a fit did not see, shape (n_members, n_runs).
    forms : the target form of each member.
    """
    rmse = np.sqrt((errors**2).mean(axis=1))
    mixed = np.sqrt(rmse * np.abs(errors).mean(axis=1))
    floor = 1e-12 * max(float(rmse.max()), 1e-300)
    rmse, mixed = np.maximum(rmse, floor), np.maximum(mixed, floor)
    weights = (mixed / mixed.min()) ** -POWER
    for form in set(forms):
        mine = np.array([other == form for other in forms])
        share = PRIOR[form] * (rmse[mine].min() / rmse.min()) ** -POWER
        weights[mine] *= share / weights[mine].sum()
    return weights / weights.sum()


def trimmed_mean(values: np.ndarray, weights: np.ndarray, trim: float) -> np.ndarray:
    """Weighted mean of each column without the lowest and highest `trim` of the weight.

    Parameters
    ----------
    values : shape (n_members, n_runs). weights : shape (n_members,), sum 1.

    Returns
    -------
    array of shape (n_runs,).
    """
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    upper = np.cumsum(weights[order], axis=0)
    lower = upper - weights[order]
    kept = np.clip(np.minimum(upper, 1 - trim) - np.maximum(lower, trim), 0.0, None)
    return (kept * ordered).sum(axis=0) / kept.sum(axis=0)


class Ensemble(TabularPredictor):
    """Robust combination of `LIBRARY` with a distribution calibrated on unseen runs.

    The scale of a run's distribution joins what the members say about their errors with how
    much they disagree about the run; the shape is that of the residuals of the combination of
    the members' out-of-fold predictions, standardised by that scale (cross-conformal, Vovk
    2015). How strongly the scale varies between runs is chosen by the likelihood of those
    residuals under a Laplace distribution, between not at all and in full.

    Options
    -------
    draws : random search of the ν-SVR members.

    Diagnostics: the weight of each target form, and the chosen exponent of the scale.
    """

    def __init__(self, *, draws: int = 100, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.draws = draws

    def fit_xy(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray | None = None) -> Self:
        y = np.asarray(y, dtype=np.float64)
        library = LIBRARY if _has_series(X) else [m for m in LIBRARY if m.target == "level"]
        self._members = [self._make(member).fit_xy(X, y, groups) for member in library]
        y = y[np.isfinite(y)]
        means = np.array([member.unseen.mean for member in self._members])
        stds = np.array([member.unseen.std for member in self._members])
        # a run that every bag of a forest held has no prediction there: ask the other members
        means = np.where(np.isfinite(means), means, np.nanmedian(means, axis=0))
        forms = [member.target for member in library]
        self._weights = weigh(means - y, forms)
        center, scale = self._combine(means, stds)
        gaps = y - center
        self._exponent = _exponent(gaps, scale)
        self._residuals = gaps / scale**self._exponent
        self._found = {"scale_exponent": self._exponent}
        for form in sorted(set(forms)):
            mine = np.array([other == form for other in forms])
            self._found[f"weight_{form}"] = float(self._weights[mine].sum())
        return self

    def _make(self, member: Member) -> Regressor:
        options = dict(member.options)
        if member.model.startswith("nusvr"):
            options["draws"] = self.draws
        made = make_predictor(member.model, seed=self.seed, target=member.target, **options)
        assert isinstance(made, Regressor)
        return made

    def _combine(self, means: np.ndarray, stds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre and scale per run, from arrays of shape (n_members, n_runs)."""
        center = trimmed_mean(means, self._weights, TRIM)
        own = trimmed_mean(stds, self._weights, TRIM)
        apart = trimmed_mean(np.abs(means - center), self._weights, TRIM)
        return center, np.maximum(np.hypot(own, apart), 1e-300)

    def predict_xy(self, X: pd.DataFrame) -> Prediction:
        predictions = [member.predict_xy(X) for member in self._members]
        center, scale = self._combine(
            np.array([p.mean for p in predictions]), np.array([p.std for p in predictions])
        )
        return ResidualPrediction.of(center, scale**self._exponent, self._residuals)


def _has_series(X: pd.DataFrame) -> bool:
    return any(str(column).startswith("ts_y_") for column in X)


def _exponent(gaps: np.ndarray, scale: np.ndarray) -> float:
    """Exponent in {0, .5, 1} of the scale under which the gaps are the likeliest (Laplace)."""
    exponents = (0.0, 0.5, 1.0)
    costs = [
        np.log(np.mean(np.abs(gaps) / scale**g) + 1e-300) + g * np.mean(np.log(scale))
        for g in exponents
    ]
    return exponents[int(np.argmin(costs))]
