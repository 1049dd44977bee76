"""lcnet: a Bayesian network with a basis-function layer over time.

After Klein, Falkner, Springenberg, Hutter, "Learning curve prediction with Bayesian neural
networks" (ICLR 2017). A network maps the settings x of a run to the asymptote mu and to weights
w_k and shapes theta_k of five basis functions of t = epoch / E in (0, 1], each 0 at t = 1:

    y(x, t) = mu(x) + sum_k w_k(x) phi_k(t; theta_k(x)) + noise

with three tanh layers, one noise variance, standard normal priors on all weights, and stochastic
gradient Hamiltonian Monte Carlo with the adaptive scale of Springenberg et al. (2016, equations
8 to 10). What differs from the paper:

- There, the epochs seen of a new run are further training points of the network, which is
  sampled again for every set of new runs. Here the network learns from complete training curves
  only, and a new run enters through the last layer: under every sample of the network, the linear
  coefficients (mu, w) of a run deviate from the network's by delta ~ N(0, Lambda), and given the
  seen epochs the posterior of delta is Gaussian in closed form (Bayesian linear regression). A
  prediction therefore does not depend on the other runs that are predicted, one training serves
  all taus, and predicting costs milliseconds. Lambda and the noise are estimated by expectation
  maximisation on training curves that the sample did not see: every chain leaves out a fold.
- The standardised errors on training curves that the samples did not see give the distribution
  around the mean its width and its shape (cross-conformal, Vovk 2015): network and noise are not
  all that is wrong.
- Several short chains run in one batch instead of a long one. They start from a maximum a
  posteriori fit, so that burn-in only has to adapt the scale of the sampler. Layers have 16 units
  instead of 64, for 100 training runs and a few seconds.
- A metric is not assumed to lie in [0, 1]: mu and w are linear outputs, and curves are warped
  (`transforms.Warp`) and standardised by the training runs. phi has no amplitude, as w is one.
  Where the paper's asymptotes are bounded by a sigmoid, the mean that a sample gives for a final
  value is bounded by the range of the training runs' final values, a tenth wider on both sides.
- Curves are read at about 30 epochs in geometric distances, every tau among them. An
  epoch 0 is not read: a power of t has no value there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from curvecast.curves import CurveSet, DataError
from curvecast.features import forward_fill
from curvecast.predictors._batched_layers import evaluate, one_thread, seeded
from curvecast.predictors._lcnet_sampler import (
    N_LINEAR,
    CurveNetwork,
    Potential,
    design,
    maximise,
    sample,
)
from curvecast.predictors._network_inputs import (
    as_tensor,
    positions_of,
    settings,
    static_frame,
    thin,
)
from curvecast.predictors.base import Predictor, inner_folds
from curvecast.predictors.distributions import Prediction, ResidualPrediction, WarpedPrediction
from curvecast.predictors.scaling import Columns
from curvecast.predictors.transforms import Warp

MODELS = {
    "lcnet": {
        "class": "LCNet",
        "label": "Bayesian neural network with a learning-curve layer, sampled by SGHMC.",
        "cite": "Klein, Falkner, Springenberg and Hutter (2017)",
        "order": 120,
        "look": ("purple", "s", "dashed"),
        "cheap": {"chains": 2, "epochs": 15, "burn_in": 5, "samples": 2, "every": 2},
    },
}

N_FOLDS = 5
MAX_POINTS = 30
_EM_STEPS = 30
_MARGIN = 0.1
_CHUNK = 256


@dataclass(frozen=True)
class Deviations:
    """How the linear coefficients of runs differ from the network's, and the noise.

    Attributes
    ----------
    covariance : Lambda, shape (6, 6).
    noise : variance of a point around its curve.
    """

    covariance: np.ndarray
    noise: float

    @classmethod
    def of(cls, gram: np.ndarray, moment: np.ndarray, square: np.ndarray, n: np.ndarray) -> Self:
        """Maximum likelihood by expectation maximisation (Laird and Ware 1982).

        Parameters
        ----------
        gram, moment, square, n : per curve Phi'Phi, Phi'r, r'r and the number of points, of the
            residuals r of curves that the network did not see; shapes (k, 6, 6), (k, 6), (k,)
            and (k,).
        """
        covariance = np.eye(N_LINEAR)
        noise = float(square.sum() / max(n.sum(), 1.0)) + 1e-8
        for _ in range(_EM_STEPS):
            deviation, spread = cls(covariance, noise).posterior(gram, moment)
            second = spread + deviation[:, :, None] * deviation[:, None, :]
            covariance = second.mean(axis=0) + 1e-8 * np.eye(N_LINEAR)
            misfit = (
                square - 2 * (deviation * moment).sum(axis=1) + (gram * second).sum(axis=(1, 2))
            )
            noise = float(misfit.sum() / max(n.sum(), 1.0)) + 1e-8
        return cls(covariance, noise)

    def posterior(self, gram: np.ndarray, moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (..., 6) and covariance (..., 6, 6) of delta given seen points."""
        spread = np.linalg.inv(self._precision(gram))
        return (spread @ moment[..., None])[..., 0] / self.noise, spread

    def posterior_of_first(
        self, gram: np.ndarray, moment: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (...) of the first coefficient alone, in half of the time."""
        unit = np.eye(N_LINEAR)[:, :1]
        row = np.linalg.solve(self._precision(gram), unit)[..., 0]
        return (row * moment).sum(axis=-1) / self.noise, row[..., 0]

    def _precision(self, gram: np.ndarray) -> np.ndarray:
        return np.linalg.inv(self.covariance) + gram / self.noise


class LCNet(Predictor):
    """Klein's network for learning curves; see the module's text.

    A constant target gives that value without spread.

    Parameters
    ----------
    chains : chains in the batch, at least 2; each leaves out one of up to five folds.
    epochs : steps of the maximum a posteriori fit that the chains start from.
    burn_in, samples, every : steps of burn-in, states that a chain gives, steps between them.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        chains: int = 5,
        epochs: int = 200,
        burn_in: int = 100,
        samples: int = 4,
        every: int = 25,
    ) -> None:
        super().__init__(seed=seed)
        if chains < 2:
            raise DataError(f"chains is {chains}, at least 2 are needed")
        self.chains, self.epochs = chains, int(epochs)
        self.burn_in, self.samples, self.every = burn_in, samples, every
        self._diagnostics: dict[str, float] = {}

    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        """Learn from the runs with a finite end.

        Raises
        ------
        DataError : runs of fewer than two configurations, or a tau outside of the epochs.
        """
        curves = curves.take(np.isfinite(curves.final))
        self._taus = positions_of(curves, taus)
        y = curves.final
        folds = inner_folds(curves.groups, min(N_FOLDS, self.chains), self.seed)
        self._center, self._diagnostics = float(y.mean()), {}
        self._constant = bool(y.std() <= 1e-12 * max(1.0, abs(self._center)))
        if self._constant:
            return self
        leaves_out = np.arange(self.chains) % (folds.max() + 1)
        unseen = folds == leaves_out[:, None]
        self._learn_scales(curves)
        self._network = self._sample(curves, ~unseen)
        self._calibrate(curves, np.tile(unseen, (self.samples, 1)))
        self._diagnostics = {"log_noise": float(np.log(self._deviations.noise))}
        return self

    def _learn_scales(self, curves: CurveSet) -> None:
        """The epochs that are read, the warp and the standardisation of values and settings."""
        y = curves.final
        positions = thin(len(curves.epochs) - 1, MAX_POINTS, self._taus.values())
        self._positions = positions[curves.epochs[positions] > 0]
        points = curves.values[:, self._positions]
        points = points[np.isfinite(points)]
        # by all points, not by the final values: early epochs belong to the middle, not to a tail
        self._warp = Warp.robust(points)
        warped = self._warp(points)
        self._shift, self._scale = float(warped.mean()), float(warped.std())
        margin = _MARGIN * np.ptp(y)
        self._bounds = self._standard(np.array([y.min() - margin, y.max() + margin]))
        self._columns = Columns.of(static_frame(curves))

    def _standard(self, values: np.ndarray) -> np.ndarray:
        """Warped and standardised values."""
        return (self._warp(values) - self._shift) / self._scale

    def _sample(self, curves: CurveSet, sees: np.ndarray) -> CurveNetwork:
        """All samples of all chains as one network; `sees` has shape (chains, n_runs)."""
        with seeded(self.seed):
            static = settings(self._columns, curves)
            potential = Potential(static, *self._points(curves, curves.last_epoch), as_tensor(sees))
            network = CurveNetwork(self.chains, static.shape[1])
            maximise(network, potential, self.epochs)
            states = sample(
                network, potential, burn_in=self.burn_in, keep=self.samples, every=self.every
            )
            everything = CurveNetwork(self.chains * self.samples, static.shape[1])
            names = everything.state_dict()
            everything.load_state_dict({k: torch.cat([s[k] for s in states]) for k in names})
        return everything

    def _calibrate(self, curves: CurveSet, held: np.ndarray) -> None:
        """Deviations and errors from what samples say of the runs that they did not see.

        `held` has shape (samples, n_runs).
        """
        with one_thread():
            gram, moment, square, n, _ = self._statistics(curves, curves.last_epoch)
            self._deviations = Deviations.of(gram[held], moment[held], square[held], n[held])
            z = self._standard(curves.final)
            self._errors = {}
            for tau in self._taus:
                means, variances = self._by_sample(curves.hide_after(tau), tau)
                mean, _ = _mixture(means, variances, held)
                # the scale that a new run gets, which all samples are asked about
                _, variance = _mixture(means, variances, np.ones(means.shape))
                self._errors[tau] = (z - mean) / np.sqrt(variance)

    def _points(self, curves: CurveSet, tau: int) -> tuple[Tensor, Tensor]:
        """Standardised curves (n_runs, T), forward-filled, and times (T,) of the epochs <= tau."""
        positions = self._positions[curves.epochs[self._positions] <= tau]
        z = self._standard(forward_fill(curves.values)[:, positions])
        return as_tensor(z), as_tensor(curves.epochs[positions] / curves.last_epoch)

    def _statistics(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, ...]:
        """Phi'Phi, Phi'r, r'r, number of points and mu, each with axes (samples, runs, ...)."""
        z, t = self._points(curves, tau)
        out = evaluate(self._network, settings(self._columns, curves))
        parts = []
        for start in range(0, len(z), _CHUNK):
            rows = slice(start, start + _CHUNK)
            parts.append((*moments(torch.from_numpy(out[:, rows]), z[rows], t), out[:, rows, 0]))
        return tuple(np.concatenate(part, axis=1) for part in zip(*parts, strict=True))

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        if self._constant:
            return Prediction(np.full(len(curves), self._center), np.zeros(len(curves)))
        with one_thread():
            means, variances = self._by_sample(curves, tau)
        mean, variance = _mixture(means, variances, np.ones(means.shape))
        inner = ResidualPrediction.of(mean, np.sqrt(variance), self._errors[tau])
        return WarpedPrediction.of(inner.affine(self._shift, self._scale), self._warp)

    def _by_sample(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, np.ndarray]:
        """Standardised mean and variance of the final value by sample, (samples, n_configs)."""
        gram, moment, _, _, asymptote = self._statistics(curves, tau)
        # every phi is 0 at the last epoch: only the first coefficient is left there
        deviation, variance = self._deviations.posterior_of_first(gram, moment)
        return np.clip(asymptote + deviation, *self._bounds), variance + self._deviations.noise

    def diagnostics(self) -> dict[str, float]:
        return dict(self._diagnostics)


