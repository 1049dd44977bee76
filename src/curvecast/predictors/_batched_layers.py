"""Networks of an ensemble that is trained in one batch: layers, shapes and training.

Arrays have the shape (members, runs, ..., features); a leading axis of 1 is shared by all
members. Gradients of different members do not mix, so long as the loss is a sum over members.
The layers are written out, as torch.func.vmap has no rule for torch.nn.LSTM, and a loop over
torch's own layers takes 25 to 45 % longer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from curvecast.curves import DataError

BATCH_SIZE = 100
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": partial(torch.optim.AdamW, weight_decay=0.1),
    "SGD": partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
}
_LARGEST_GRADIENT = 1.0
_WARM_UP = 0.1
_BLOCK = 64
_KERNEL = 2
_HEAD = 24


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, on which sums come out the same on any size of machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed`, on one thread; the caller keeps its stream."""
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        yield


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """Uniform in +-1/sqrt(fan_in), as torch's own layers start."""
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
        flat = x.flatten(1, -2).expand(members, -1, -1)  # there may be no input at all
        out = torch.baddbmm(self.bias, flat, self.weight)
        return out.view(members, *x.shape[1:-1], -1)


class Conv1d(nn.Module):
    """Convolution over the last but one axis; `padding` zeros are added before and after it."""

    def __init__(
        self, members: int, n_in: int, n_out: int, kernel: int, padding: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.linear = Linear(members, kernel * n_in, n_out)
        self.kernel, self.padding = kernel, (0, 0, *padding)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pad(x, self.padding)
        length = x.shape[-2] - self.kernel + 1
        windows = [x[..., i : i + length, :] for i in range(self.kernel)]
        return self.linear(torch.cat(windows, dim=-1))


def max_pool(x: Tensor) -> Tensor:
    """Maximum of neighbours along the last but one axis, which gets shorter by one."""
    return torch.maximum(x[..., 1:, :], x[..., :-1, :])


class LSTM(nn.Module):
    """torch.nn.LSTM (gates i, f, g, o, two biases) with an axis over members.

    `forward` maps x of shape (members or 1, runs, steps, n_in) to the hidden states of the last
    layer, (members, runs, steps, n_hidden); `start` is the first layer's initial hidden state,
    (members, runs, n_hidden).
    """

    def __init__(self, members: int, n_in: int, n_hidden: int, n_layers: int) -> None:
        super().__init__()
        self.members, self.n_hidden = members, n_hidden

        def per_layer(*n_rows: int) -> nn.ParameterList:
            return nn.ParameterList(
                uniform(members, n, 4 * n_hidden, fan_in=n_hidden) for n in n_rows
            )

        self.weight_ih = per_layer(n_in, *[n_hidden] * (n_layers - 1))
        self.weight_hh = per_layer(*[n_hidden] * n_layers)
        self.bias_ih = per_layer(*[1] * n_layers)
        self.bias_hh = per_layer(*[1] * n_layers)

    def forward(self, x: Tensor, start: Tensor | None = None) -> Tensor:
        layers = zip(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, strict=True)
        for w_ih, w_hh, b_ih, b_hh in layers:
            n_runs, n_steps = x.shape[1:3]
            by_step = x.transpose(1, 2).reshape(len(x), n_steps * n_runs, x.shape[-1])
            inputs = torch.baddbmm(b_ih + b_hh, by_step.expand(self.members, -1, -1), w_ih)
            inputs = inputs.view(self.members, n_steps, n_runs, -1)
            c = x.new_zeros(self.members, n_runs, self.n_hidden)
            h = torch.zeros_like(c) if start is None else start
            hidden = []
            for step in inputs.unbind(1):
                i, f, g, o = torch.baddbmm(step, h, w_hh).chunk(4, dim=-1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                hidden.append(h)
            x, start = torch.stack(hidden, dim=2), None
        return x


# The shapes. All are made from the number of members, of settings p, and of values n (Singh's) or
# channels C (causal), and from their sizes: the filters of a CNN; of an LSTM the filters before
# it or None, its width and its layers. They map settings (1, runs, p) and values (1, runs, n) or
# channels (1, runs, steps, C) to outputs (members, runs, 1 or steps).


class SinghCNN(nn.Module):
    """Convolutions over settings and values as one sequence; a linear layer over all features."""

    def __init__(self, members: int, n_static: int, n_values: int, filters: list[int]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            Conv1d(members, n_in, n_out, _KERNEL) for n_in, n_out in pairwise((1, *filters))
        )
        n_inputs = n_static + n_values
        length = n_inputs - len(filters) * _KERNEL
        if length < 1:
            raise DataError(
                f"{n_inputs} settings and values are too few for {len(filters)} convolutions with "
                "pooling"
            )
        self.head = Linear(members, length * filters[-1], 1)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        x = torch.cat([static, values], dim=-1).unsqueeze(-1)
        for convolution in self.convolutions:
            x = max_pool(torch.relu(convolution(x)))
        return self.head(x.flatten(2))


class StaticConvolution(nn.Module):
    """Initial hidden state from the settings: convolution, ReLU, pooling; linear where needed."""

    def __init__(self, members: int, n_static: int, filters: int, n_hidden: int) -> None:
        super().__init__()
        self.convolution = Conv1d(members, 1, filters, 1, padding=(1, 1))
        n_features = filters * (n_static + 1)
        same = n_features == n_hidden
        self.map = nn.Identity() if same else Linear(members, n_features, n_hidden)

    def forward(self, static: Tensor) -> Tensor:
        x = max_pool(torch.relu(self.convolution(static.unsqueeze(-1))))
        return self.map(x.flatten(2))


class SinghLSTM(nn.Module):
    """LSTM over settings and values as one sequence; a linear layer over all its steps.

    With `filters`, the LSTM reads the values alone, from the state of a `StaticConvolution`.
    """

    def __init__(
        self, members: int, n_static: int, n_values: int, sizes: tuple[int | None, int, int]
    ) -> None:
        super().__init__()
        filters, n_hidden, n_layers = sizes
        self.start = StaticConvolution(members, n_static, filters, n_hidden) if filters else None
        self.lstm = LSTM(members, 1, n_hidden, n_layers)
        n_steps = n_values if filters else n_static + n_values
        self.head = Linear(members, n_steps * n_hidden, 1)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        start = self.start(static) if self.start else None
        x = values if self.start else torch.cat([static, values], dim=-1)
        return self.head(self.lstm(x.unsqueeze(-1), start).flatten(2))


class CausalHead(nn.Module):
    """A hidden layer with a linear shortcut around it; starts from the zero map."""

    def __init__(self, members: int, n_in: int) -> None:
        super().__init__()
        self.hidden = Linear(members, n_in, _HEAD)
        self.out = Linear(members, n_in + _HEAD, 1, zero=True)

    def forward(self, *features: Tensor) -> Tensor:
        """From features of shape (members or 1, runs, steps, ...), side by side."""
        members = len(self.out.weight)
        x = torch.cat([part.expand(members, -1, -1, -1) for part in features], dim=-1)
        hidden = torch.relu(self.hidden(x))
        return self.out(torch.cat([x, hidden], dim=-1)).squeeze(-1)


class CausalCNN(nn.Module):
    """Causal convolutions; the head reads their features, these features' running mean, inputs."""

    def __init__(self, members: int, n_static: int, n_channels: int, filters: list[int]) -> None:
        super().__init__()
        n_inputs = n_channels + n_static
        self.convolutions = nn.ModuleList(
            Conv1d(members, n_in, n_out, _KERNEL, padding=(_KERNEL - 1, 0))
            for n_in, n_out in pairwise((n_inputs, *filters))
        )
        self.head = CausalHead(members, 2 * filters[-1] + n_inputs)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        inputs = at_every_step(static, channels)
        x = inputs
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
            # every step and the one before it; the length stays
            x = torch.maximum(x, torch.cat([x[..., :1, :], x[..., :-1, :]], dim=-2))
        count = torch.arange(1, x.shape[2] + 1, dtype=x.dtype).unsqueeze(-1)
        return self.head(x, x.cumsum(dim=2) / count, inputs)


class CausalLSTM(nn.Module):
    """LSTM over inputs and settings; the head reads the hidden state and what the LSTM reads.

    With `filters`, the LSTM reads the inputs alone, from the state of a `StaticConvolution`.
    """

    def __init__(
        self, members: int, n_static: int, n_channels: int, sizes: tuple[int | None, int, int]
    ) -> None:
        super().__init__()
        filters, n_hidden, n_layers = sizes
        self.start = StaticConvolution(members, n_static, filters, n_hidden) if filters else None
        n_inputs = n_channels if filters else n_channels + n_static
        self.lstm = LSTM(members, n_inputs, n_hidden, n_layers)
        self.head = CausalHead(members, n_hidden + n_inputs)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        start = self.start(static) if self.start else None
        inputs = channels if self.start else at_every_step(static, channels)
        return self.head(self.lstm(inputs, start), inputs)


def at_every_step(static: Tensor, channels: Tensor) -> Tensor:
    """Channels and settings side by side, shape (1, runs, steps, C + p)."""
    repeated = static.unsqueeze(2).expand(-1, -1, channels.shape[2], -1)
    return torch.cat([channels, repeated], dim=-1)


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
    target : wanted outputs, shape (members, runs, steps).
    weight : of every run for every member, 0 where the member must not see it, (members, runs).
    optimizer : one of `OPTIMIZERS`.
    """
    parameters = list(network.parameters())
    minimiser = OPTIMIZERS[optimizer](parameters, lr=lr)
    n_runs = target.shape[1]
    n_batches = max(1, round(n_runs / BATCH_SIZE))
    n_updates = epochs * n_batches
    for update in range(n_updates):
        if update % n_batches == 0:
            batches = torch.randperm(n_runs).tensor_split(n_batches)
        rows = batches[update % n_batches]
        progress = update / n_updates
        risen = min(1.0, (progress + 1e-3) / _WARM_UP)
        minimiser.param_groups[0]["lr"] = lr * (risen * 0.5 * (1 + float(np.cos(np.pi * progress))))
        out = network(*(x[rows].unsqueeze(0) for x in inputs))
        minimiser.zero_grad()
        _loss(out, target[:, rows], weight[:, rows]).backward()
        _shorten(parameters)
        minimiser.step()


def _loss(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum over members of the weighted mean squared error over runs and steps."""
    errors = ((out - target) ** 2).mean(dim=2)
    return ((errors * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)).sum()


def _shorten(parameters: Sequence[nn.Parameter]) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = torch.stack([g.flatten(1).pow(2).sum(dim=1) for g in gradients]).sum(dim=0)
    factor = _LARGEST_GRADIENT / squares.sqrt().clamp(min=_LARGEST_GRADIENT)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


@one_thread()
@torch.no_grad()
def evaluate(network: nn.Module, *inputs: Tensor) -> np.ndarray:
    """Outputs for all runs, joined along the runs' axis 1.

    Computed in double precision and for blocks of one size, the last one filled with its last run:
    the rounding of sums depends on how many runs are beside a run.
    """
    network, parts, n = copy.deepcopy(network).double(), [], len(inputs[0])
    for start in range(0, n, _BLOCK):
        rows = torch.arange(start, start + _BLOCK).clamp(max=n - 1)
        parts.append(network(*(x[rows].double().unsqueeze(0) for x in inputs)).numpy())
    return np.concatenate(parts, axis=1)[:, :n]
