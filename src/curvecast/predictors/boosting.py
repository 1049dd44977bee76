"""Stochastic gradient boosting of shallow trees with squared loss (Friedman 2001, 2002)."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.ensemble import GradientBoostingRegressor

from curvecast.curves import DataError
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.forest import answers, as_tree_input
from curvecast.predictors.regressor import Regressor
from curvecast.protocol import grouped_folds, require_groups

MODELS = {
    "gradient_boosting": {
        "class": "GradientBoosting",
        "label": "Boosted shallow trees; cross-validation chooses their number.",
        "cite": "Friedman (2001, 2002)",
        "order": 90,
        "look": ("red", "D", "solid"),
        "cheap": {"stages": 30},
    },
}

N_FOLDS = 7
LEARNING_RATE = 0.1
MAX_DEPTH = 3
SUBSAMPLE = 0.5
MAX_FEATURES = 0.3


class GradientBoosting(Regressor):
    """Gradient boosting; 7-fold cross-validation chooses the number of stages.

    Each tree sees a random half of the runs, each cut 30 % of the columns. The folds respect
    repeated configurations. The standard deviation is the root mean square of the
    cross-validated residuals at the chosen stage.

    Options
    -------
    stages : largest number of trees.

    Diagnostics: the chosen `stages` and their `cv_r2`.

    Raises
    ------
    DataError : the training runs hold fewer than two different configurations.
    """

    def __init__(self, *, stages: int = 150, **common: Any) -> None:
        super().__init__(**common)
        if stages < 1:
            raise DataError(f"stages is {stages}, at least 1 is needed")
        self.stages = stages

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        X = as_tree_input(X)
        require_groups(self._groups)
        folds = grouped_folds(self._groups, N_FOLDS, self.seed)
        residuals = np.empty((self.stages, len(y)))
        for fold in range(folds.max() + 1):
            test = folds == fold
            boosted = self._boost(X[~test], y[~test], self.stages)
            residuals[:, test] = y[test] - np.array(list(boosted.staged_predict(X[test])))
        errors = (residuals**2).mean(axis=1)
        best = int(np.argmin(errors))
        boosted = self._boost(X, y, best + 1)
        self._start = float(y.mean())
        self._trees = [tree.tree_ for tree in boosted.estimators_[:, 0]]
        self._std = float(np.sqrt(errors[best]))
        self._diagnostics = {"stages": float(best + 1), "cv_r2": 1.0 - float(errors[best])}
        return residuals[best]

    def _boost(self, X: np.ndarray, y: np.ndarray, stages: int) -> GradientBoostingRegressor:
        boosted = GradientBoostingRegressor(
            n_estimators=stages,
            learning_rate=LEARNING_RATE,
            max_depth=MAX_DEPTH,
            # scikit-learn cannot leave out half of a single run
            subsample=SUBSAMPLE if len(y) > 1 else 1.0,
            max_features=MAX_FEATURES,
            random_state=self.seed,
        )
        # the checks of each tree's parameters cost a third of the time
        with sklearn.config_context(skip_parameter_validation=True):
            return boosted.fit(X, y)

    def _predict(self, X: np.ndarray) -> Prediction:
        steps = answers(self._trees, X).sum(axis=0)
        return Prediction(self._start + LEARNING_RATE * steps, np.full(len(X), self._std))
