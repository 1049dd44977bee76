"""The eleven parametric families of curves of Domhan et al. (2015, table 1), and their fits.

Every family is used in its affine closure c + m g(x; theta), x the number of trained epochs: a
curve keeps its family when the unit of the metric, its zero or its sign change. Only the one or
two parameters theta inside g are nonlinear. In the closure some of the published formulas span
the same curves (Hill3, log power and MMF; exp4, Janoschek and Weibull); there the families differ
in the range of the exponent: a slow heavy-tailed approach, a sigmoid, or both.

`fit` fits one family to many curves at once by variable projection (Golub and Pereyra 1973):
offset and amplitude are eliminated in closed form, and a bounded, multi-start
Levenberg-Marquardt iteration with Kaufman's (1975) Jacobian moves theta.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Shape = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
N_STARTS = 3
MAX_ITERATIONS = 60
_TOLERANCE = 1e-8
_LARGEST_EXPONENT = 500.0
_KNOTS = 9
_FLAT = 1e-9
_NO_NORM = 1e-20


@dataclass(frozen=True)
class Family:
    """One family c + m g(x; theta).

    Attributes
    ----------
    shape : maps x of shape (T,) and theta of shape (..., d), d in {0, 1, 2}, to g of shape
        (..., T) and its derivatives by theta of shape (..., T, d).
    ranges : of each parameter: its limits, or the name of limits that depend on the last epoch.
    nodes : grid points per parameter.
    log : whether theta is the logarithm of what `ranges` limits.
    """

    name: str
    shape: Shape
    ranges: tuple[tuple[float, float] | str, ...]
    nodes: tuple[int, ...]
    log: bool = True

    def bounds(self, last_epoch: float) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of theta, two arrays of shape (d,)."""
        scales: dict[Any, tuple[float, float]] = {
            "time": (0.1, 2.0 * last_epoch),
            "shifted time": (0.05, 2.0 * last_epoch),
            "rate": (0.5 / last_epoch, 4.0),
        }
        limits = np.array([scales.get(r, r) for r in self.ranges], dtype=np.float64).reshape(-1, 2)
        lower, upper = (np.log(limits) if self.log else limits).T
        return lower, upper

    def grid(self, last_epoch: float) -> np.ndarray:
        """Centres of a regular division of the box into cells, shape (prod(nodes), d)."""
        axes = [
            low + (np.arange(n) + 0.5) * (high - low) / n
            for low, high, n in zip(*self.bounds(last_epoch), self.nodes, strict=True)
        ]
        return np.array(list(product(*axes)), dtype=np.float64)

    def cell_sides(self, last_epoch: float) -> np.ndarray:
        """Lengths of the sides of a cell of the grid, shape (d,)."""
        lower, upper = self.bounds(last_epoch)
        return (upper - lower) / np.array(self.nodes)

    def cell_of(self, theta: np.ndarray, last_epoch: float) -> np.ndarray:
        """Number of the cell that holds theta of shape (..., d), an int array of shape (...)."""
        lower, upper = self.bounds(last_epoch)
        nodes = np.array(self.nodes, dtype=np.int64)
        position = ((theta - lower) / (upper - lower) * nodes).astype(np.int64)
        strides = np.cumprod(np.append(1, nodes[:0:-1]))[::-1][: len(nodes)]
        return np.clip(position, 0, nodes - 1) @ strides


