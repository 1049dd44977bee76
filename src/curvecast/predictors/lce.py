"""lce: extrapolation of single learning curves by eleven parametric families.

After Domhan, Springenberg, Hutter (IJCAI 2015). Every curve is predicted from its own first
epochs alone; training curves only serve to calibrate the spread (`calibrate=False`: not at all,
but for the unit of a curve of zeros).

The model of one curve, in its own unit and turned so that progress is upwards:

    y(x) = c + m g(x; theta) + noise,  g one of 11 families, scaled to g(1) = 0 and span 1 on 1..E

`method="least_squares"` integrates over it instead of sampling. Given family, theta and the
kind and level of the noise, c and m are linear and Gaussian, so their posterior and the evidence
have a closed form (Bayesian linear regression). What remains is a sum over the nodes of a grid
over theta, and in every family the node next to the least-squares optimum, which a bounded
multi-start Levenberg-Marquardt iteration finds, is moved there; its weight is the volume that
Laplace's approximation gives it, at most its cell. The priors:

- family: equal. theta: uniform in its box, times the share of the whole rise that g leaves *not*
  to come after tau, so that a shape whose rise is all in the future needs evidence for it.
- amplitude m ~ N(0.65, 0.42^2), times 1 + 0.2 log(E / tau)^2, in units of what the curve has
  shown so far: it goes on in its direction of progress and does not do a multiple of what it has
  done, unless most of the training is still to come. With one or two epochs seen nothing else is
  known, and the prediction stays near the last value.
- noise: white with standard deviation sigma, plus a Brownian motion in log time of variance
  ratio * sigma^2 per factor e in epochs, for ratios from 0 to 300. It stands for what no
  family can describe (a change of the learning rate, overfitting): where it explains a curve
  best, the prediction is the last value plus the families' remaining gain.
- what no seen epoch can tell: the remaining change of every component gets a relative error of
  30 %, so that a curve that a formula fits without any noise is not taken for certain.
- sigma: log-normal around 5 % of the unit with a factor of e^2, on a grid.

The result is a mixture of Gaussians, one per family and noise ratio. The constants of the priors
are the same for all data sets; they were chosen by hand on samples of 60 runs of 15 Baker and
LCBench sets at fractions .1, .25 and .5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from curvecast.curves import CurveSet, DataError
from curvecast.predictors import _least_squares
from curvecast.predictors._curve_families import FAMILIES, scaled
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction, ResidualPrediction
from curvecast.protocol import seed_from

MODELS = {"lce": {"class": "LCEPredictor"}}

METHODS = ("least_squares", "mcmc")
N_STARTS = 3
AMPLITUDE_MEAN, AMPLITUDE_STD, AMPLITUDE_GROWTH = 0.65, 0.42, 0.2
NOISE_MEDIAN, NOISE_LOG_STD = 0.05, 2.0
NOISE_LEVELS = 2.0 ** np.arange(-12, 1)
BROWNIAN_RATIOS = (0.0, 3.0, 30.0, 300.0)
EXTRAPOLATION_ERROR = 0.3
UNIT_OF_CONSTANT = 0.1
COMPONENTS = 16
MIN_CALIBRATION = 20
SMALLEST_SHARE = 0.2
_CHUNK = 512
_BLOCK = 64
_QUANTILE_STEPS = 80
_TINY = 1e-300
_REMEMBERED = 100_000
_KNOWN: dict[bytes, np.ndarray] = {}


@dataclass(frozen=True, eq=False)
class MixturePrediction(Prediction):
    """Mixtures of Gaussians per run.

    Attributes
    ----------
    mean, std : of the mixture, shape (n_configs,).
    weights, centres, widths : of the components, shape (n_configs, K).
    """

    weights: np.ndarray
    centres: np.ndarray
    widths: np.ndarray

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        value = np.broadcast_to(np.asarray(value, dtype=np.float64), self.mean.shape)
        return _mixture_cdf(value, self.weights, self.centres, self.widths)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        levels = np.asarray(levels, dtype=np.float64).ravel()
        columns = [
            _mixture_quantile(level, self.weights, self.centres, self.widths) for level in levels
        ]
        return np.stack(columns, axis=1)

    def affine(self, shift: np.ndarray | float, scale: float) -> MixturePrediction:
        moved = np.broadcast_to(np.asarray(shift, dtype=np.float64), self.mean.shape)
        return MixturePrediction(
            mean=moved + scale * self.mean,
            std=scale * self.std,
            weights=self.weights,
            centres=moved[:, None] + scale * self.centres,
            widths=scale * self.widths,
        )


class LCEPredictor(Predictor):
    """Per-curve extrapolation; see the module's docstring for the model.

    The value at epoch 0, of the untrained network, takes no part in the fit, as the families
    describe training (a curve of which nothing else is finite counts as a one-epoch curve).
    Values that are not finite are left out: a diverged run is extrapolated from what was finite.
    The prediction is equivariant under a change of sign, and under a change of scale and zero of
    the metric as soon as two seen values differ; before that, the unit is a tenth of the value.

    Parameters
    ----------
    method : "least_squares" or "mcmc" (Domhan's sampler, seconds per curve).
    calibrate : give the standardised errors at each tau the distribution that they have on the
        training curves (split conformal, as these take no part in the means, which do not
        change). With fewer than 20 training curves of finite end the mixture stays as it is.
    walkers, steps : of the sampler, method "mcmc" alone.

    Raises
    ------
    DataError : unknown method.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        method: str = "least_squares",
        calibrate: bool = True,
        walkers: int = 110,
        steps: int = 1500,
    ) -> None:
        super().__init__(seed=seed)
        if method not in METHODS:
            raise DataError(f"lce has no method {method!r}, it has: {', '.join(METHODS)}")
        self.method = method
        self.calibrate = calibrate
        self.walkers = walkers
        self.steps = steps
        self._residuals: dict[int, np.ndarray] = {}
        self._zero_unit = 0.0

    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        usable = curves.take(np.isfinite(curves.final))
        self._residuals = {}
        typical = float(np.median(np.abs(usable.final))) if len(usable) else 0.0
        self._zero_unit = UNIT_OF_CONSTANT * typical
        for tau in taus if self.calibrate else ():
            started = usable.take(np.isfinite(usable.values[:, usable.seen(tau)]).any(axis=1))
            raw = self._raw(started.hide_after(tau), tau)
            known = raw.std > 0
            if known.sum() >= MIN_CALIBRATION:
                self._residuals[tau] = (started.final - raw.mean)[known] / raw.std[known]
        return self

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        raw = self._raw(curves, tau)
        if tau not in self._residuals:
            return raw
        return ResidualPrediction.of(raw.mean, raw.std, self._residuals[tau])

    def _raw(self, curves: CurveSet, tau: int) -> MixturePrediction:
        seen = curves.seen(tau)
        values = curves.sign * curves.values[:, seen]
        epochs = curves.epochs[seen]
        if self.method == "mcmc":
            components = self._sample(values, epochs, curves)
        else:
            components = _remember(values, epochs, curves.last_epoch)
        zeros = (np.where(_used(values, epochs), values, 0.0) == 0).all(axis=1)
        components[1:, zeros] *= self._zero_unit
        return _mixture(components, curves.sign)

    def _sample(self, values: np.ndarray, epochs: np.ndarray, curves: CurveSet) -> np.ndarray:
        from curvecast.predictors import _lce_mcmc

        parts = []
        for rows, pattern in _by_pattern(values, epochs):
            x = _fitted_epochs(epochs[pattern])
            scaled_curves, last, unit = _in_own_unit(values[np.ix_(rows, pattern)])
            for row, y, shift, scale in zip(rows, scaled_curves, last, unit, strict=True):
                seed = seed_from(self.seed, "lce", curves.configs["id"].iloc[row])
                end, sigma = _lce_mcmc.sample(
                    x, y, float(curves.last_epoch), seed, self.walkers, self.steps
                )
                weight = np.full(len(end), 1.0 / len(end))
                parts.append((row, np.stack([weight, shift + scale * end, scale * sigma])))
        ordered = [part for _, part in sorted(parts, key=lambda part: part[0])]
        return np.array(ordered).reshape(-1, 3, _lce_mcmc.SAMPLES).swapaxes(0, 1)


