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
- A metric is not assumed to lie in [0, 1]: mu and w are linear outputs, and curves are
  transformed (`target`) and standardised by the training runs. phi has no amplitude, which w is.
  Where the paper's asymptotes are bounded by a sigmoid, the mean that a sample gives for a final
  value is bounded by the range of the training runs' final values, a tenth wider on both sides.
- Curves are read at about `max_points` epochs in geometric distances, every tau among them. An
  epoch 0 is not read: a power of t has no value there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from curvecast.curves import CurveSet, DataError
from curvecast.features import forward_fill
from curvecast.predictors._batched_layers import Linear, evaluate, one_thread
from curvecast.predictors._network_inputs import positions_of, static_frame, thin
from curvecast.predictors.base import Predictor, inner_folds
from curvecast.predictors.distributions import Prediction, ResidualPrediction
from curvecast.predictors.scaling import Columns
from curvecast.predictors.transforms import Form

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
# Ranges of the shapes, all on a log scale: vapour pressure b and c, power, centre and slope of log
# power, exponential rate, centre and slope of Hill. Vapour pressure grows without bound as t goes
# to 0 unless its c is small.
RANGES = (
    (0.01, 0.5),
    (0.01, 0.5),
    (0.05, 3.0),
    (0.02, 1.0),
    (0.5, 4.0),
    (1.0, 50.0),
    (0.002, 0.2),
    (0.5, 2.0),
)
N_BASIS = 5
N_LINEAR = 1 + N_BASIS
_NOISE_MEAN, _NOISE_STD = -4.0, 2.0
_EM_STEPS = 30
_MARGIN = 0.1


