"""Least-squares fits of one curve family to many curves in one batch of array operations.

Variable projection (Golub and Pereyra 1973): offset and amplitude of c + m g(x; theta) are
eliminated in closed form, which leaves one or two nonlinear parameters. They come from a
bounded, multi-start Levenberg-Marquardt iteration with Kaufman's (1975) Jacobian that runs on
all curves and starts at once. The starts come from a grid over the whole box, on which the
closed form costs one matrix product for all curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curvecast.predictors._curve_families import Family

N_STARTS = 3
MAX_ITERATIONS = 60
_TOLERANCE = 1e-8
_FLAT = 1e-20


@dataclass
class Fits:
    """Fits of one family to n curves, or where the iteration stands with them.

    Attributes
    ----------
    theta : nonlinear parameters, shape (n, d).
    rss : residual sum of squares, shape (n,).
    gradient : J'r of the residuals r by theta after elimination of c and m, shape (n, d).
    information : J'J, shape (n, d, d); after `fit` zero in the rows and columns of parameters
        that a bound holds.
    amplitude, offset : m and c, shape (n,).
    """

    theta: np.ndarray
    rss: np.ndarray
    gradient: np.ndarray
    information: np.ndarray
    amplitude: np.ndarray
    offset: np.ndarray

    def take(self, rows: np.ndarray) -> Fits:
        return Fits(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def put(self, rows: np.ndarray, other: Fits, chosen: np.ndarray) -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name)[rows[chosen]] = getattr(other, name)[chosen]

    def held(self, bounds: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Which parameters push against a bound, shape (n, d)."""
        lower, upper = bounds
        return ((self.theta <= lower) & (self.gradient > 0)) | (
            (self.theta >= upper) & (self.gradient < 0)
        )


@dataclass(frozen=True)
class _Problem:
    """One family, the epochs x of shape (T,), and curves less their means, (n, T) and (n,)."""

    family: Family
    x: np.ndarray
    centred: np.ndarray
    means: np.ndarray
    last_epoch: float

    def starts(self) -> np.ndarray:
        """Best node by residual sum of squares of each of up to N_STARTS slabs of the grid.

        The slabs divide its first parameter; shape (n, n_starts, d).
        """
        grid = self.family.grid(self.last_epoch)
        g, _ = self.family.shape(self.x, grid)
        g = g - g.mean(axis=1, keepdims=True)
        norm = np.sqrt((g * g).sum(axis=1, keepdims=True))
        gain = (self.centred @ np.divide(g, norm, out=np.zeros_like(g), where=norm > _FLAT).T) ** 2
        slabs = np.array_split(np.arange(len(grid)), min(N_STARTS, len(grid)))
        return np.stack([grid[slab[gain[:, slab].argmax(axis=1)]] for slab in slabs], axis=1)

    def at(self, owner: np.ndarray, theta: np.ndarray) -> Fits:
        """The state of curves `owner` of shape (k,) at theta of shape (k, d)."""
        g, slopes = self.family.shape(self.x, theta)
        y = self.centred[owner]
        g_mean = g.mean(axis=1)
        g = g - g_mean[:, None]
        norm = np.einsum("nt,nt->n", g, g)
        flat = norm <= _FLAT
        norm = np.where(flat, 1.0, norm)
        amplitude = np.where(flat, 0.0, np.einsum("nt,nt->n", g, y) / norm)
        residual = y - amplitude[:, None] * g
        slopes = slopes - slopes.mean(axis=1, keepdims=True)
        along = np.einsum("nt,ntd->nd", g, slopes) / norm[:, None]
        jacobian = -amplitude[:, None, None] * (slopes - g[:, :, None] * along[:, None, :])
        return Fits(
            theta=theta,
            rss=np.einsum("nt,nt->n", residual, residual),
            gradient=np.einsum("ntd,nt->nd", jacobian, residual),
            information=np.einsum("ntd,nte->nde", jacobian, jacobian),
            amplitude=amplitude,
            offset=self.means[owner] - amplitude * g_mean,
        )

    def minimise(self, owner: np.ndarray, state: Fits) -> None:
        """Move `state` to local minima in place; curves leave the batch as they converge."""
        bounds = self.family.bounds(self.last_epoch)
        damping = np.full(len(owner), 1e-2)
        negligible = 1e-22 * np.einsum("nt,nt->n", self.centred, self.centred)[owner]
        active = np.flatnonzero(state.rss > negligible)
        for _ in range(MAX_ITERATIONS):
            if not len(active):
                break
            now = state.take(active)
            held = now.held(bounds)
            gradient = np.where(held, 0.0, now.gradient)
            information = now.information * (~held[:, :, None] & ~held[:, None, :])
            step = _damped_step(gradient, information, damping[active])
            theta = np.clip(now.theta + step, *bounds)
            trial = self.at(owner[active], theta)
            better = trial.rss < now.rss
            small = np.abs(theta - now.theta).max(axis=1) <= _TOLERANCE
            settled = better & (now.rss - trial.rss <= _TOLERANCE * now.rss)
            state.put(active, trial, better)
            damping[active] *= np.where(better, 0.2, 5.0)
            damping[active] = np.maximum(damping[active], 1e-10)
            done = small | settled | (trial.rss <= negligible[active])
            active = active[~done]


def fit(family: Family, x: np.ndarray, curves: np.ndarray, last_epoch: float) -> Fits:
    """Fit one family to every curve.

    Parameters
    ----------
    x : epochs >= 1, shape (T,).
    curves : finite values of the order of one, shape (n, T).
    last_epoch : E, on which the bounds depend.
    """
    means = curves.mean(axis=1)
    problem = _Problem(family, x, curves - means[:, None], means, last_epoch)
    starts = problem.starts()
    n, n_starts, d = starts.shape
    owner = np.repeat(np.arange(n), n_starts)
    state = problem.at(owner, starts.reshape(n * n_starts, d))
    if d:
        problem.minimise(owner, state)
    best = np.arange(n) * n_starts + state.rss.reshape(n, n_starts).argmin(axis=1)
    end = state.take(best)
    free = ~end.held(family.bounds(last_epoch))
    end.information *= free[:, :, None] & free[:, None, :]
    return end


def _damped_step(gradient: np.ndarray, information: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Solve (J'J + damping (diag(J'J) + its mean)) step = -gradient for d = 1 or 2."""
    diagonal = np.einsum("ndd->nd", information)
    extra = damping[:, None] * (diagonal + diagonal.mean(axis=1, keepdims=True)) + 1e-300
    diagonal = diagonal + extra
    if gradient.shape[1] == 1:
        return -gradient / diagonal
    off = information[:, 0, 1]
    determinant = np.maximum(diagonal[:, 0] * diagonal[:, 1] - off * off, 1e-300)
    swapped = gradient[:, ::-1]
    return (off[:, None] * swapped - diagonal[:, ::-1] * gradient) / determinant[:, None]
