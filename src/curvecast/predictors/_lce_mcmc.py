"""Domhan, Springenberg, Hutter (2015): the weighted sum of all families, sampled by emcee.

    y(x) = sum_k w_k (c_k + m_k g_k(x; theta_k)) / sum_k w_k + N(0, sigma^2)

with flat priors on bounded parameters and, as published, w_k >= 0 and a combined curve that ends
above its start, f(E) > f(1). The walkers start around the least-squares fits of the families
with equal weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import emcee
import numpy as np

from curvecast.predictors import _least_squares
from curvecast.predictors._curve_families import FAMILIES, scaled

_LINEAR_BOUND = 10.0
_LOG_SIGMA_BOUNDS = (np.log(1e-4), np.log(2.0))
SAMPLES = 400
_N_STARTS = 3


@dataclass(frozen=True)
class Target:
    """Log posterior of one curve, given in its own unit at epochs x >= 1.

    A position is (per family: offset c, amplitude m, theta), the weights, log sigma.
    """

    x: np.ndarray
    y: np.ndarray
    last_epoch: float

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of a position, each of shape (D,)."""
        limits = []
        for family in FAMILIES:
            limits += [(-_LINEAR_BOUND, _LINEAR_BOUND)] * 2
            limits += list(zip(*family.bounds(self.last_epoch), strict=True))
        limits += [(0.0, 1.0)] * len(FAMILIES) + [_LOG_SIGMA_BOUNDS]
        lower, upper = np.array(limits, dtype=np.float64).T
        return lower, upper

    def curves(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The combined curve at x, at epoch 1 and at E: shapes (W, T), (W,) and (W,)."""
        weights = positions[:, -len(FAMILIES) - 1 : -1]
        weights = weights / weights.sum(axis=1, keepdims=True)
        at_x = np.zeros((len(positions), len(self.x)))
        start, end = np.zeros(len(positions)), np.zeros(len(positions))
        column = 0
        for weight, family in zip(weights.T, FAMILIES, strict=True):
            d = len(family.nodes)
            offset, amplitude = positions[:, column], positions[:, column + 1]
            theta = positions[:, column + 2 : column + 2 + d]
            column += 2 + d
            seen, last = scaled(family, theta, self.x, self.last_epoch)
            at_x += (weight * offset)[:, None] + (weight * amplitude)[:, None] * seen
            start += weight * offset
            end += weight * (offset + amplitude * last)
        return at_x, start, end

    def log_density(self, positions: np.ndarray) -> np.ndarray:
        """Unnormalised log posterior, shape (W,)."""
        lower, upper = self.bounds
        allowed = ((positions >= lower) & (positions <= upper)).all(axis=1)
        density = np.full(len(positions), -np.inf)
        if allowed.any():
            inside = positions[allowed]
            at_x, start, end = self.curves(inside)
            log_sigma = inside[:, -1]
            misfit = ((self.y - at_x) ** 2).sum(axis=1) * np.exp(-2.0 * log_sigma)
            value = -0.5 * misfit - len(self.x) * log_sigma
            density[allowed] = np.where(end > start, value, -np.inf)
        return density

    def start(self, walkers: int, rng: np.random.RandomState) -> np.ndarray:
        """Positions around the least-squares fits, inside the bounds and rising."""
        lower, upper = self.bounds
        position, best = [], np.inf
        for family in FAMILIES:
            fits = _least_squares.fit(
                family, self.x, self.y[None, :], self.last_epoch, n_starts=_N_STARTS
            )
            seen, _ = scaled(family, fits.theta, self.x, self.last_epoch)
            centred = seen[0] - seen[0].mean()
            norm = centred @ centred
            amplitude = np.clip(centred @ self.y / norm if norm > 0 else 0.0, 1e-3, 0.5 * upper[0])
            position += [self.y.mean() - amplitude * seen[0].mean(), amplitude, *fits.theta[0]]
            best = min(best, float(fits.rss[0]))
        sigma = np.sqrt(best / len(self.x))
        position += [1.0 / len(FAMILIES)] * len(FAMILIES) + [np.log(np.clip(sigma, 1e-3, 1.0))]
        spread = 0.01 * np.minimum(upper - lower, 1.0)
        ball = np.array(position) + spread * rng.standard_normal((walkers, len(position)))
        margin = 1e-3 * (upper - lower)
        ball = np.clip(ball, lower + margin, upper - margin)
        column = 1
        for family in FAMILIES:
            ball[:, column] = np.maximum(np.abs(ball[:, column]), 1e-4)
            column += 2 + len(family.nodes)
        return ball


def sample(
    x: np.ndarray, y: np.ndarray, last_epoch: float, seed: int, walkers: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior draws of the combined curve at E and of sigma, shapes (S,) and (S,).

    The first half of the steps is the burn-in.
    """
    target = Target(x, y, last_epoch)
    rng = np.random.RandomState(seed)
    sampler = emcee.EnsembleSampler(
        walkers, len(target.bounds[0]), target.log_density, vectorize=True
    )
    start = emcee.State(target.start(walkers, rng), random_state=rng.get_state())
    sampler.run_mcmc(start, steps)
    draws = sampler.get_chain(discard=steps // 2, flat=True)
    draws = draws[np.linspace(0, len(draws) - 1, SAMPLES).astype(np.int64)]
    return target.curves(draws)[2], np.exp(draws[:, -1])
