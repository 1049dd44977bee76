"""lcnet: a Bayesian network with a basis-function layer over time.

After Klein, Falkner, Springenberg, Hutter, "Learning curve prediction with Bayesian neural
networks" (ICLR 2017). A network maps the settings x of a run to the asymptote mu and to weights
w_k and shapes theta_k of five basis functions of t = epoch / E in (0, 1], each 0 at t = 1:

    y(x, t) = mu(x) + sum_k w_k(x) phi_k(t; theta_k(x)) + noise

with three tanh layers, one noise variance, standard normal priors on all weights, and stochastic
gradient Hamiltonian Monte Carlo with the adaptive scale of Springenberg et al. (2016, equations
8 to 10). What differs from the paper:

- There, the network is sampled again for every set of new runs. Here it learns from complete
  training curves only, and a new run enters through the last layer: under every sample of the
  network, the linear coefficients (mu, w) of a run deviate from the network's by delta ~ N(0,
  Lambda), and given the seen epochs the posterior of delta is Gaussian in closed form (Bayesian
  linear regression). A prediction does not depend on the other runs that are predicted, one
  training serves all taus, and predicting costs milliseconds. Expectation maximisation estimates
  Lambda and the noise on training curves that the sample did not see: every chain leaves out a
  fold.
- The standardised errors on training curves that the samples did not see give the distribution
  around the mean its width and its shape (cross-conformal, Vovk 2015).
- Several short chains run in one batch. They start from a maximum a posteriori fit, so that
  burn-in only has to adapt the scale of the sampler. Layers have 16 units instead of 64.
- mu and w are linear outputs, and curves are warped (`transforms.Warp`) and standardised by the
  training runs. phi has no amplitude, as w is one. The mean that a sample gives for a final value
  is bounded by the range of the training runs' final values, a tenth wider on both sides.
- Curves are read at about 30 epochs in geometric distances, every tau among them. An
  epoch 0 is not read: a power of t has no value there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from curvecast.curves import CurveSet, DataError
from curvecast.features import bridge
from curvecast.predictors._batched_layers import Linear, evaluate, one_thread, seeded
from curvecast.predictors._network_inputs import (
    MembersPredictor,
    as_tensor,
    settings,
    static_frame,
    thin,
)
from curvecast.predictors.distributions import Prediction, Residuals
from curvecast.predictors.scaling import Columns
from curvecast.predictors.transforms import Warp, WarpedPrediction

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

MAX_POINTS = 30
# Lower and upper ends of the shapes, all on a log scale: vapour pressure b and c, power, centre and
# slope of log power, exponential rate, centre and slope of Hill. Vapour pressure grows without
# bound as t goes to 0 unless its c is small.
RANGES = (
    (0.01, 0.01, 0.05, 0.02, 0.5, 1.0, 0.002, 0.5),
    (0.5, 0.5, 3.0, 1.0, 4.0, 50.0, 0.2, 2.0),
)
N_LINEAR = 1 + 5
N_HIDDEN = 16
_NOISE_MEAN, _NOISE_STD = -4.0, 2.0
# Of a mini-batch.
N_CURVES, N_POINTS = 32, 10
FIT_LR = 0.01
# Step size of the sampler and its momentum decay.
LR, DECAY = 0.03, 0.05
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

        Per curve Phi'Phi, Phi'r, r'r and the number of points, of the residuals r of curves that
        the network did not see; shapes (k, 6, 6), (k, 6), (k,) and (k,).
        """
        covariance = np.eye(N_LINEAR)
        noise = float(square.sum() / max(n.sum(), 1.0)) + 1e-8
        for _ in range(_EM_STEPS):
            deviation, spread = cls(covariance, noise).posterior(gram, moment)
            second = spread + deviation[:, :, None] * deviation[:, None, :]
            covariance = second.mean(axis=0) + 1e-8 * np.eye(N_LINEAR)
            misfit = square - 2 * (deviation * moment).sum(axis=1)
            misfit += (gram * second).sum(axis=(1, 2))
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
        row = np.linalg.solve(self._precision(gram), np.eye(N_LINEAR)[:, :1])[..., 0]
        return (row * moment).sum(axis=-1) / self.noise, row[..., 0]

    def _precision(self, gram: np.ndarray) -> np.ndarray:
        return np.linalg.inv(self.covariance) + gram / self.noise