def _ilog2(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    g = np.broadcast_to(-1.0 / np.log1p(x), (*theta.shape[:-1], len(x)))
    return g, np.empty((*g.shape, 0))


def _pow3(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = np.exp(theta) * np.log(x)
    return -np.expm1(-t), (t * np.exp(-t))[..., None]


def _loglog_linear(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t = np.exp(theta) * np.log(x)
    return np.log1p(t), (t / (1.0 + t))[..., None]


def _vapor_pressure(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log_x = np.log(x)
    g = np.exp(theta[..., :1] / x + theta[..., 1:] * log_x)
    return g, np.stack([g / x, g * log_x], axis=-1)


def _pow4(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ratio = (x - 1.0) * np.exp(-theta[..., :1])
    exponent = np.exp(theta[..., 1:])
    t = exponent * np.log1p(ratio)
    power = np.exp(-t)
    return -np.expm1(-t), np.stack([-exponent * power * ratio / (1.0 + ratio), t * power], axis=-1)


def _hill(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exponent = np.exp(theta[..., 1:])
    t = exponent * (np.log(x) - theta[..., :1])
    g = 1.0 / (1.0 + np.exp(-t))
    slope = g * (1.0 - g)
    return g, np.stack([-exponent * slope, t * slope], axis=-1)


def _stretched_exponential(x: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exponent = np.exp(theta[..., 1:])
    t = exponent * (np.log(x) + theta[..., :1])
    q = np.minimum(np.exp(np.minimum(t, _LARGEST_EXPONENT)), _LARGEST_EXPONENT)
    slope = q * np.exp(-q)
    return -np.expm1(-q), np.stack([exponent * slope, t * slope], axis=-1)


# Limits of plain parameters ("time" and "rate" are scales of time); logarithms but for vapor
# pressure, so that ranges and grids are invariant under a change of scale.
_SLOW, _STEEP, _ANY = (0.1, 1.0), (1.0, 6.0), (0.2, 4.0)

FAMILIES: tuple[Family, ...] = (
    # exp(a + b / x + c log x), by b and c
    Family("vapor_pressure", _vapor_pressure, ((-8.0, 8.0), (-1.5, 0.75)), (10, 9), log=False),
    # c - a x^-alpha, by alpha
    Family("pow3", _pow3, ((0.02, 5.0),), (20,)),
    # log(a log x + b), by a / b
    Family("loglog_linear", _loglog_linear, ((0.01, 1000.0),), (16,)),
    # ymax x^eta / (kappa^eta + x^eta), by kappa and eta >= 1
    Family("hill3", _hill, ("time", _STEEP), (9, 5)),
    # a / (1 + (x / e^b)^c), by e^b and |c| <= 1
    Family("log_power", _hill, ("time", _SLOW), (9, 5)),
    # c - (a x + b)^-alpha, by (a + b) / a and alpha
    Family("pow4", _pow4, ("shifted time", (0.05, 8.0)), (9, 9)),
    # alpha - (alpha - beta) / (1 + (kappa x)^delta), by 1 / kappa and delta
    Family("mmf", _hill, ("time", _ANY), (9, 7)),
    # c - exp(-a x^alpha + b), by a^(1 / alpha) and alpha <= 1
    Family("exp4", _stretched_exponential, ("rate", _SLOW), (9, 5)),
    # alpha - (alpha - beta) exp(-kappa x^delta), by kappa^(1 / delta) and delta >= 1
    Family("janoschek", _stretched_exponential, ("rate", _STEEP), (9, 5)),
    # alpha - (alpha - beta) exp(-(kappa x)^delta), by kappa and delta
    Family("weibull", _stretched_exponential, ("rate", _ANY), (9, 7)),
    # c - a / log(x + 1)
    Family("ilog2", _ilog2, (), ()),
)


def scaled(
    family: Family, theta: np.ndarray, x: np.ndarray, last_epoch: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shapes with g(1) = 0, g(E) >= 0 and a span of one between epochs 1 and E.

    For theta of shape (..., d) and epochs x of shape (T,): g at x, shape (..., T), and at E, shape
    (...); zero where g does not vary.
    """
    knots = np.geomspace(1.0, last_epoch, _KNOTS)
    g, _ = family.shape(np.concatenate([knots, x]), theta)
    whole = g[..., :_KNOTS]
    span = np.ptp(whole, axis=-1, keepdims=True)
    flat = span <= _FLAT * np.abs(whole).max(axis=-1, keepdims=True)
    factor = np.where(whole[..., -1:] >= whole[..., :1], 1.0, -1.0) / np.where(flat, np.inf, span)
    g = (g - whole[..., :1]) * factor
    return g[..., _KNOTS:], g[..., _KNOTS - 1]


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
    """

    theta: np.ndarray
    rss: np.ndarray
    gradient: np.ndarray
    information: np.ndarray

    @classmethod
    def at(cls, theta: np.ndarray, y: np.ndarray, family: Family, x: np.ndarray) -> Fits:
        """At theta of shape (k, d) for curves y of shape (k, T) with a mean of zero."""
        g, slopes = family.shape(x, theta)
        g = g - g.mean(axis=1)[:, None]
        norm = np.einsum("nt,nt->n", g, g)
        flat = norm <= _NO_NORM
        norm = np.where(flat, 1.0, norm)
        amplitude = np.where(flat, 0.0, np.einsum("nt,nt->n", g, y) / norm)
        residual = y - amplitude[:, None] * g
        slopes = slopes - slopes.mean(axis=1, keepdims=True)
        along = np.einsum("nt,ntd->nd", g, slopes) / norm[:, None]
        jacobian = -amplitude[:, None, None] * (slopes - g[:, :, None] * along[:, None, :])
        return cls(
            theta,
            np.einsum("nt,nt->n", residual, residual),
            np.einsum("ntd,nt->nd", jacobian, residual),
            np.einsum("ntd,nte->nde", jacobian, jacobian),
        )

    def take(self, rows: np.ndarray) -> Fits:
        return Fits(*(array[rows] for array in vars(self).values()))

    def put(self, rows: np.ndarray, other: Fits, chosen: np.ndarray) -> None:
        for name, array in vars(self).items():
            array[rows[chosen]] = vars(other)[name][chosen]

    def free(self, bounds: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Which parameters no bound holds, and which pairs; shapes (n, d) and (n, d, d)."""
        lower, upper = bounds
        held = (self.theta <= lower) & (self.gradient > 0)
        free = ~(held | ((self.theta >= upper) & (self.gradient < 0)))
        return free, free[:, :, None] & free[:, None, :]


def fit(family: Family, x: np.ndarray, curves: np.ndarray, last_epoch: float) -> Fits:
    """Fit one family to curves of the order of one, shape (n, T), at epochs x >= 1, shape (T,)."""
    centred = curves - curves.mean(axis=1)[:, None]
    bounds = family.bounds(last_epoch)
    starts = _starts(family, x, centred, last_epoch)
    n, n_starts, d = starts.shape
    y = np.repeat(centred, n_starts, axis=0)
    state = Fits.at(starts.reshape(n * n_starts, d), y, family, x)
    if d:
        _minimise(state, y, family, x, bounds)
    best = np.arange(n) * n_starts + state.rss.reshape(n, n_starts).argmin(axis=1)
    end = state.take(best)
    end.information *= end.free(bounds)[1]
    return end


def _starts(family: Family, x: np.ndarray, centred: np.ndarray, last_epoch: float) -> np.ndarray:
    """Best node of each of up to N_STARTS slabs of the grid's first axis, (n, n_starts, d)."""
    grid = family.grid(last_epoch)
    g, _ = family.shape(x, grid)
    g = g - g.mean(axis=1, keepdims=True)
    norm = np.sqrt((g * g).sum(axis=1, keepdims=True))
    gain = (centred @ np.divide(g, norm, out=np.zeros_like(g), where=norm > _NO_NORM).T) ** 2
    slabs = np.array_split(np.arange(len(grid)), min(N_STARTS, len(grid)))
    return np.stack([grid[slab[gain[:, slab].argmax(axis=1)]] for slab in slabs], axis=1)


def _minimise(
    state: Fits,
    y: np.ndarray,
    family: Family,
    x: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
) -> None:
    """Move `state` to local minima in place; curves leave the batch as they converge."""
    damping = np.full(len(y), 1e-2)
    negligible = 1e-22 * np.einsum("nt,nt->n", y, y)
    active = np.flatnonzero(state.rss > negligible)
    for _ in range(MAX_ITERATIONS):
        if not len(active):
            break
        now = state.take(active)
        free, pairs = now.free(bounds)
        step = _damped_step(now.gradient * free, now.information * pairs, damping[active])
        trial = Fits.at(np.clip(now.theta + step, *bounds), y[active], family, x)
        better = trial.rss < now.rss
        small = np.abs(trial.theta - now.theta).max(axis=1) <= _TOLERANCE
        settled = better & (now.rss - trial.rss <= _TOLERANCE * now.rss)
        state.put(active, trial, better)
        damping[active] = np.maximum(damping[active] * np.where(better, 0.2, 5.0), 1e-10)
        active = active[~(small | settled | (trial.rss <= negligible[active]))]


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
