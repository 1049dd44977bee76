"""Bayesian extrapolation of curves by all families at once: the integral behind `lce`.

Given family, theta and the kind and level of the noise, offset and amplitude are linear and
Gaussian, so their posterior and the evidence have a closed form. What remains is a sum over the
nodes of a grid over theta; in every family the node next to the least-squares optimum is moved
there, and its weight is the volume that Laplace's approximation gives it, at most its cell.
The docstring of `lce` lists the priors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import logsumexp

from curvecast.predictors._curve_families import FAMILIES, fit, scaled

AMPLITUDE_MEAN, AMPLITUDE_STD, AMPLITUDE_GROWTH = 0.65, 0.42, 0.2
NOISE_MEDIAN, NOISE_LOG_STD = 0.05, 2.0
NOISE_LEVELS = 2.0 ** np.arange(-12, 1)
LOG_NOISE_PRIOR = -0.5 * (np.log(NOISE_LEVELS / NOISE_MEDIAN) / NOISE_LOG_STD) ** 2
LOG_NOISE_PRIOR -= logsumexp(LOG_NOISE_PRIOR)
BROWNIAN_RATIOS = (0.0, 3.0, 30.0, 300.0)
EXTRAPOLATION_ERROR = 0.3
UNIT_OF_CONSTANT = 0.1
COMPONENTS = 16
SMALLEST_SHARE = 0.2
_CHUNK = 512
_BLOCK = 64
_TINY = 1e-300


def extrapolate(values: np.ndarray, epochs: np.ndarray, last_epoch: int) -> np.ndarray:
    """Predictive mixtures for the value at `last_epoch`.

    Parameters
    ----------
    values : seen values of curves that rise as training goes well, shape (n, T); what is not
        finite is left out, and every curve has at least one finite value.
    epochs : their epochs, shape (T,).

    Returns
    -------
    Weights, centres and widths of the Gaussians of each curve, shape (3, n, COMPONENTS); for
    curves of zeros alone, which show no unit, in units of one.
    """
    out = np.zeros((3, len(values), COMPONENTS))
    patterns, number = np.unique(used(values, epochs), axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        rows = np.flatnonzero(number == i)
        # a lone untrained value stands in for epoch 1
        grid = _Grid.at(np.maximum(epochs[pattern], 1).astype(np.float64), float(last_epoch))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            out[:, chunk] = _extrapolate(values[np.ix_(chunk, pattern)], grid)
    return out


def used(values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Which values are fitted: finite and trained, or else finite; boolean, shape (n, T)."""
    finite = np.isfinite(values)
    trained = finite & (epochs >= 1)
    return np.where(trained.any(axis=1, keepdims=True), trained, finite)


@dataclass(frozen=True)
class _Noise:
    """White noise plus Brownian motion in log time, in units of the white variance.

    Attributes
    ----------
    whiten : maps values to independent residuals from their best constant, shape (T, T).
    carry : weights of the seen values in the best prediction of a constant plus noise at the
        last epoch, shape (T,); they add up to one.
    variance : of that prediction.
    log_norm : of the density of the residuals.
    """

    whiten: np.ndarray
    carry: np.ndarray
    variance: float
    log_norm: float

    @classmethod
    def of(cls, x: np.ndarray, last_epoch: float, ratio: float) -> Self:
        points = np.append(x, last_epoch)
        covariance = np.equal.outer(points, points) + ratio * np.log(
            np.minimum.outer(points, points)
        )
        lower = np.linalg.cholesky(covariance[:-1, :-1])
        inverse = np.linalg.inv(lower)
        one = inverse.sum(axis=1)
        precision = one @ one
        simple = inverse.T @ (inverse @ covariance[:-1, -1])
        missing = 1.0 - simple.sum()
        variance = covariance[-1, -1] - covariance[:-1, -1] @ simple + missing**2 / precision
        return cls(
            whiten=inverse - np.outer(one, one @ inverse) / precision,
            carry=simple + missing * (one @ inverse) / precision,
            variance=max(float(variance), 0.0),
            log_norm=float(-np.log(np.diag(lower)).sum() - 0.5 * np.log(precision)),
        )


