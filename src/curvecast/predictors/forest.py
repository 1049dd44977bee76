"""Random forests and extremely randomised trees, tuned and judged out of bag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.tree._tree import Tree

from curvecast.curves import DataError
from curvecast.predictors import trees
from curvecast.predictors.base import Prediction, Regressor, require_groups

MODELS = {
    "random_forest": {
        "class": "Forest",
        "options": {"splitter": "best"},
        "label": "Random forest; number of trees and features per cut by random search.",
        "cite": "Breiman (2001)",
        "order": 70,
        "look": ("green", "o", "solid"),
        "cheap": {"draws": 6, "max_trees": 30},
    },
    "extra_trees": {
        "class": "Forest",
        "options": {"splitter": "random"},
        "label": "Extremely randomised trees, bagged; the same search.",
        "cite": "Geurts, Ernst and Wehenkel (2006)",
        "order": 80,
        "look": ("green", "s", "dashed"),
        "cheap": {"draws": 6, "max_trees": 30},
    },
}

MIN_TREES = 10
MAX_FEATURES = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Bagged:
    """Trees with what each predicts for the training runs.

    Attributes
    ----------
    trees : n_trees grown trees.
    predictions : shape (n_trees, n).
    out_of_bag : boolean, shape (n_trees, n): the tree did not see the run.
    """

    trees: list[Tree]
    predictions: np.ndarray
    out_of_bag: np.ndarray

    def residuals(self, y: np.ndarray) -> np.ndarray:
        """Out-of-bag residuals of every prefix of the forest, shape (n_trees, n).

        Row k is y minus the mean over those of the first k + 1 trees that did not see a run;
        NaN where all of them saw it.
        """
        total = np.cumsum(np.where(self.out_of_bag, self.predictions, 0.0), axis=0)
        count = np.cumsum(self.out_of_bag, axis=0)
        return y - np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def bag(
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    n_trees: int,
    *,
    max_features: int,
    splitter: str,
    seed: int,
) -> Bagged:
    """Grow trees on bootstrap samples of whole groups; more trees extend fewer.

    Parameters
    ----------
    X : from `trees.as_tree_input`, shape (n, p).
    y, groups : shape (n,); repeated configurations are in or out of a bag together.
    """
    random_state = np.random.RandomState(seed)
    _, member = np.unique(groups, return_inverse=True)
    n_groups = int(member.max()) + 1
    grown = []
    weights = np.empty((n_trees, len(y)))
    predictions = np.empty((n_trees, len(y)))
    for k in range(n_trees):
        drawn = random_state.randint(n_groups, size=n_groups)
        weights[k] = np.bincount(drawn, minlength=n_groups)[member]
        tree = trees.grow(
            X, y, weights[k], random_state, max_features=max_features, splitter=splitter
        )
        predictions[k] = trees.predict(tree, X)
        grown.append(tree)
    return Bagged(grown, predictions, weights == 0)


class Forest(Regressor):
    """A forest whose number of trees and features per cut come from a random search.

    The search draws n_estimators uniformly from 10..max_trees and max_features from .1, .2,
    .3, .4, .5 of the columns (NASLib's ranges for Baker's random forest: 10..800 and .1...5).
    Two liberties keep it at a hundredth of the usual cost: a draw is scored by its out-of-bag
    error instead of by refits on three folds, and draws with the same max_features share their
    trees, a smaller forest being a prefix of a larger one. The standard deviation is the root
    mean square of the chosen forest's out-of-bag residuals; runs that every tree saw do not
    count. Bootstrap samples hold whole groups of repeated configurations.

    Options
    -------
    splitter : "best" (random forest) or "random" (extremely randomised trees; they are bagged
        here too, as the search and the standard deviation need runs out of bag). Fixed by the
        model's name.
    draws : size of the random search, 20 as published; 0 is no search but all of `max_trees`
        trees with half of the columns per cut.
    max_trees : largest forest that may be drawn; the time is proportional to it. 800 is
        published; 200 loses .001 to .005 of R² on Baker's sets.

    Diagnostics: the chosen `n_estimators`, `max_features` and the forest's `oob_r2`.

    Raises
    ------
    DataError : the training runs hold fewer than two different configurations.
    """

    def __init__(
        self,
        *,
        splitter: str = "best",
        draws: int = 20,
        max_trees: int = 200,
        seed: int = 0,
        target: str = "level",
        summaries: bool = False,
    ) -> None:
        super().__init__(seed=seed, target=target, summaries=summaries)
        if splitter not in trees.SPLITTERS:
            raise DataError(f"splitter is {splitter!r}, not one of {', '.join(trees.SPLITTERS)}")
        if draws < 0 or max_trees < MIN_TREES:
            raise DataError(
                f"draws is {draws} and max_trees {max_trees}; they must be at least 0 and "
                f"{MIN_TREES}"
            )
        self.splitter, self.draws, self.max_trees = splitter, draws, max_trees

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        require_groups(self._groups)
        X = trees.as_tree_input(X)
        rng = np.random.default_rng(self.seed)
        if self.draws:
            sizes = rng.integers(MIN_TREES, self.max_trees + 1, size=self.draws)
            shares = rng.choice(MAX_FEATURES, size=self.draws)
        else:
            sizes, shares = np.array([self.max_trees]), np.array([MAX_FEATURES[-1]])
        best = np.inf
        for share in np.unique(shares):
            candidates = sizes[shares == share]
            forest = bag(
                X,
                y,
                self._groups,
                int(candidates.max()),
                max_features=max(1, int(share * X.shape[1])),
                splitter=self.splitter,
                seed=self.seed,
            )
            residuals = forest.residuals(y)[candidates - 1]
            errors = np.nanmean(residuals**2, axis=1)
            winner = int(np.argmin(errors))
            if errors[winner] < best:
                best, n_trees = float(errors[winner]), int(candidates[winner])
                unseen = residuals[winner]
                self._trees = forest.trees[:n_trees]
                self._found = {
                    "n_estimators": float(n_trees),
                    "max_features": float(share),
                    "oob_r2": 1.0 - best,
                }
        self._std = float(np.sqrt(best))
        return unseen

    def _predict(self, X: np.ndarray) -> Prediction:
        X = trees.as_tree_input(X)
        mean = np.zeros(len(X))
        for tree in self._trees:
            mean += trees.predict(tree, X)
        return Prediction(mean / len(self._trees), np.full(len(X), self._std))
