"""lce: extrapolation of single learning curves by eleven parametric families.

After Domhan, Springenberg, Hutter (IJCAI 2015). Every curve is predicted from its own first
epochs alone; training curves only serve to calibrate the spread and give the unit of a curve of
zeros. The model of one curve, in its own unit and turned so that progress is upwards:

    y(x) = c + m g(x; theta) + noise,  g one of 11 families, scaled to g(1) = 0 and span 1 on 1..E

Domhan samples its parameters; here they are integrated out (`_lce_fit`). The priors:

- family: equal. theta: uniform in its box, times the share of the rise that g does not leave for
  after tau, so that a shape whose rise is all in the future needs evidence for it.
- amplitude m ~ N(0.65, 0.42^2), times 1 + 0.2 log(E / tau)^2, in units of what the curve has
  shown so far: with one or two epochs seen the prediction stays near the last value.
- noise: white with standard deviation sigma, plus a Brownian motion in log time of variance
  ratio * sigma^2 per factor e in epochs, for ratios from 0 to 300. It stands for what no
  family can describe (a change of the learning rate, overfitting).
- sigma: log-normal around 5 % of the unit with a factor of e^2, on a grid.
- the remaining change of every component gets a relative error of 30 %, so that a curve that a
  formula fits without any noise does not count as certain.

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
from scipy.optimize.elementwise import find_root
from scipy.special import ndtr, ndtri

from curvecast.curves import CurveSet
from curvecast.features import within
from curvecast.predictors._lce_fit import COMPONENTS, UNIT_OF_CONSTANT, extrapolate, used
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction, Residuals

MODELS = {
    "lce": {
        "class": "LCEPredictor",
        "label": "Parametric curve families fitted to each curve alone and averaged.",
        "cite": "Domhan, Springenberg and Hutter (2015)",
        "order": 110,
        "look": ("grey", "v", "solid"),
    },
}

MIN_CALIBRATION = 20
_QUANTILE_TOLERANCE = 1e-9
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

    @classmethod
    def of(cls, weights: np.ndarray, centres: np.ndarray, widths: np.ndarray) -> Self:
        """With the two moments of the mixture."""
        mean = (weights * centres).sum(axis=1)
        variance = (weights * (widths**2 + (centres - mean[:, None]) ** 2)).sum(axis=1)
        return cls(mean, np.sqrt(variance), weights, centres, widths)

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        value = np.broadcast_to(np.asarray(value, dtype=np.float64), self.mean.shape)
        gap = value[:, None] - self.centres
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(gap >= 0, np.inf, -np.inf)
            z = np.where(self.widths > 0, gap / self.widths, step)
        return (self.weights * ndtr(z)).sum(axis=1)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """The root of `cdf` between the lowest and the highest quantile of the components."""
        levels = np.asarray(levels, dtype=np.float64).ravel()
        parts = self.centres[:, None] + ndtri(levels)[:, None] * self.widths[:, None]
        counted = self.weights[:, None] > 0
        value = np.where(counted, parts, np.inf).min(axis=2)
        span = np.where(counted, parts, -np.inf).max(axis=2) - value
        rows, columns = np.nonzero(span > 0)
        low, span = value[rows, columns], span[rows, columns]
        widths = np.maximum(self.widths, 1e-300)

        def excess(share: np.ndarray, i: np.ndarray) -> np.ndarray:
            row = rows[i]
            with np.errstate(over="ignore"):
                z = ((low[i] + share * span[i])[..., None] - self.centres[row]) / widths[row]
            return (self.weights[row] * ndtr(z)).sum(axis=-1) - levels[columns[i]]

        ones, tolerance = np.ones(len(rows)), _QUANTILE_TOLERANCE
        bracket = (-tolerance * ones, (1.0 + tolerance) * ones)
        order = (np.arange(len(rows)),)
        root = find_root(excess, bracket, args=order, tolerances={"xatol": tolerance})
        # no root: the span is less than rounding
        value[rows, columns] = low + span * np.nan_to_num(root.x)
        return value


class LCEPredictor(Predictor):
    """Per-curve extrapolation; see the module's docstring for the model.

    The value at epoch 0, of the untrained network, is not fitted (a curve of which nothing else is
    finite counts as a one-epoch curve), nor is a value that is not finite. The prediction is
    equivariant under a change of sign, and under a change of scale and zero of the metric as soon
    as two seen values differ; before that, the unit is a tenth of the value.

    Parameters
    ----------
    calibrate : give the standardised errors at each tau the distribution that they have on the
        training curves (split conformal; the means do not change). With fewer than 20 training
        curves of finite end the mixture stays as it is.
    """

    needs_training = needs_taus = False
    warps_explosions = False  # every curve has its own unit

    def __init__(self, *, seed: int = 0, calibrate: bool = True) -> None:
        super().__init__(seed=seed)
        self.calibrate = calibrate
        self._residuals: dict[int, Residuals] = {}
        self._zero_unit = 0.0

    def _fit_curves(self, usable: CurveSet, taus: Iterable[int]) -> Self:
        self._residuals = {}
        typical = float(np.median(np.abs(usable.final))) if len(usable) else 0.0
        self._zero_unit = UNIT_OF_CONSTANT * typical
        for tau in taus if self.calibrate else ():
            started = usable.take(np.isfinite(usable.values[:, usable.seen(tau)]).any(axis=1))
            raw = self._raw(started.hide_after(tau), tau)
            known = raw.std > 0
            if known.sum() >= MIN_CALIBRATION:
                residuals = (started.final - raw.mean)[known] / raw.std[known]
                self._residuals[tau] = Residuals.of(residuals)
        return self

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        raw = self._raw(curves, tau)
        if tau not in self._residuals:
            return raw
        return self._residuals[tau].around(raw.mean, raw.std)

    def _raw(self, curves: CurveSet, tau: int) -> MixturePrediction:
        seen = curves.seen(tau)
        # Where every 1000th step is recorded, time counts thousands of steps.
        steps = curves.epochs // max(1, np.gcd.reduce(curves.epochs))
        epochs = steps[seen]
        values = curves.sign * within(curves.values[:, seen], epochs)
        components = _remember(values, epochs, int(steps[-1]))
        zeros = (np.where(used(values, epochs), values, 0.0) == 0).all(axis=1)
        components[1:, zeros] *= self._zero_unit
        weights, centres, widths = components
        return MixturePrediction.of(weights, curves.sign * centres, widths)


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
