"""Layers of an ensemble that is trained in one batch: a leading axis over its members.

Arrays have the shape (members, runs, ..., features); a leading axis of 1 is shared by all
members. Gradients of different members do not mix, so long as the loss is a sum over members.
Written out, as torch.func.vmap has no rule for torch.nn.LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from curvecast.curves import DataError

BATCH_SIZE = 100
WEIGHT_DECAY = 0.1
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], float], torch.optim.Optimizer]] = {
    "Adam": lambda parameters, lr: torch.optim.AdamW(parameters, lr, weight_decay=WEIGHT_DECAY),
    "SGD": lambda parameters, lr: torch.optim.SGD(
        parameters, lr, momentum=0.9, weight_decay=WEIGHT_DECAY
    ),
}
_LARGEST_GRADIENT = 1.0
_WARM_UP = 0.1
_CHUNK = 512


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed`, on one thread; the caller's stream stays as it is.

    On one thread sums come out the same on any size of machine.
    """
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Uniform in +-1/sqrt(fan_in), what torch's own layers start from."""
    return nn.Parameter((2 * torch.rand(*shape) - 1) * fan_in**-0.5)


class Linear(nn.Module):
    """x W + b per member; `zero` starts it from the zero map."""

    def __init__(self, members: int, n_in: int, n_out: int, *, zero: bool = False) -> None:
        super().__init__()
        self.weight = uniform(members, n_in, n_out, fan_in=max(n_in, 1))
        self.bias = uniform(members, 1, n_out, fan_in=max(n_in, 1))
        if zero:
            nn.init.zeros_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        members = len(self.weight)
        flat = x.reshape(len(x), -1, x.shape[-1]).expand(members, -1, -1)
        out = torch.baddbmm(self.bias, flat, self.weight)
        return out.view(members, *x.shape[1:-1], -1)


class Conv1d(nn.Module):
    """Convolution over the last but one axis, `before` and `after` zeros added to its ends.

    Raises
    ------
    DataError : in use, where a sequence is shorter than the kernel.
    """

    def __init__(
        self,
        members: int,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        before: int = 0,
        after: int = 0,
    ) -> None:
        super().__init__()
        self.linear = Linear(members, kernel * n_in, n_out)
        self.kernel, self.padding = kernel, (0, 0, before, after)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, self.padding)
        length = x.shape[-2] - self.kernel + 1
        if length < 1:
            raise DataError(
                f"a sequence of {x.shape[-2]} numbers is too short for the convolutions"
            )
        windows = [x[..., i : i + length, :] for i in range(self.kernel)]
        return self.linear(torch.cat(windows, dim=-1))


def max_pool(x: Tensor) -> Tensor:
    """Maximum of neighbours along the last but one axis, which gets shorter by one."""
    if x.shape[-2] < 2:
        raise DataError("a sequence of one number is too short for the pooling")
    return torch.maximum(x[..., 1:, :], x[..., :-1, :])


def causal_max_pool(x: Tensor) -> Tensor:
    """Maximum of every step and the one before it; the length stays."""
    return torch.maximum(x, torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2))