class LCNet(MembersPredictor):
    """Klein's network for learning curves; see the module's text.

    Parameters
    ----------
    chains : chains in the batch, at least 2; each leaves out one of up to five folds.
    epochs : steps of the maximum a posteriori fit that the chains start from.
    burn_in, samples, every : steps of burn-in, states that a chain gives, steps between them.
    """

    MAX_FOLDS = 5

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
        if chains < 2 or min(samples, every) < 1:
            raise DataError(f"chains {chains}, samples {samples}, every {every}: at least 2, 1, 1")
        self.n_members, self.epochs = chains, int(epochs)
        self.burn_in, self.samples, self.every = burn_in, samples, every

    def _learn(self, curves: CurveSet, unseen: np.ndarray) -> None:
        self._learn_scales(curves)
        self._network = self._sample(curves, ~unseen)
        self._calibrate(curves, np.tile(unseen, (self.samples, 1)))
        self._diagnostics = {"log_noise": float(np.log(self._deviations.noise))}

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
            network = CurveNetwork(self.n_members, static.shape[1])
            maximise(network, potential, self.epochs)
            states = sample(network, potential, self.burn_in, self.samples, self.every)
            everything = CurveNetwork(self.n_members * self.samples, static.shape[1])
            joined = {name: torch.cat([state[name] for state in states]) for name in states[0]}
            everything.load_state_dict(joined)
        return everything

    @one_thread()
    def _calibrate(self, curves: CurveSet, held: np.ndarray) -> None:
        """Deviations and errors from predictions of runs that the samples did not see.

        `held` has shape (samples, n_runs).
        """
        gram, moment, square, n, _ = self._statistics(curves, curves.last_epoch)
        self._deviations = Deviations.of(gram[held], moment[held], square[held], n[held])
        z = self._standard(curves.final)
        self._errors = {}
        for tau in self._taus:
            means, variances = self._by_sample(curves.hide_after(tau), tau)
            mean, _ = _mixture(means, variances, held)
            # the scale of a new run comes from all samples
            _, variance = _mixture(means, variances, np.ones(means.shape))
            self._errors[tau] = Residuals.of((z - mean) / np.sqrt(variance))

    def _points(self, curves: CurveSet, tau: int) -> tuple[Tensor, Tensor]:
        """Standardised curves (n_runs, T), gaps bridged, and times (T,) of the epochs <= tau."""
        positions = self._positions[curves.epochs[self._positions] <= tau]
        z = self._standard(bridge(curves.values, curves.epochs)[:, positions])
        return as_tensor(z), as_tensor(curves.epochs[positions] / curves.last_epoch)

    def _statistics(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, ...]:
        """Phi'Phi, Phi'r, r'r, number of points and mu, each with axes (samples, runs, ...)."""
        z, t = self._points(curves, tau)
        out = evaluate(self._network, settings(self._columns, curves))
        parts = [
            (*moments(torch.from_numpy(out[:, rows]), z[rows], t), out[:, rows, 0])
            for rows in (slice(start, start + _CHUNK) for start in range(0, len(z), _CHUNK))
        ]
        return tuple(np.concatenate(part, axis=1) for part in zip(*parts, strict=True))

    def _predict_varied(self, curves: CurveSet, tau: int) -> Prediction:
        means, variances = self._by_sample(curves, tau)
        mean, variance = _mixture(means, variances, np.ones(means.shape))
        inner = self._errors[tau].around(mean, np.sqrt(variance))
        return WarpedPrediction.of(inner.affine(self._shift, self._scale), self._warp)

    @one_thread()
    def _by_sample(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, np.ndarray]:
        """Standardised mean and variance of the final value by sample, (samples, n_configs)."""
        gram, moment, _, _, asymptote = self._statistics(curves, tau)
        # every phi is 0 at the last epoch: only the first coefficient is left there
        deviation, variance = self._deviations.posterior_of_first(gram, moment)
        return np.clip(asymptote + deviation, *self._bounds), variance + self._deviations.noise


