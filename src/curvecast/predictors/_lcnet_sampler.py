"""The network of lcnet, its posterior, and the sampler of it: stochastic gradient Hamiltonian MC.

Random numbers come from torch's own stream, which the caller seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from curvecast.predictors._batched_layers import Linear

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
N_HIDDEN = 16
_NOISE_MEAN, _NOISE_STD = -4.0, 2.0
# Of a mini-batch.
N_CURVES, N_POINTS = 32, 10
FIT_LR = 0.01
# Step size of the sampler and its momentum decay.
LR, DECAY = 0.03, 0.05


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

    def __init__(self, chains: int, n_static: int) -> None:
        super().__init__()
        widths = (n_static, N_HIDDEN, N_HIDDEN, N_HIDDEN)
        self.layers = nn.ModuleList(Linear(chains, n_in, n_out) for n_in, n_out in pairwise(widths))
        self.head = Linear(chains, N_HIDDEN, N_LINEAR + len(RANGES))
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
    network: nn.Module,
    potential: Callable[[nn.Module], Tensor],
    *,
    burn_in: int,
    keep: int,
    every: int,
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
    states = []
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
                variance = (2 * LR**2 * DECAY * inverse - LR**4).clamp(min=1e-16)
                noise = torch.randn(p.shape) * variance.sqrt()
                v.mul_(1 - DECAY).sub_(LR**2 * inverse * gradient).add_(noise)
                p.add_(v)
        if step >= burn_in and (step - burn_in + 1) % every == 0:
            states.append({name: x.clone() for name, x in network.state_dict().items()})
    return states