def _remember(values: np.ndarray, epochs: np.ndarray, last_epoch: int) -> np.ndarray:
    """`extrapolate`, which depends on nothing but a curve, once per curve in this process.

    The repeats of an experiment predict the same curves again and again.
    """
    values = np.ascontiguousarray(values)
    task = np.append(epochs, last_epoch).tobytes()
    keys = [blake2b(row.tobytes() + task, digest_size=16).digest() for row in values]
    if len(_KNOWN) > _REMEMBERED:
        _KNOWN.clear()
    new = list({key: row for row, key in enumerate(keys) if key not in _KNOWN}.values())
    if new:
        fresh = extrapolate(values[new], epochs, last_epoch)
        _KNOWN.update({keys[row]: fresh[:, i] for i, row in enumerate(new)})
    return np.array([_KNOWN[key] for key in keys]).reshape(-1, 3, COMPONENTS).swapaxes(0, 1)


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
    for rows, pattern in _by_pattern(values, epochs):
        x = _fitted_epochs(epochs[pattern])
        nodes = _Nodes.at(x, float(last_epoch))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            out[:, chunk] = _extrapolate(values[np.ix_(chunk, pattern)], nodes)
    return out


def _used(values: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Which values are fitted: finite and trained, or else finite; boolean, shape (n, T)."""
    finite = np.isfinite(values)
    trained = finite & (epochs >= 1)
    return np.where(trained.any(axis=1, keepdims=True), trained, finite)


def _by_pattern(values: np.ndarray, epochs: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Rows that use the same epochs together with the mask of those epochs."""
    use = _used(values, epochs)
    patterns, number = np.unique(use, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        yield np.flatnonzero(number == i), pattern


def _fitted_epochs(epochs: np.ndarray) -> np.ndarray:
    """Epochs as the families take them: a lone untrained value stands in for epoch 1."""
    return np.maximum(epochs, 1).astype(np.float64)


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
    def of(cls, x: np.ndarray, last_epoch: float, ratio: float) -> _Noise:
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
class _Whitened:
    """Shapes under one kind of noise.

    Attributes
    ----------
    g : whitened shapes, (K, T) for all curves or (n, F, T) for each.
    gg, gain : see `_Linear`.
    """

    g: np.ndarray
    gg: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, seen: np.ndarray, end: np.ndarray, noise: _Noise) -> _Whitened:
        """From shapes at the seen epochs and at the end, (..., T) and (...)."""
        g = (seen.reshape(-1, seen.shape[-1]) @ noise.whiten.T).reshape(seen.shape)
        return cls(g, np.einsum("...t,...t->...", g, g), end - seen @ noise.carry)

    def linear(self, y: np.ndarray) -> _Linear:
        """With whitened curves y, shape (n, T)."""
        gy = y @ self.g.T if self.g.ndim == 2 else np.einsum("nft,nt->nf", self.g, y)
        return _Linear(self.gg, gy, self.gain)


@dataclass(frozen=True)
class _Nodes:
    """What all curves with the same seen epochs x share: the grid over theta of all families.

    Attributes
    ----------
    first : position of each family's first node, shape (F,).
    seen, end : scaled shapes at x and at E, shapes (K, T) and (K,).
    log_prior : of each node, shape (K,).
    noises : one per ratio in BROWNIAN_RATIOS.
    whitened : the shapes under each of them.
    """

    x: np.ndarray
    last_epoch: float
    first: np.ndarray
    seen: np.ndarray
    end: np.ndarray
    log_prior: np.ndarray
    noises: tuple[_Noise, ...]
    whitened: tuple[_Whitened, ...]

    @property
    def growth(self) -> float:
        """How much more than it has shown a curve may be expected to do until the end."""
        return 1.0 + AMPLITUDE_GROWTH * float(np.log(self.last_epoch / self.x[-1])) ** 2

    @classmethod
    def at(cls, x: np.ndarray, last_epoch: float) -> _Nodes:
        shapes = [scaled(family, family.grid(last_epoch), x, last_epoch) for family in FAMILIES]
        priors = []
        for seen, end in shapes:
            to_come = np.clip(end - seen[:, -1], 0.0, 1.0)
            weight = 1.0 - to_come + 1e-3
            priors.append(np.log(weight / weight.sum() / len(FAMILIES)))
        seen = np.concatenate([seen for seen, _ in shapes])
        end = np.concatenate([end for _, end in shapes])
        noises = tuple(_Noise.of(x, last_epoch, ratio) for ratio in BROWNIAN_RATIOS)
        return cls(
            x=x,
            last_epoch=last_epoch,
            first=np.cumsum([0, *(len(prior) for prior in priors[:-1])]),
            seen=seen,
            end=end,
            log_prior=np.concatenate(priors),
            noises=noises,
            whitened=tuple(_Whitened.of(seen, end, noise) for noise in noises),
        )


@dataclass(frozen=True)
class _Optima:
    """The least-squares optimum of every family as a node of its own per curve.

    Where a family has at least as many parameters as there are values, many optima fit without
    error and rounding would choose among them; a node of the grid then stands in for itself.

    Attributes
    ----------
    seen, end : scaled shapes, shapes (n, F, T) and (n, F).
    log_prior : of the grid node that each one stands in for, shape (n, F).
    replaces : position of that node, shape (n, F).
    information, cells : J'J of shape (n, F, 2, 2) and sides of the cells, shape (F, 2);
        zeros and sides of one fill up what a family does not have.
    """

    seen: np.ndarray
    end: np.ndarray
    log_prior: np.ndarray
    replaces: np.ndarray
    information: np.ndarray
    cells: np.ndarray

    @classmethod
    def of(cls, curves: np.ndarray, nodes: _Nodes) -> _Optima:
        n, n_families = len(curves), len(FAMILIES)
        seen = np.empty((n, n_families, len(nodes.x)))
        end = np.empty((n, n_families))
        replaces = np.empty((n, n_families), dtype=np.int64)
        information = np.zeros((n, n_families, 2, 2))
        cells = np.ones((n_families, 2))
        for i, family in enumerate(FAMILIES):
            d = len(family.nodes)
            theta = np.tile(family.grid(nodes.last_epoch)[:1], (n, 1))
            if len(nodes.x) > d + 2:
                fits = _least_squares.fit(family, nodes.x, curves, nodes.last_epoch, N_STARTS)
                theta, information[:, i, :d, :d] = fits.theta, fits.information
            seen[:, i], end[:, i] = scaled(family, theta, nodes.x, nodes.last_epoch)
            replaces[:, i] = nodes.first[i] + family.cell_of(theta, nodes.last_epoch)
            cells[i, :d] = family.cell_sides(nodes.last_epoch)
        return cls(seen, end, nodes.log_prior[replaces], replaces, information, cells)

    def take(self, rows: slice) -> _Optima:
        """The optima of some of the curves."""
        return _Optima(
            self.seen[rows],
            self.end[rows],
            self.log_prior[rows],
            self.replaces[rows],
            self.information[rows],
            self.cells,
        )

    def log_volume_share(self, sigma: float) -> np.ndarray:
        """Log of the share of the cell that the posterior fills by Laplace, shape (n, F).

        The uniform prior in the cell enters as a precision of 2 pi / side^2, so that the share
        grows to one as the data say less.
        """
        scale = self.cells / np.sqrt(2.0 * np.pi)
        a = 1.0 + self.information[..., 0, 0] * (scale[:, 0] / sigma) ** 2
        b = 1.0 + self.information[..., 1, 1] * (scale[:, 1] / sigma) ** 2
        c = self.information[..., 0, 1] * scale[:, 0] * scale[:, 1] / sigma**2
        return -0.5 * np.log(np.maximum(a * b - c * c, 1.0))


def _in_own_unit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curves less their last value in units of what each has shown; last values and units.

    What a curve has shown is its best value minus its lower decile (so that one bad first epoch
    does not set the unit), at least a fifth of its range. A curve whose values are all equal has
    no unit of its own and takes a tenth of its value; one of zeros takes 1.
    """
    last = values[:, -1]
    top = values.max(axis=1)
    shown = np.maximum(
        top - np.quantile(values, 0.1, axis=1), SMALLEST_SHARE * (top - values.min(axis=1))
    )
    constant = np.where(last == 0, 1.0, UNIT_OF_CONSTANT * np.abs(last))
    unit = np.where(shown > 0, shown, constant)
    return (values - last[:, None]) / unit[:, None], last, unit


def _extrapolate(values: np.ndarray, nodes: _Nodes) -> np.ndarray:
    """Mixtures for curves that are finite at all of `nodes.x`; shape (3, n, COMPONENTS)."""
    curves, last, unit = _in_own_unit(values)
    optima = _Optima.of(curves, nodes)
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(curves), _BLOCK)]
    log_weight, centre, variance = np.concatenate(
        [_integrate(curves[block], nodes, optima.take(block)) for block in blocks], axis=1
    )
    weight = np.exp(log_weight - logsumexp(log_weight, axis=1, keepdims=True))
    variance = variance + (EXTRAPOLATION_ERROR * centre) ** 2
    weight, centre, variance = _heaviest(weight, centre, variance)
    return np.stack(
        [weight, last[:, None] + unit[:, None] * centre, unit[:, None] * np.sqrt(variance)]
    )


def _integrate(curves: np.ndarray, nodes: _Nodes, optima: _Optima) -> np.ndarray:
    """Log weights, means and variances per noise ratio and family, shape (3, n, R F)."""
    parts = [
        _under(noise, whitened, curves, nodes, optima)
        for noise, whitened in zip(nodes.noises, nodes.whitened, strict=True)
    ]
    return np.stack([np.concatenate(part, axis=1) for part in zip(*parts, strict=True)])


def _under(
    noise: _Noise, whitened: _Whitened, curves: np.ndarray, nodes: _Nodes, optima: _Optima
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence and predictive mean and variance per family under one kind of noise.

    Given a node and sigma, m has the posterior N(b / D, sigma^2 / D) with D = g'g + (sigma/k)^2
    and b = g'y + mu (sigma/k)^2 (g and y whitened, k and mu of the prior of m); see Bishop 2006,
    section 3.3, for it and for the evidence. Three arrays of shape (n, F), the first in logs.
    """
    y = curves @ noise.whiten.T
    grid = whitened.linear(y)
    own = _Whitened.of(optima.seen, optima.end, noise).linear(y)
    yy = np.einsum("nt,nt->n", y, y)
    rows = np.arange(len(y))[:, None]
    log_noise_prior = -0.5 * (np.log(NOISE_LEVELS / NOISE_MEDIAN) / NOISE_LOG_STD) ** 2
    log_noise_prior -= logsumexp(log_noise_prior)
    top = np.full(len(y), -np.inf)
    total = np.zeros((3, len(y), len(FAMILIES)))
    for sigma, log_noise in zip(NOISE_LEVELS, log_noise_prior, strict=True):
        grid_at, own_at = (linear.posterior(sigma, nodes.growth) for linear in (grid, own))
        grid_at.log_evidence += nodes.log_prior
        grid_at.log_evidence[rows, optima.replaces] = -np.inf
        own_at.log_evidence += optima.log_prior + optima.log_volume_share(sigma)
        high = np.maximum(grid_at.log_evidence.max(axis=1), own_at.log_evidence.max(axis=1))
        common = log_noise - yy / (2.0 * sigma**2) - (curves.shape[1] - 1) * np.log(sigma)
        new_top = np.maximum(top, high + common)
        total *= np.exp(top - new_top)[:, None]
        shift = (common - new_top)[:, None]
        extra = noise.variance * sigma**2
        total += grid_at.moments(shift, extra, nodes.first) + own_at.moments(shift, extra)
        top = new_top
    mass, first, second = total
    with np.errstate(divide="ignore"):
        log_weight = np.log(mass) + top[:, None] + noise.log_norm
    mass = np.maximum(mass, _TINY)
    mean = first / mass
    carried = (curves @ noise.carry)[:, None]
    return log_weight, carried + mean, np.maximum(second / mass - mean**2, 0.0)


@dataclass
class _Posterior:
    """Gaussian posteriors of the remaining gain, one per curve and node, and their evidence.

    log_evidence, gain : shape (n, K) or (n, F). variance : of the gain, shape (K,) or (n, F).
    """

    log_evidence: np.ndarray
    gain: np.ndarray
    variance: np.ndarray

    def moments(
        self, shift: np.ndarray, extra: float, first: np.ndarray | None = None
    ) -> np.ndarray:
        """Evidence times 1, gain and gain squared, shape (3, n, F).

        `shift` (n, 1) is added to the log evidence, `extra` to the variance; nodes are summed
        per family where `first` says where each family begins.
        """
        weight = np.exp(self.log_evidence + shift)
        square = self.gain * self.gain
        square += self.variance + extra
        parts = (weight, weight * self.gain, weight * square)
        return np.stack([p if first is None else np.add.reduceat(p, first, axis=1) for p in parts])


@dataclass(frozen=True)
class _Linear:
    """Moments of whitened shapes and curves that the posterior of the amplitude needs.

    gg : g'g, shape (K,) or (n, F). gy : g'y, shape (n, K) or (n, F). gain : what an amplitude of
    one adds to the carried prediction, shape like gg.
    """

    gg: np.ndarray
    gy: np.ndarray
    gain: np.ndarray

    def posterior(self, sigma: float, growth: float) -> _Posterior:
        """Evidence (up to what all nodes have in common) and gain for one noise level.

        `growth` multiplies mean and standard deviation of the prior of the amplitude.
        """
        shrink = (sigma / (growth * AMPLITUDE_STD)) ** 2
        precision = self.gg + shrink
        b = self.gy + growth * AMPLITUDE_MEAN * shrink
        gain = b * (self.gain / precision)
        np.multiply(b, b, out=b)
        b *= 0.5 / sigma**2 / precision
        b -= 0.5 * np.log1p(self.gg / shrink)
        return _Posterior(b, gain, sigma**2 * self.gain**2 / precision)


def _heaviest(
    weight: np.ndarray, centre: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the heaviest components and merge the rest into one with the same two moments."""
    order = np.argsort(-weight, axis=1, kind="stable")
    weight, centre, variance = (
        np.take_along_axis(a, order, axis=1) for a in (weight, centre, variance)
    )
    kept = COMPONENTS - 1
    rest = weight[:, kept:]
    total = rest.sum(axis=1)
    share = rest / np.maximum(total, _TINY)[:, None]
    mean = (share * centre[:, kept:]).sum(axis=1)
    second = (share * (variance[:, kept:] + (centre[:, kept:] - mean[:, None]) ** 2)).sum(axis=1)

    def join(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
        return np.concatenate([head[:, :kept], tail[:, None]], axis=1)

    return join(weight, total), join(centre, mean), join(variance, second)


def _mixture(components: np.ndarray, sign: float) -> MixturePrediction:
    weights, centres, widths = components
    mean = (weights * centres).sum(axis=1)
    variance = (weights * (widths**2 + (centres - mean[:, None]) ** 2)).sum(axis=1)
    return MixturePrediction(
        mean=sign * mean,
        std=np.sqrt(variance),
        weights=weights,
        centres=sign * centres,
        widths=widths,
    )


def _mixture_cdf(
    value: np.ndarray, weights: np.ndarray, centres: np.ndarray, widths: np.ndarray
) -> np.ndarray:
    """Distribution function of a mixture per row; components of width 0 are steps."""
    gap = value[:, None] - centres
    step = widths <= 0
    z = np.where(step, np.where(gap >= 0, np.inf, -np.inf), gap / np.where(step, 1.0, widths))
    return (weights * ndtr(z)).sum(axis=1)


def _mixture_quantile(
    level: float, weights: np.ndarray, centres: np.ndarray, widths: np.ndarray
) -> np.ndarray:
    """Invert the distribution function by bracketed Newton steps, shape (n,)."""
    parts = centres + ndtri(level) * widths
    counted = weights > 0
    low = np.where(counted, parts, np.inf).min(axis=1)
    high = np.where(counted, parts, -np.inf).max(axis=1)
    scale = high - low
    value = (weights * parts).sum(axis=1)
    active = np.flatnonzero(scale > 0)
    for _ in range(_QUANTILE_STEPS):
        at = value[active]
        w, c, s = weights[active], centres[active], np.maximum(widths[active], _TINY)
        with np.errstate(over="ignore"):
            z = (at[:, None] - c) / s
            density = (w * np.exp(-0.5 * z * z) / s).sum(axis=1) / np.sqrt(2.0 * np.pi)
        excess = (w * ndtr(z)).sum(axis=1) - level
        high[active] = np.where(excess > 0, at, high[active])
        low[active] = np.where(excess > 0, low[active], at)
        step = at - excess / np.maximum(density, _TINY)
        inside = (step > low[active]) & (step < high[active])
        value[active] = np.where(inside, step, 0.5 * (low[active] + high[active]))
        active = active[np.abs(value[active] - at) > 1e-9 * scale[active]]
        if not len(active):
            break
    return value