def moments(out: Tensor, z: Tensor, t: Tensor) -> tuple[np.ndarray, ...]:
    """Phi'Phi, Phi'r, r'r and the number of points of runs, with axes (samples, runs, ...).

    From outputs (samples, n_runs, 14), curves (n_runs, T), NaN where not observed, and times (T,).
    All in double precision: with little noise and a wide prior, Phi'Phi is divided by so much that
    rounded to single precision it gave negative variances.
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


def basis(theta: Tensor, t: Tensor) -> Tensor:
    """The five basis functions after Klein et al. (2017), each 0 at t = 1; shape (..., T, 5).

    `theta` of shape (..., 8) holds parameters in (0, 1), which stand for `RANGES`, `t` times in
    (0, 1], shape (..., T) with the same leading axes, or broadcast to them.
    """
    low, high = theta.new_tensor(RANGES).log()
    p = torch.exp(low + (high - low) * theta).unsqueeze(-2).unbind(-1)
    log_t = t.log()
    vapour = torch.exp(-p[0] / t - p[1] * log_t) - torch.exp(-p[0])
    power = torch.exp(p[2] * log_t) - 1
    log_power = _log_logistic(log_t, p[3], p[4])
    exponential = torch.exp(-p[5]) - torch.exp(-p[5] * t)
    hill = _log_logistic(log_t, p[6], p[7])
    return torch.stack([vapour, power, log_power, exponential, hill], dim=-1)


def _log_logistic(log_t: Tensor, center: Tensor, slope: Tensor) -> Tensor:
    """t^s / (t^s + c^s) less its value at 1: the Hill and the log power family share it."""
    log_c = center.log()
    return torch.sigmoid(slope * (log_t - log_c)) - torch.sigmoid(-slope * log_c)


class CurveNetwork(nn.Module):
    """Settings to (mu, w) and theta, for every chain; settings have shape (1, runs, p)."""

    def __init__(self, chains: int, n_static: int) -> None:
        super().__init__()
        widths = (n_static, N_HIDDEN, N_HIDDEN, N_HIDDEN)
        self.layers = nn.ModuleList(Linear(chains, n_in, n_out) for n_in, n_out in pairwise(widths))
        self.head = Linear(chains, N_HIDDEN, N_LINEAR + len(RANGES[0]))
        self.log_variance = nn.Parameter(torch.full((chains, 1), _NOISE_MEAN))

    def forward(self, static: Tensor) -> Tensor:
        """Linear coefficients, then theta: shape (chains, runs, 6 + 8)."""
        for layer in self.layers:
            static = torch.tanh(layer(static))
        out = self.head(static)
        return torch.cat([out[..., :N_LINEAR], torch.sigmoid(out[..., N_LINEAR:])], dim=-1)


def design(out: Tensor, t: Tensor) -> Tensor:
    """Columns 1, phi_1 .. phi_5 at times t, shape (..., T, 6), from outputs (..., 14)."""
    phi = basis(out[..., N_LINEAR:], t)
    return torch.cat([torch.ones_like(phi[..., :1]), phi], dim=-1)


class Potential:
    """Negative log posterior of every chain on mini-batches of curves and epochs.

    Parameters
    ----------
    static : shape (n_runs, p). z, t : curves (NaN where not observed) and times, (n_runs, T), (T,).
    sees : 1 where a chain trains on a run, else 0, shape (chains, n_runs).
    """

    def __init__(self, static: Tensor, z: Tensor, t: Tensor, sees: Tensor) -> None:
        self.static, self.t = static, t
        self.known = torch.isfinite(z).float()
        self.z, self.sees = torch.nan_to_num(z, 0.0, 0.0, 0.0), sees
        self.n_curves, self.n_points = min(N_CURVES, len(z)), min(N_POINTS, len(t))
        self.factor = z.numel() / (self.n_curves * self.n_points)

    def __call__(self, network: CurveNetwork) -> Tensor:
        """Sum over the chains; an unbiased estimate from a new mini-batch."""
        rows = torch.randperm(len(self.static))[: self.n_curves]
        columns = torch.randperm(len(self.t))[: self.n_points]
        out = network(self.static[rows].unsqueeze(0))
        f = (design(out, self.t[columns]) * out[..., None, :N_LINEAR]).sum(dim=-1)
        z, known = self.z[rows][:, columns], self.known[rows][:, columns]
        w = known * self.sees[:, rows, None]
        log_variance = network.log_variance.unsqueeze(-1)
        misfit = (f - z) ** 2 * torch.exp(-log_variance) + log_variance
        prior = 0.5 * ((network.log_variance - _NOISE_MEAN) / _NOISE_STD).pow(2).sum()
        for name, parameter in network.named_parameters():
            if name != "log_variance":
                prior = prior + 0.5 * parameter.pow(2).sum()
        return 0.5 * self.factor * (w * misfit).sum() + prior


def maximise(network: CurveNetwork, potential: Potential, steps: int) -> None:
    """Maximum a posteriori by Adam, the learning rate falling linearly to a tenth."""
    minimiser = torch.optim.Adam(network.parameters(), lr=FIT_LR)
    for step in range(steps):
        minimiser.param_groups[0]["lr"] = FIT_LR * (1 - 0.9 * step / steps)
        minimiser.zero_grad()
        potential(network).backward()
        minimiser.step()


def sample(
    network: nn.Module, potential: Callable[[Any], Tensor], burn_in: int, keep: int, every: int
) -> list[dict[str, Tensor]]:
    """`keep` states of the network by SGHMC with adaptive scale, `every` steps apart.

    Springenberg et al. (2016), with their symbols: a running mean g of the gradient and V of its
    square over windows of length tau, all adapted during burn-in (equations 8, 9); then, with
    M^-1 = V^-1/2, v <- v - lr^2 M^-1 grad U - decay v + N(0, 2 lr^2 decay M^-1 - lr^4) and
    theta <- theta + v (equation 10).
    """
    parameters = list(network.parameters())
    velocity = [torch.zeros_like(p) for p in parameters]
    window, mean, square = ([torch.ones_like(p) for p in parameters] for _ in range(3))
    states = []
    for step in range(burn_in + keep * every):
        gradients = torch.autograd.grad(potential(network), parameters)
        with torch.no_grad():
            state = zip(parameters, gradients, velocity, window, mean, square, strict=True)
            for p, gradient, v, tau, g, v_hat in state:
                if step < burn_in:
                    rate = 1 / (tau + 1)
                    tau.mul_(1 - g * g / v_hat.clamp(min=1e-16)).add_(1)
                    g.add_(rate * (gradient - g))
                    v_hat.add_(rate * (gradient**2 - v_hat))
                inverse = v_hat.clamp(min=1e-16).rsqrt()
                variance = (2 * LR**2 * DECAY * inverse - LR**4).clamp(min=1e-16)
                noise = torch.randn(p.shape) * variance.sqrt()
                v.mul_(1 - DECAY).sub_(LR**2 * inverse * gradient).add_(noise)
                p.add_(v)
        if step >= burn_in and (step - burn_in + 1) % every == 0:
            states.append({name: x.clone() for name, x in network.state_dict().items()})
    return states
