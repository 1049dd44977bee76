"""A model of the loss over configurations and budgets, which proposes what to evaluate next.

BOHB's densities know which configurations were good on one rung, but neither how good nor what the
other rungs say. Here one Gaussian process over (configuration, budget) learns from the
evaluations of all rungs, and the candidate with the largest expected improvement on the highest
rung is proposed (Jones, Schonlau, Welch 1998). Over budgets it is what Swersky, Snoek, Adams
(2013, Multi-task Bayesian optimization) and Klein et al. (2017, Fabolas) do over tasks and data.

Losses enter by their normal scores, so that a diverged run is the worst one and no more.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import ConfigSpace
import numpy as np
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.util import deactivate_inactive_hyperparameters
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from curvecast.studies.evaluation import Config

# Candidates: uniform draws, and neighbours of the best configurations known.
_N_UNIFORM, _N_BEST, _N_NEIGHBOURS = 256, 5, 16
# A neighbour differs by a Gaussian of one of these widths (of a range of 1) in each number, and
# takes another category with this chance.
_WIDTHS, _OTHER_CATEGORY = (0.03, 0.1, 0.2), 0.2
# The kernel is chosen again whenever there are this many times as many evaluations, on at most so
# many of them.
_GROWTH, _N_TUNE = 1.3, 96


class Surrogate:
    """The evaluations of a study so far, and the process fitted to them.

    Parameters
    ----------
    space : search space; conditional parameters that are inactive lie in the middle of theirs.
    highest : budget of the highest rung.
    random : source of the neighbours; the uniform candidates come from the space's own.
    min_points : evaluations that are needed before anything is proposed.
    """

    def __init__(
        self,
        space: ConfigSpace.ConfigurationSpace,
        highest: float,
        random: np.random.RandomState,
        min_points: int,
    ) -> None:
        self._space, self._highest, self._random = space, highest, random
        self._min_points = min_points
        # Of each parameter; 0 where it is a number.
        self._levels = np.array([p.size if _is_category(p) else 0 for p in space.values()])
        self._vectors: list[np.ndarray] = []
        self._progress: list[float] = []
        self._losses: list[float] = []
        self._kernels: dict[int, Kernel] = {}

    def add(self, config: Config, budget: float, loss: float) -> None:
        """Learn an evaluation; a loss that is not finite counts as the worst."""
        self._vectors.append(self._vector(config))
        self._progress.append(math.log(budget / self._highest))
        self._losses.append(loss if math.isfinite(loss) else math.inf)

    @property
    def ready(self) -> bool:
        """Whether there are enough evaluations to propose from."""
        return len(self._losses) >= self._min_points

    def propose(
        self,
        pending: Sequence[Config] = (),
        possible: Callable[[Config], bool] = lambda config: True,
    ) -> Config | None:
        """The possible candidate with the largest expected improvement on the highest rung.

        None where no candidate is possible.

        Parameters
        ----------
        pending : configurations under evaluation; each counts as one with its predicted loss on
            the highest rung (the kriging believer of Ginsbourger, Le Riche, Carraro 2010), so that
            parallel workers do not all get the same.
        """
        vectors = np.array(self._vectors)
        scores = _normal_scores(np.array(self._losses))
        points = self._points(vectors, np.array(self._progress))
        process = self._process(points, scores)
        if pending:
            believed = self._points(np.array([self._vector(c) for c in pending]))
            points = np.concatenate([points, believed])
            scores = np.concatenate([scores, process.predict(believed)])
            process.fit(points, scores)
        known = process.predict(self._points(vectors))
        order = np.unique(known, return_index=True)[1][:_N_BEST]
        candidates = self._candidates(vectors[order])
        mean, std = process.predict(self._points(candidates), return_std=True)
        gain = expected_improvement(mean, std, float(known.min()))
        ranked = (self._config(candidates[row]) for row in np.argsort(-gain, kind="stable"))
        return next(filter(possible, ranked), None)

    def _process(self, points: np.ndarray, scores: np.ndarray) -> GaussianProcessRegressor:
        """Fitted to all evaluations, with the kernel chosen on the first ones of a milestone.

        The milestones are fixed, so that a study that goes on chooses what it had chosen.
        """
        n = self._min_points
        while math.ceil(n * _GROWTH) <= len(scores):
            n = math.ceil(n * _GROWTH)
        if n not in self._kernels:
            start = ConstantKernel(1.0, (0.05, 20.0)) * Matern(
                np.ones(points.shape[1]), (0.05, 20.0), nu=2.5
            ) + WhiteKernel(0.1, (1e-4, 1.0))
            rows = np.unique(np.linspace(0, n - 1, min(n, _N_TUNE)).round().astype(int))
            with warnings.catch_warnings():  # a length at its bound is a parameter without effect
                warnings.simplefilter("ignore", ConvergenceWarning)
                tuned = GaussianProcessRegressor(start).fit(
                    points[rows], _normal_scores(np.array(self._losses)[rows])
                )
            self._kernels[n] = tuned.kernel_
        return GaussianProcessRegressor(self._kernels[n], optimizer=None).fit(points, scores)

    def _vector(self, config: Config) -> np.ndarray:
        return ConfigSpace.Configuration(self._space, values=config).get_array()

    def _config(self, vector: np.ndarray) -> Config:
        return dict(ConfigSpace.Configuration(self._space, vector=vector))

    def _candidates(self, best: np.ndarray) -> np.ndarray:
        """Vectors of uniform draws and of neighbours, shape (n_candidates, n_parameters)."""
        uniform = [c.get_array() for c in self._space.sample_configuration(_N_UNIFORM)]
        near = [
            self._neighbour(vector, _WIDTHS[i % len(_WIDTHS)])
            for vector in best
            for i in range(_N_NEIGHBOURS)
        ]
        return np.array([*uniform, *(vector for vector in near if vector is not None)])

    def _neighbour(self, vector: np.ndarray, width: float) -> np.ndarray | None:
        """A vector near this one; parameters that become active are drawn uniformly.

        None where the space forbids it.
        """
        random, n, category = self._random, len(vector), self._levels > 0
        drawn = np.where(category, random.randint(np.maximum(self._levels, 1)), random.rand(n))
        step = np.clip(vector + width * random.standard_normal(n), 0, 1)
        kept = np.where(random.rand(n) < _OTHER_CATEGORY, drawn, vector)
        moved = np.where(category, kept, step)
        whole = np.where(np.isnan(moved), drawn, moved)
        if not (self._space.conditions or self._space.forbidden_clauses):
            return whole
        values = dict(ConfigSpace.Configuration(self._space, vector=whole))
        try:
            return deactivate_inactive_hyperparameters(values, self._space).get_array()
        except ForbiddenValueError:
            return None

    def _points(self, vectors: np.ndarray, progress: np.ndarray | float = 0.0) -> np.ndarray:
        """Inputs of the process: numbers in 0..1, categories one-hot, log budget from -1 to 0."""
        columns = []
        for column, levels in zip(vectors.T, self._levels, strict=True):
            if levels:
                columns += [(column == level) / np.sqrt(2) for level in range(levels)]
            else:
                columns.append(np.where(np.isnan(column), 0.5, column))
        span = -min(self._progress) or 1.0
        columns.append(np.broadcast_to(np.asarray(progress) / span, len(vectors)))
        return np.column_stack(columns)


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """E[max(best - value, 0)] of Gaussian values, in their unit; a `std` of 0 is allowed."""
    std = np.maximum(std, 1e-12)
    z = (best - mean) / std
    return std * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Standard normal quantiles of the mean ranks, smallest first (Blom 1958)."""
    return ndtri((rankdata(values) - 0.375) / (len(values) + 0.25))


def _is_category(parameter: object) -> bool:
    return isinstance(parameter, ConfigSpace.CategoricalHyperparameter)