def basis(theta: Tensor, t: Tensor) -> Tensor:
    """The five basis functions after Klein et al. (2017), each 0 at t = 1.

    Parameters
    ----------
    theta : parameters in (0, 1), which stand for `RANGES`, shape (..., 8).
    t : times in (0, 1], shape (..., T) with the same leading axes, or broadcast to them.

    Returns
    -------
    Shape (..., T, 5).
    """
    low, high = theta.new_tensor(RANGES).log().unbind(1)
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

    def __init__(
        self, chains: int, n_static: int, n_hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        widths = (n_static, n_hidden, n_hidden, n_hidden)
        self.layers = nn.ModuleList(
            Linear(chains, n_in, n_out, generator) for n_in, n_out in pairwise(widths)
        )
        self.head = Linear(chains, n_hidden, N_LINEAR + len(RANGES), generator)
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
    n_curves, n_points : size of a mini-batch.
    """

    def __init__(
        self,
        static: Tensor,
        z: Tensor,
        t: Tensor,
        sees: Tensor,
        *,
        n_curves: int,
        n_points: int,
        generator: torch.Generator,
    ) -> None:
        self.static, self.t, self.generator = static, t, generator
        self.known = torch.isfinite(z).float()
        self.z, self.sees = torch.nan_to_num(z, 0.0, 0.0, 0.0), sees
        self.n_curves, self.n_points = min(n_curves, len(z)), min(n_points, len(t))
        self.factor = z.numel() / (self.n_curves * self.n_points)

    def __call__(self, network: CurveNetwork) -> Tensor:
        """Sum over the chains; an unbiased estimate from a new mini-batch."""
        rows = torch.randperm(len(self.static), generator=self.generator)[: self.n_curves]
        columns = torch.randperm(len(self.t), generator=self.generator)[: self.n_points]
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


def maximise(network: CurveNetwork, potential: Potential, steps: int, lr: float) -> None:
    """Maximum a posteriori by Adam, the learning rate falling linearly to a tenth."""
    minimiser = torch.optim.Adam(network.parameters(), lr=lr)
    for step in range(steps):
        minimiser.param_groups[0]["lr"] = lr * (1 - 0.9 * step / steps)
        minimiser.zero_grad()
        potential(network).backward()
        minimiser.step()


def sample(
    network: CurveNetwork,
    potential: Potential,
    *,
    burn_in: int,
    keep: int,
    every: int,
    lr: float,
    decay: float,
    generator: torch.Generator,
) -> list[dict[str, Tensor]]:
    """`keep` states of the network by SGHMC with adaptive scale.

    Springenberg et al. (2016), with their symbols: a running mean g of the gradient and V of its
    square over windows of length tau, all adapted during burn-in (equations 8, 9); then, with
    M^-1 = V^-1/2, v <- v - lr^2 M^-1 grad U - decay v + N(0, 2 lr^2 decay M^-1 - lr^4) and
    theta <- theta + v (equation 10). `every` steps lie between two states.
    """
    parameters = list(network.parameters())
    velocity = [torch.zeros_like(p) for p in parameters]
    window = [torch.ones_like(p) for p in parameters]
    mean = [torch.ones_like(p) for p in parameters]
    square = [torch.ones_like(p) for p in parameters]
    kept = []
    for step in range(burn_in + keep * every):
        network.zero_grad()
        potential(network).backward()
        with torch.no_grad():
            for p, v, tau, g, v_hat in zip(parameters, velocity, window, mean, square, strict=True):
                gradient = torch.zeros_like(p) if p.grad is None else p.grad
                if step < burn_in:
                    rate = 1 / (tau + 1)
                    tau.mul_(1 - g * g / v_hat.clamp(min=1e-16)).add_(1)
                    g.add_(rate * (gradient - g))
                    v_hat.add_(rate * (gradient**2 - v_hat))
                inverse = v_hat.clamp(min=1e-16).rsqrt()
                variance = (2 * lr**2 * decay * inverse - lr**4).clamp(min=1e-16)
                noise = torch.randn(p.shape, generator=generator) * variance.sqrt()
                v.mul_(1 - decay).sub_(lr**2 * inverse * gradient).add_(noise)
                p.add_(v)
        if step >= burn_in and (step - burn_in + 1) % every == 0:
            kept.append({name: x.clone() for name, x in network.state_dict().items()})
    return kept


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
    n_hidden : units of each of the three layers.
    chains : chains in the batch, at least 2; each leaves out one of up to five folds.
    epochs : steps of the maximum a posteriori fit that the chains start from.
    burn_in, samples, every : steps of burn-in, states kept per chain, steps between them.
    lr : step size of the sampler. decay : its momentum decay.
    max_points : about how many epochs of a curve are read.
    target : "level" or "warped_level", how values are transformed (see `transforms.Form`).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        n_hidden: int = 16,
        chains: int = 5,
        epochs: int = 200,
        burn_in: int = 100,
        samples: int = 4,
        every: int = 25,
        lr: float = 0.03,
        decay: float = 0.05,
        max_points: int = 30,
        target: str = "warped_level",
    ) -> None:
        super().__init__(seed=seed)
        if chains < 2:
            raise DataError(f"chains is {chains}, at least 2 are needed")
        if target not in ("level", "warped_level"):
            raise DataError(f"target is {target!r}, not level or warped_level")
        self.n_hidden, self.chains, self.epochs = n_hidden, chains, int(epochs)
        self.burn_in, self.samples, self.every = burn_in, samples, every
        self.lr, self.decay = lr, decay
        self.max_points, self.target = max_points, target
        self._found: dict[str, float] = {}

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
        self._center, self._found = float(y.mean()), {}
        self._constant = bool(y.std() <= 1e-12 * max(1.0, abs(self._center)))
        if self._constant:
            return self
        leaves_out = np.arange(self.chains) % (folds.max() + 1)
        unseen = folds == leaves_out[:, None]
        last = len(curves.epochs) - 1
        positions = thin(last, self.max_points, self._taus.values())
        self._positions = positions[curves.epochs[positions] > 0]
        points = curves.values[:, self._positions]
        points = points[np.isfinite(points)]
        # by all points, not by the final values: early epochs belong to the middle, not to a tail
        self._form = Form.level(points, warped=self.target == "warped_level")
        known = self._form.forward(points, 0.0)
        self._shift, self._scale = float(known.mean()), float(known.std())
        margin = _MARGIN * np.ptp(y)
        bounds = np.array([y.min() - margin, y.max() + margin])
        self._bounds = (self._form.forward(bounds, 0.0) - self._shift) / self._scale
        self._columns = Columns.of(static_frame(curves))
        with one_thread():
            self._sample(curves, ~unseen)
            gram, moment, square, n, _ = self._statistics(curves, curves.last_epoch)
            held = np.tile(unseen, (self.samples, 1))
            self._deviations = Deviations.of(gram[held], moment[held], square[held], n[held])
            z = (self._form.forward(y, 0.0) - self._shift) / self._scale
            self._errors = {}
            for tau in self._taus:
                means, variances = self._by_sample(curves.hide_after(tau), tau)
                mean, _ = _mixture(means, variances, held)
                # the scale that a new run gets, which all samples are asked about
                _, variance = _mixture(means, variances, np.ones(means.shape))
                self._errors[tau] = (z - mean) / np.sqrt(variance)
        self._found = {"log_noise": float(np.log(self._deviations.noise))}
        return self

    def _sample(self, curves: CurveSet, sees: np.ndarray) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        static = self._static(curves)
        z, t = self._points(curves, curves.last_epoch)
        potential = Potential(
            static,
            z,
            t,
            torch.from_numpy(sees.astype(np.float32)),
            n_curves=32,
            n_points=10,
            generator=generator,
        )
        network = CurveNetwork(self.chains, static.shape[1], self.n_hidden, generator)
        maximise(network, potential, self.epochs, lr=0.01)
        states = sample(
            network,
            potential,
            burn_in=self.burn_in,
            keep=self.samples,
            every=self.every,
            lr=self.lr,
            decay=self.decay,
            generator=generator,
        )
        everything = CurveNetwork(
            self.chains * self.samples, static.shape[1], self.n_hidden, generator
        )
        names = everything.state_dict()
        everything.load_state_dict({k: torch.cat([s[k] for s in states]) for k in names})
        self._network = everything

    def _static(self, curves: CurveSet) -> Tensor:
        return torch.from_numpy(self._columns.apply(static_frame(curves)).astype(np.float32))

    def _points(self, curves: CurveSet, tau: int) -> tuple[Tensor, Tensor]:
        """Standardised curves (n_runs, T), forward-filled, and times (T,) of the epochs <= tau."""
        positions = self._positions[curves.epochs[self._positions] <= tau]
        values = forward_fill(curves.values)[:, positions]
        z = (self._form.forward(values, 0.0) - self._shift) / self._scale
        t = curves.epochs[positions] / curves.last_epoch
        return torch.from_numpy(z.astype(np.float32)), torch.from_numpy(t.astype(np.float32))

    def _statistics(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, ...]:
        """Phi'Phi, Phi'r, r'r, number of points and mu, each with axes (samples, runs, ...)."""
        z, t = self._points(curves, tau)
        z, known = z.double(), torch.isfinite(z).double()
        out = evaluate(self._network, (self._static(curves),), lambda outputs: outputs)
        parts = []
        for start in range(0, len(z), 256):
            rows = slice(start, start + 256)
            # in double precision: with little noise and a wide prior, Phi'Phi is divided by so much
            # that rounded to single precision it gave negative variances
            o = torch.from_numpy(out[:, rows]).double()
            phi = design(o, t)
            f = (phi * o[..., None, :N_LINEAR]).sum(dim=-1)
            w = known[rows]
            r = torch.where(w > 0, z[rows] - f, torch.zeros_like(f))
            weighted = phi * w[..., None]
            parts.append(
                (
                    (weighted.transpose(-1, -2) @ phi).numpy(),
                    (weighted * r[..., None]).sum(dim=-2).numpy(),
                    (r**2).sum(dim=-1).numpy(),
                    w.sum(dim=-1).expand(len(o), -1).numpy(),
                    out[:, rows, 0],
                )
            )
        return tuple(np.concatenate(part, axis=1) for part in zip(*parts, strict=True))

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        if tau not in self._taus:
            raise DataError(f"not fitted for tau {tau}, only for {sorted(self._taus)}")
        if self._constant:
            return Prediction(np.full(len(curves), self._center), np.zeros(len(curves)))
        with one_thread():
            means, variances = self._by_sample(curves, tau)
        mean, variance = _mixture(means, variances, np.ones(means.shape))
        inner = ResidualPrediction.of(mean, np.sqrt(variance), self._errors[tau])
        return self._form.back(inner.affine(self._shift, self._scale), 0.0)

    def _by_sample(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, np.ndarray]:
        """Standardised mean and variance of the final value by sample, (samples, n_configs)."""
        gram, moment, _, _, asymptote = self._statistics(curves, tau)
        # every phi is 0 at the last epoch: only the first coefficient is left there
        deviation, variance = self._deviations.posterior_of_first(gram, moment)
        return np.clip(asymptote + deviation, *self._bounds), variance + self._deviations.noise

    def diagnostics(self) -> dict[str, float]:
        return dict(self._found)


def _mixture(
    means: np.ndarray, variances: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance per run of mixtures over samples; all of shape (samples, n_runs)."""
    w = weight / weight.sum(axis=0)
    mean = (w * means).sum(axis=0)
    return mean, (w * (variances + (means - mean) ** 2)).sum(axis=0)