def moments(out: Tensor, z: Tensor, t: Tensor) -> tuple[np.ndarray, ...]:
    """Phi'Phi, Phi'r, r'r and the number of points of runs, with axes (samples, runs, ...).

    In double precision: with little noise and a wide prior, Phi'Phi is divided by so much that
    rounded to single precision it gave negative variances.

    Parameters
    ----------
    out : of the network in double precision, (samples, n_runs, 14).
    z, t : curves (NaN where not observed) and times, (n_runs, T), (T,).
    """
    z, w = z.double(), torch.isfinite(z).double()
    phi = design(out, t)
    f = (phi * out[..., None, :N_LINEAR]).sum(dim=-1)
    r = torch.where(w > 0, z - f, torch.zeros_like(f))
    weighted = phi * w[..., None]
    return (
        (weighted.transpose(-1, -2) @ phi).numpy(),
        (weighted * r[..., None]).sum(dim=-2).numpy(),
        (r**2).sum(dim=-1).numpy(),
        w.sum(dim=-1).expand(len(out), -1).numpy(),
    )


def _mixture(
    means: np.ndarray, variances: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per run of mixtures over samples; all of shape (samples, n_runs)."""
    w = weight / weight.sum(axis=0)
    mean = (w * means).sum(axis=0)
    return mean, (w * (variances + (means - mean) ** 2)).sum(axis=0)
