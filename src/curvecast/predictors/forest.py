"""Random forests and extremely randomised trees, tuned out of bag."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

from curvecast.curves import DataError
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.regressor import Regressor
from curvecast.protocol import require_groups

MODELS = {
    "random_forest": {
        "class": "Forest",
        "options": {"kind": "random_forest"},
        "label": "Random forest; features per cut chosen out of bag.",
        "cite": "Breiman (2001)",
        "order": 70,
        "look": ("green", "o", "solid"),
        "cheap": {"max_trees": 30},
    },
    "extra_trees": {
        "class": "Forest",
        "options": {"kind": "extra_trees"},
        "label": "Extremely randomised trees, bagged; the same choice.",
        "cite": "Geurts, Ernst and Wehenkel (2006)",
        "order": 80,
        "look": ("green", "s", "dashed"),
        "cheap": {"max_trees": 30},
    },
}


class _ReadOnce:
    """Looks up the names of its parameters once; scikit-learn does so five times for each tree."""

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        return list(super()._get_param_names())  # type: ignore[misc]


class _Tree(_ReadOnce, DecisionTreeRegressor):
    pass


class _ExtraTree(_ReadOnce, ExtraTreeRegressor):
    pass


KINDS = {
    "random_forest": (RandomForestRegressor, _Tree),
    "extra_trees": (ExtraTreesRegressor, _ExtraTree),
}
MIN_TREES = 10
SEARCH_TREES = 50
MAX_FEATURES = (0.1, 0.3, 0.5)
# Trees compare in single precision. A standardised training value is at most sqrt(n), so
# nothing beyond this bound falls on another side of a cut than the bound itself.
_LARGEST = 1e30


def as_tree_input(X: np.ndarray) -> np.ndarray:
    """Standardised features of shape (n, p) as C-contiguous float32, without overflow."""
    return np.ascontiguousarray(np.clip(X, -_LARGEST, _LARGEST), dtype=np.float32)


def answers(trees: Sequence[Any], X: np.ndarray) -> np.ndarray:
    """Predictions of scikit-learn's trees for standardised features, shape (n_trees, n).

    Raises DataError where X does not have their columns, of which they read without a check.
    """
    if any(tree.n_features != X.shape[1] for tree in trees):
        raise DataError(f"the trees were not grown on {X.shape[1]} columns")
    X = as_tree_input(X)
    return np.array([tree.predict(X)[:, 0] for tree in trees])


def unseen_mean(
    forest: RandomForestRegressor | ExtraTreesRegressor, X: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Mean prediction of the trees that saw no run of a configuration, shape (n,).

    `groups` of shape (n,) is equal for repeated configurations. NaN where every tree saw one.
    """
    _, member = np.unique(groups, return_inverse=True)
    total, count = np.zeros(len(X)), np.zeros(len(X))
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        seen = np.bincount(member[drawn], minlength=member.max() + 1)[member] > 0
        total += np.where(seen, 0.0, tree.tree_.predict(X)[:, 0])
        count += ~seen
    return np.divide(total, count, out=np.full(len(X), np.nan), where=count > 0)


class Forest(Regressor):
    """A forest whose number of features per cut has the smallest out-of-bag error.

    The candidates are .1, .3 and .5 of the columns (NASLib's range for Baker's random
    forest). Each candidate grows a few trees; the best one grows on to the full size, which
    needs no search (Probst and Boulesteix 2018, "To tune or not to tune the number of trees").
    The standard deviation is the root mean square of the out-of-bag residuals. A tree draws as
    many runs as there are configurations, and a run is out of its bag where it saw no run of the
    same configuration; runs that every tree saw do not count.

    Options
    -------
    kind : "random_forest" or "extra_trees", fixed by the model's name; both draw runs per tree.
    max_features : share of the columns per cut; None: from the search.
    max_trees : size of the forest. Published is a random search up to 800; 200 loses .001 to .005
        of R² on Baker's sets.

    Diagnostics: the chosen `max_features` and the forest's `oob_r2`.

    Raises
    ------
    DataError : the training runs hold fewer than two different configurations.
    """

    def __init__(
        self,
        *,
        kind: str = "random_forest",
        max_features: float | None = None,
        max_trees: int = 200,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if max_trees < MIN_TREES or not 0 < (max_features or 1) <= 1:
            raise DataError(
                f"max_trees is {max_trees} and max_features {max_features}; they must be at least "
                f"{MIN_TREES} and in (0, 1]"
            )
        self.kind, self.max_features, self.max_trees = kind, max_features, max_trees

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        require_groups(self._groups)
        X = as_tree_input(X)
        shares = (self.max_features,) if self.max_features else MAX_FEATURES
        size = min(SEARCH_TREES, self.max_trees)
        forests = [self._forest(share, size).fit(X, y) for share in shares]
        errors = [np.nanmean((y - unseen_mean(f, X, self._groups)) ** 2) for f in forests]
        best = int(np.argmin(errors))
        forest = forests[best].set_params(n_estimators=self.max_trees)
        if size < self.max_trees:
            forest.fit(X, y)
        residuals = y - unseen_mean(forest, X, self._groups)
        error = float(np.nanmean(residuals**2))
        self._trees = [tree.tree_ for tree in forest.estimators_]
        self._std = float(np.sqrt(error))
        self._diagnostics = {"max_features": float(shares[best]), "oob_r2": 1.0 - error}
        return residuals

    def _forest(self, share: float, size: int) -> RandomForestRegressor | ExtraTreesRegressor:
        kind, tree = KINDS[self.kind]
        forest = kind(
            size,
            max_features=share,
            bootstrap=True,
            max_samples=len(np.unique(self._groups)),
            random_state=self.seed,
            warm_start=True,
        )
        forest.estimator = tree()
        return forest

    def _predict(self, X: np.ndarray) -> Prediction:
        mean = answers(self._trees, X).mean(axis=0)
        return Prediction(mean, np.full(len(X), self._std))
