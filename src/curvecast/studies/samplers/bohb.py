"""BOHB: proposals from densities of good and bad configurations, by hpbandster.

Falkner, Klein, Hutter (2018): BOHB: robust and efficient hyperparameter optimization at scale.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import ConfigSpace
import numpy as np
from ConfigSpace.util import deactivate_inactive_hyperparameters
from hpbandster.core.dispatcher import Job
from hpbandster.optimizers.config_generators.bohb import BOHB
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri_exp

from curvecast.studies.evaluation import Config, ConfigId
from curvecast.studies.samplers import _base
from curvecast.studies.settings import Settings


class Sampler(_base.Sampler, BOHB):
    """hpbandster's BOHB sampler, its candidates scored as one array and errors left to surface.

    hpbandster turns errors of its model into random picks. Given the same random numbers this
    class picks what hpbandster picks (a test compares them), some thirty times as fast.
    """

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        _base.refuse_ordinals(space)
        _base.Sampler.__init__(self, space, settings)
        BOHB.__init__(self, space, random_fraction=self.share_at_random)
        self.logger = logging.getLogger("curvecast.hpbandster")
        self.logger.setLevel(logging.ERROR)

    @property
    def has_model(self) -> bool:
        """Whether there are densities."""
        return bool(self.kde_models)

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """A configuration from the densities of the largest budget, or a uniform draw."""
        vector = None
        if self.kde_models and self.random.rand() >= self.random_fraction:
            vector = self._best_candidate()
        if vector is None:
            drawn = self.configspace.sample_configuration()
        else:
            drawn = ConfigSpace.Configuration(self.configspace, vector=vector)
        active = deactivate_inactive_hyperparameters(dict(drawn), self.configspace)
        return dict(active), vector is not None

    def learn(self, config_id: ConfigId, config: Config, budget: float, loss: float) -> None:
        """Fit the densities again."""
        job = Job(config_id, config=config, budget=budget)
        job.result = {"loss": loss}
        with warnings.catch_warnings():
            # Of the random numbers that statsmodels would draw; these densities draw none.
            warnings.filterwarnings("ignore", "After 0.17", FutureWarning)
            self.new_result(job)

    def _best_candidate(self) -> np.ndarray | None:
        """The drawn vector with the highest ratio of good to bad density, shape (n_parameters,).

        None where no candidate has a density (hpbandster then draws at random as well).
        """
        models = self.kde_models[max(self.kde_models)]
        vectors = self._draw_candidates(models["good"])
        good = _density(models["good"], vectors)
        bad = _density(models["bad"], vectors)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(bad > 1e-32, bad, 1e-32) / np.where(good < 1e-32, 1e-32, good)
        # A category that the bad configurations never had gives an infinite ratio: hpbandster
        # takes the first such candidate.
        unscored = ~np.isfinite(ratio) & np.isfinite(good)
        if unscored.any():
            return vectors[np.argmax(unscored)]
        if not np.isfinite(ratio).any():
            return None
        return vectors[np.nanargmin(ratio)]

    def _draw_candidates(self, kde: Any) -> np.ndarray:
        """Good observations blurred by the widened kernel, shape (num_samples, n_parameters)."""
        bandwidth = np.maximum(kde.bw, self.min_bandwidth)
        rows = np.empty(self.num_samples, dtype=np.int64)
        drawn = np.empty((self.num_samples, len(bandwidth)))
        for i in range(self.num_samples):
            rows[i] = self.random.randint(0, len(kde.data))
            for j, levels in enumerate(self.vartypes):
                if levels == 0:
                    drawn[i, j] = self.random.uniform()
                elif self.random.rand() < 1 - bandwidth[j]:
                    drawn[i, j] = int(kde.data[rows[i], j])
                else:
                    drawn[i, j] = self.random.randint(levels)
        continuous = self.vartypes == 0
        center = kde.data[rows][:, continuous]
        scale = self.bw_factor * bandwidth[continuous]
        drawn[:, continuous] = _truncated_normal(drawn[:, continuous], center, scale)
        return drawn

    def impute_conditional_data(self, array: np.ndarray) -> np.ndarray:
        """hpbandster's imputation of inactive parameters, from this sampler's random numbers."""
        filled = array.copy()
        for row in np.flatnonzero(np.isnan(array).any(axis=1)):
            datum = filled[row]
            while len(missing := np.flatnonzero(np.isnan(datum))):
                donors = np.flatnonzero(np.isfinite(array[:, missing[0]]))
                levels = self.vartypes[missing[0]]
                if len(donors):
                    datum[missing] = array[self.random.choice(donors), missing]
                elif levels == 0:
                    datum[missing[0]] = self.random.rand()
                else:
                    datum[missing[0]] = self.random.randint(levels)
        return filled


def _truncated_normal(q: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Quantiles of normals truncated to [0, 1]: scipy.stats.truncnorm.ppf without its overhead.

    `q` and `center` (in [0, 1]) have shape (n, p), `scale` has shape (p,).
    """
    low, high = -center / scale, (1 - center) / scale
    with np.errstate(divide="ignore"):
        log_mass = np.log1p(-ndtr(low) - ndtr(-high))
        left = ndtri_exp(logsumexp([log_ndtr(low), np.log(q) + log_mass], axis=0))
        right = -ndtri_exp(logsumexp([log_ndtr(-high), np.log1p(-q) + log_mass], axis=0))
    return center + scale * np.where(low < 0, left, right)


def _density(kde: Any, points: np.ndarray) -> np.ndarray:
    """`kde.pdf(points)` of a statsmodels KDEMultivariate as one array program, shape (n,)."""
    kernels = np.empty((len(points), *kde.data.shape))
    for j, kind in enumerate(kde.var_type):
        gap = kde.data[None, :, j] - points[:, None, j]
        if kind == "c":
            kernels[..., j] = np.exp(-(gap**2) / (2 * kde.bw[j] ** 2)) / np.sqrt(2 * np.pi)
        else:
            with np.errstate(divide="ignore"):
                other = kde.bw[j] / np.float64(len(np.unique(kde.data[:, j])) - 1)
            kernels[..., j] = np.where(gap == 0, 1 - kde.bw[j], other)
    continuous = np.array([kind == "c" for kind in kde.var_type])
    with np.errstate(invalid="ignore"):  # an infinite kernel times one that underflowed
        together = kernels.prod(axis=2).sum(axis=1)
    return together / np.prod(kde.bw[continuous]) / kde.nobs