@dataclass(frozen=True)
class _Shapes:
    """Whitened shapes, of the grid (K nodes for all curves) or of each curve's own optima (n, F).

    g : (K, T) or (n, F, T). gg : g'g, (K,) or (n, F). gain : what an amplitude of one adds to the
    carried prediction, shape like gg.
    """

    g: np.ndarray
    gg: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, seen: np.ndarray, end: np.ndarray, noise: _Noise) -> Self:
        """From shapes at the seen epochs and at the end, (..., T) and (...)."""
        g = (seen.reshape(-1, seen.shape[-1]) @ noise.whiten.T).reshape(seen.shape)
        return cls(g, np.einsum("...t,...t->...", g, g), end - seen @ noise.carry)

    def along(self, y: np.ndarray) -> np.ndarray:
        """g'y with whitened curves y of shape (n, T); shape (n, K) or (n, F)."""
        return y @ self.g.T if self.g.ndim == 2 else np.einsum("nft,nt->nf", self.g, y)

    def posterior(
        self, gy: np.ndarray, sigma: float, growth: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evidence and the remaining gain's Gaussian posterior per curve and node at one sigma.

        `growth` multiplies mean and standard deviation of the prior of the amplitude. Log
        evidence (up to what all nodes have in common) and mean, shaped like gy; variance, like gg.
        """
        shrink = (sigma / (growth * AMPLITUDE_STD)) ** 2
        precision = self.gg + shrink
        b = gy + growth * AMPLITUDE_MEAN * shrink
        gain = b * (self.gain / precision)
        np.multiply(b, b, out=b)
        b *= 0.5 / sigma**2 / precision
        b -= 0.5 * np.log1p(self.gg / shrink)
        return b, gain, sigma**2 * self.gain**2 / precision


@dataclass(frozen=True)
class _Grid:
    """What all curves with the same seen epochs x share: the grid over theta of all families.

    Attributes
    ----------
    first : position of each family's first node, shape (F,).
    cells : sides of the cells, shape (F, 2); ones fill up what a family does not have.
    log_prior : of each node, shape (K,).
    kinds : per ratio in BROWNIAN_RATIOS the noise and the shapes under it.
    growth : how much more than it has shown a curve may be expected to do until the end.
    """

    x: np.ndarray
    last_epoch: float
    first: np.ndarray
    cells: np.ndarray
    log_prior: np.ndarray
    kinds: tuple[tuple[_Noise, _Shapes], ...]
    growth: float

    @classmethod
    def at(cls, x: np.ndarray, last_epoch: float) -> Self:
        shapes = [scaled(family, family.grid(last_epoch), x, last_epoch) for family in FAMILIES]
        cells = np.ones((len(FAMILIES), 2))
        priors = []
        for i, (seen, end) in enumerate(shapes):
            cells[i, : len(FAMILIES[i].nodes)] = FAMILIES[i].cell_sides(last_epoch)
            weight = 1.0 - np.clip(end - seen[:, -1], 0.0, 1.0) + 1e-3
            priors.append(np.log(weight / weight.sum() / len(FAMILIES)))
        seen, end = (np.concatenate(part) for part in zip(*shapes, strict=True))
        noises = [_Noise.of(x, last_epoch, ratio) for ratio in BROWNIAN_RATIOS]
        return cls(
            x=x,
            last_epoch=last_epoch,
            first=np.cumsum([0, *(len(prior) for prior in priors[:-1])]),
            cells=cells,
            log_prior=np.concatenate(priors),
            kinds=tuple((noise, _Shapes.of(seen, end, noise)) for noise in noises),
            growth=1.0 + AMPLITUDE_GROWTH * float(np.log(last_epoch / x[-1])) ** 2,
        )

    def optima(self, curves: np.ndarray) -> tuple[np.ndarray, ...]:
        """The least-squares optimum of every family as a node of its own per curve.

        Where a family has at least as many parameters as there are values, many optima fit without
        error and rounding would choose among them; a node of the grid then stands in for itself.

        Returns the scaled shapes at the seen epochs (n, F, T) and at the end (n, F), the position
        (n, F) of the grid node that each one replaces, and J'J, (n, F, 2, 2), filled up with zeros.
        """
        shape = (len(curves), len(FAMILIES))
        seen, end = np.empty((*shape, len(self.x))), np.empty(shape)
        replaces, information = np.empty(shape, dtype=np.int64), np.zeros((*shape, 2, 2))
        for i, family in enumerate(FAMILIES):
            d = len(family.nodes)
            theta = np.tile(family.grid(self.last_epoch)[:1], (len(curves), 1))
            if len(self.x) > d + 2:
                fits = fit(family, self.x, curves, self.last_epoch)
                theta, information[:, i, :d, :d] = fits.theta, fits.information
            seen[:, i], end[:, i] = scaled(family, theta, self.x, self.last_epoch)
            replaces[:, i] = self.first[i] + family.cell_of(theta, self.last_epoch)
        return seen, end, replaces, information

    def log_volume_share(self, information: np.ndarray, sigma: float) -> np.ndarray:
        """Log of the share of the cell that the posterior fills by Laplace, shape (n, F).

        The uniform prior in the cell enters as a precision of 2 pi / side^2, so that the share
        grows to one as the data say less.
        """
        scale = self.cells / np.sqrt(2.0 * np.pi)
        a = 1.0 + information[..., 0, 0] * (scale[:, 0] / sigma) ** 2
        b = 1.0 + information[..., 1, 1] * (scale[:, 1] / sigma) ** 2
        c = information[..., 0, 1] * scale[:, 0] * scale[:, 1] / sigma**2
        return -0.5 * np.log(np.maximum(a * b - c * c, 1.0))


def _extrapolate(values: np.ndarray, grid: _Grid) -> np.ndarray:
    """Mixtures for curves that are finite at all of `grid.x`; shape (3, n, COMPONENTS)."""
    curves, last, unit = _in_own_unit(values)
    optima = grid.optima(curves)
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(curves), _BLOCK)]
    log_weight, centre, variance = np.block(
        [
            [_under(*kind, curves[b], grid, *(part[b] for part in optima)) for kind in grid.kinds]
            for b in blocks
        ]
    )
    weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
    variance = variance + (EXTRAPOLATION_ERROR * centre) ** 2
    weight, centre, variance = _heaviest(np.stack([weight, centre, variance]))
    return np.stack(
        [weight, last[:, None] + unit[:, None] * centre, unit[:, None] * np.sqrt(variance)]
    )


def _in_own_unit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curves less their last value in units of what each has shown; last values and units.

    What a curve has shown is its best value minus its lower decile (so that one bad first epoch
    does not set the unit), at least a fifth of its range. A curve whose values are all equal has
    no unit of its own: its unit is a tenth of its value, or 1 for a curve of zeros.
    """
    last = values[:, -1]
    top = values.max(axis=1)
    shown = np.maximum(
        top - np.quantile(values, 0.1, axis=1), SMALLEST_SHARE * (top - values.min(axis=1))
    )
    constant = np.where(last == 0, 1.0, UNIT_OF_CONSTANT * np.abs(last))
    unit = np.where(shown > 0, shown, constant)
    return (values - last[:, None]) / unit[:, None], last, unit


def _under(
    noise: _Noise,
    shapes: _Shapes,
    curves: np.ndarray,
    grid: _Grid,
    seen: np.ndarray,
    end: np.ndarray,
    replaces: np.ndarray,
    information: np.ndarray,
) -> np.ndarray:
    """Evidence and predictive mean and variance per family under one kind of noise.

    Given a node and sigma, m has the posterior N(b / D, sigma^2 / D) with D = g'g + (sigma/k)^2
    and b = g'y + mu (sigma/k)^2 (g and y whitened, k and mu of the prior of m); see Bishop 2006,
    section 3.3, for it and for the evidence. Shape (3, n, F), the first in logs.
    """
    y = curves @ noise.whiten.T
    own = _Shapes.of(seen, end, noise)
    grid_y, own_y = shapes.along(y), own.along(y)
    yy = np.einsum("nt,nt->n", y, y)
    rows = np.arange(len(y))[:, None]
    top = np.full(len(y), -np.inf)
    total = np.zeros((3, len(y), len(FAMILIES)))
    for sigma, log_noise in zip(NOISE_LEVELS, LOG_NOISE_PRIOR, strict=True):
        grid_log, grid_mean, grid_variance = shapes.posterior(grid_y, sigma, grid.growth)
        grid_log += grid.log_prior
        grid_log[rows, replaces] = -np.inf
        own_log, own_mean, own_variance = own.posterior(own_y, sigma, grid.growth)
        own_log += grid.log_prior[replaces] + grid.log_volume_share(information, sigma)
        high = np.maximum(grid_log.max(axis=1), own_log.max(axis=1))
        common = log_noise - yy / (2.0 * sigma**2) - (curves.shape[1] - 1) * np.log(sigma)
        new_top = np.maximum(top, high + common)
        total *= np.exp(top - new_top)[:, None]
        shift = (common - new_top)[:, None]
        extra = noise.variance * sigma**2
        parts = _moments(np.exp(grid_log + shift), grid_mean, grid_variance, extra)
        total += np.stack([np.add.reduceat(part, grid.first, axis=1) for part in parts]) + np.stack(
            _moments(np.exp(own_log + shift), own_mean, own_variance, extra)
        )
        top = new_top
    mass, first, second = total
    with np.errstate(divide="ignore"):
        log_weight = np.log(mass) + top[:, None] + noise.log_norm
    mass = np.maximum(mass, _TINY)
    mean = first / mass
    carried = (curves @ noise.carry)[:, None]
    return np.stack([log_weight, carried + mean, np.maximum(second / mass - mean**2, 0.0)])


def _moments(
    weight: np.ndarray, mean: np.ndarray, variance: np.ndarray, extra: float
) -> list[np.ndarray]:
    """Weight times 1, the gain and its square."""
    square = mean * mean
    square += variance + extra
    return [weight, weight * mean, weight * square]


def _heaviest(components: np.ndarray) -> np.ndarray:
    """The heaviest components, and the rest merged into one with the same two moments.

    Weights, centres and variances, shape (3, n, K) to (3, n, COMPONENTS).
    """
    order = np.argsort(-components[0], axis=1, kind="stable")
    components = np.take_along_axis(components, order[None], axis=2)
    weight, centre, variance = components[:, :, COMPONENTS - 1 :]
    total = weight.sum(axis=1)
    share = weight / np.maximum(total, _TINY)[:, None]
    mean = (share * centre).sum(axis=1)
    second = (share * (variance + (centre - mean[:, None]) ** 2)).sum(axis=1)
    merged = np.stack([total, mean, second])[:, :, None]
    return np.concatenate([components[:, :, : COMPONENTS - 1], merged], axis=2)