class LSTM(nn.Module):
    """torch.nn.LSTM (gates i, f, g, o, two biases) with an axis over members.

    `forward` maps x of shape (members or 1, runs, steps, n_in) to the hidden states of the last
    layer, (members, runs, steps, n_hidden); `start` is the first layer's initial hidden state,
    (members, runs, n_hidden).
    """

    def __init__(self, members: int, n_in: int, n_hidden: int, n_layers: int) -> None:
        super().__init__()
        self.members, self.n_hidden = members, n_hidden

        def per_layer(*shapes: tuple[int, int]) -> nn.ParameterList:
            return nn.ParameterList(uniform(members, *s, fan_in=n_hidden) for s in shapes)

        gates = 4 * n_hidden
        widths = [n_in] + [n_hidden] * (n_layers - 1)
        self.weight_ih = per_layer(*((width, gates) for width in widths))
        self.weight_hh = per_layer(*((n_hidden, gates) for _ in widths))
        self.bias_ih = per_layer(*((1, gates) for _ in widths))
        self.bias_hh = per_layer(*((1, gates) for _ in widths))

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        layers = zip(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, strict=True)
        for w_ih, w_hh, b_ih, b_hh in layers:
            x = self._layer(x, w_ih, w_hh, b_ih + b_hh, start)
            start = None
        return x

    def _layer(
        self, x: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, start: Tensor | None
    ) -> Tensor:
        n_runs, n_steps = x.shape[1:3]
        by_step = x.transpose(1, 2).reshape(len(x), n_steps * n_runs, x.shape[-1])
        inputs = torch.baddbmm(bias, by_step.expand(self.members, -1, -1), w_ih)
        inputs = inputs.view(self.members, n_steps, n_runs, -1)
        h = x.new_zeros(self.members, n_runs, self.n_hidden) if start is None else start
        c = x.new_zeros(self.members, n_runs, self.n_hidden)
        hidden = []
        for step in inputs.unbind(1):
            gates = torch.baddbmm(step, h, w_hh)
            i, f, g, o = gates.chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hidden.append(h)
        return torch.stack(hidden, dim=2)


def train(
    network: nn.Module,
    inputs: Sequence[Tensor],
    target: Tensor,
    weight: Tensor,
    *,
    epochs: int,
    lr: float,
    optimizer: str,
) -> None:
    """Minimise every member's weighted mean squared error on mini-batches, in place.

    The learning rate rises linearly over the first tenth of the updates and then falls along a
    cosine to 0 (Loshchilov and Hutter 2017, without restarts); weight decay is decoupled under
    Adam. The gradient of a member is shortened to length 1 where it is longer.

    Parameters
    ----------
    inputs : tensors with runs as first axis; the network gets them with a leading axis of 1.
    target : what the outputs should be, shape (members, runs, steps).
    weight : of every run for every member, 0 where the member must not see it, (members, runs).
    optimizer : one of `OPTIMIZERS`.
    """
    parameters = list(network.parameters())
    minimiser = OPTIMIZERS[optimizer](parameters, lr)
    n_runs = target.shape[1]
    n_batches = max(1, round(n_runs / BATCH_SIZE))
    n_updates = epochs * n_batches
    for update in range(n_updates):
        if update % n_batches == 0:
            batches = torch.randperm(n_runs).tensor_split(n_batches)
        rows = batches[update % n_batches]
        for group in minimiser.param_groups:
            group["lr"] = lr * _schedule(update / n_updates)
        out = network(*(x[rows].unsqueeze(0) for x in inputs))
        minimiser.zero_grad()
        _loss(out, target[:, rows], weight[:, rows]).backward()
        _shorten(parameters)
        minimiser.step()


def _loss(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum over members of the weighted mean squared error over runs and steps."""
    errors = ((out - target) ** 2).mean(dim=2)
    return ((errors * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)).sum()


def _schedule(progress: float) -> float:
    return min(1.0, (progress + 1e-3) / _WARM_UP) * 0.5 * (1 + float(np.cos(np.pi * progress)))


def _shorten(parameters: Sequence[nn.Parameter]) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = torch.stack([g.flatten(1).pow(2).sum(dim=1) for g in gradients]).sum(dim=0)
    factor = _LARGEST_GRADIENT / squares.sqrt().clamp(min=_LARGEST_GRADIENT)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


@torch.no_grad()
def evaluate(network: nn.Module, *inputs: Tensor) -> np.ndarray:
    """Outputs for all runs, joined along the runs' axis 1; float64."""
    parts = []
    for start in range(0, len(inputs[0]), _CHUNK):
        chunk = (x[start : start + _CHUNK].unsqueeze(0) for x in inputs)
        parts.append(network(*chunk).numpy())
    return np.concatenate(parts, axis=1).astype(np.float64)
