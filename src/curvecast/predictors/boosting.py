"""Stochastic gradient boosting of shallow trees with squared loss (Friedman 2001, 2002)."""

from __future__ import annotations

import numpy as np
from sklearn.tree._tree import Tree

from curvecast.curves import DataError
from curvecast.predictors import trees
from curvecast.predictors.base import Prediction, Regressor, inner_folds

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

N_FOLDS = 10
SUBSAMPLE = 0.5
MAX_FEATURES = 0.3


def boost(
    X: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    stages: int,
    *,
    learning_rate: float,
    max_depth: int,
    seed: int,
) -> tuple[list[Tree], np.ndarray]:
    """Fit `stages` trees in turn to what is left of y on random halves of the training runs.

    Parameters
    ----------
    X : from `trees.as_tree_input`, shape (n, p).
    y : standardised targets, shape (n,).
    train : boolean mask of shape (n,); y outside of it is never looked at.

    Returns
    -------
    The trees, and the predictions for all rows of X after each stage, shape (stages, n).
    The first guess is the mean of the training runs, which `boost` leaves to the caller.
    """
    random_state = np.random.RandomState(seed)
    rows = np.flatnonzero(train)
    n_drawn = max(1, round(SUBSAMPLE * len(rows)))
    left = np.where(train, y - y[train].mean(), 0.0)
    grown = []
    staged = np.empty((stages, len(y)))
    current = np.full(len(y), y[train].mean())
    for stage in range(stages):
        weights = np.zeros(len(y))
        weights[random_state.permutation(rows)[:n_drawn]] = 1.0
        tree = trees.grow(
            X,
            left,
            weights,
            random_state,
            max_features=max(1, int(MAX_FEATURES * X.shape[1])),
            max_depth=max_depth,
        )
        step = learning_rate * trees.predict(tree, X)
        left = left - step
        current = current + step
        staged[stage] = current
        grown.append(tree)
    return grown, staged


class GradientBoosting(Regressor):
    """Gradient boosting; 10-fold cross-validation chooses the number of stages.

    Each tree sees a random half of the runs, each cut 30 % of the columns. The folds respect
    repeated configurations. The standard deviation is the root mean square of the
    cross-validated residuals at the chosen stage.

    Options
    -------
    stages : largest number of trees.
    learning_rate : share of each tree's prediction that is added.
    max_depth : depth of a tree.

    Diagnostics: the chosen `stages` and their `cv_r2`.

    Raises
    ------
    DataError : the training runs hold fewer than two different configurations.
    """

    def __init__(
        self,
        *,
        stages: int = 150,
        learning_rate: float = 0.1,
        max_depth: int = 3,
        seed: int = 0,
        target: str = "level",
        summaries: bool = False,
    ) -> None:
        super().__init__(seed=seed, target=target, summaries=summaries)
        if stages < 1 or max_depth < 1 or not 0 < learning_rate <= 1:
            raise DataError(
                f"stages is {stages}, max_depth {max_depth}, learning_rate {learning_rate}; they "
                "must be at least 1, at least 1 and in (0, 1]"
            )
        self.stages, self.learning_rate, self.max_depth = stages, learning_rate, max_depth

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        X = trees.as_tree_input(X)
        folds = inner_folds(self._groups, N_FOLDS, self.seed)
        residuals = np.empty((self.stages, len(y)))
        for fold in range(folds.max() + 1):
            _, staged = self._boost(X, y, folds != fold, self.stages)
            residuals[:, folds == fold] = (y - staged)[:, folds == fold]
        mean_errors = (residuals**2).mean(axis=1)
        best = int(np.argmin(mean_errors))
        self._trees, _ = self._boost(X, y, np.ones(len(y), dtype=bool), best + 1)
        self._std = float(np.sqrt(mean_errors[best]))
        self._found = {"stages": float(best + 1), "cv_r2": 1.0 - float(mean_errors[best])}
        return residuals[best]

    def _boost(
        self, X: np.ndarray, y: np.ndarray, train: np.ndarray, stages: int
    ) -> tuple[list[Tree], np.ndarray]:
        return boost(
            X,
            y,
            train,
            stages,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            seed=self.seed,
        )

    def _predict(self, X: np.ndarray) -> Prediction:
        X = trees.as_tree_input(X)
        mean = np.zeros(len(X))
        for tree in self._trees:
            mean += self.learning_rate * trees.predict(tree, X)
        return Prediction(mean, np.full(len(X), self._std))
