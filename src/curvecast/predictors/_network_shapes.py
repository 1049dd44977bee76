"""The networks behind `networks.py`: Singh's shapes, and causal ones with an output per step.

All are made from the number of members, of settings p, of what the second input has per run,
and of their own sizes. Inputs and outputs have the axes of `_batched_layers`: settings
(1, runs, p); values (1, runs, n) of Singh's, channels (1, runs, steps, C) of the causal ones;
outputs (members, runs, 1 or steps).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from curvecast.curves import DataError
from curvecast.predictors._batched_layers import LSTM, Conv1d, Linear, causal_max_pool, max_pool

_KERNEL = 2
_HEAD = 24


class SinghCNN(nn.Module):
    """Convolutions over settings and values as one sequence; a linear layer over all features."""

    def __init__(
        self, members: int, n_static: int, n_values: int, filters: tuple[int, ...]
    ) -> None:
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


class SinghLSTM(nn.Module):
    """LSTM over settings and values as one sequence; a linear layer over all its steps."""

    def __init__(
        self, members: int, n_static: int, n_values: int, n_hidden: int, n_layers: int
    ) -> None:
        super().__init__()
        self.lstm = LSTM(members, 1, n_hidden, n_layers)
        self.head = Linear(members, (n_static + n_values) * n_hidden, 1)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        x = torch.cat([static, values], dim=-1).unsqueeze(-1)
        return self.head(self.lstm(x).flatten(2))


class StaticConvolution(nn.Module):
    """Initial hidden state from the settings: convolution, ReLU, pooling; linear where needed."""

    def __init__(self, members: int, n_static: int, filters: int, n_hidden: int) -> None:
        super().__init__()
        self.convolution = Conv1d(members, 1, filters, 1, before=1, after=1)
        n_features = filters * (n_static + 1)
        same = n_features == n_hidden
        self.map = nn.Identity() if same else Linear(members, n_features, n_hidden)

    def forward(self, static: Tensor) -> Tensor:
        x = max_pool(torch.relu(self.convolution(static.unsqueeze(-1))))
        return self.map(x.flatten(2))


class SinghCNNLSTM(nn.Module):
    """LSTM over the values from a state that a convolution over the settings gives."""

    def __init__(
        self,
        members: int,
        n_static: int,
        n_values: int,
        filters: int,
        n_hidden: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.start = StaticConvolution(members, n_static, filters, n_hidden)
        self.lstm = LSTM(members, 1, n_hidden, n_layers)
        self.head = Linear(members, n_values * n_hidden, 1)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        hidden = self.lstm(values.unsqueeze(-1), self.start(static))
        return self.head(hidden.flatten(2))


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

    def __init__(
        self, members: int, n_static: int, n_channels: int, filters: tuple[int, ...]
    ) -> None:
        super().__init__()
        n_inputs = n_channels + n_static
        self.convolutions = nn.ModuleList(
            Conv1d(members, n_in, n_out, _KERNEL, before=_KERNEL - 1)
            for n_in, n_out in pairwise((n_inputs, *filters))
        )
        self.head = CausalHead(members, 2 * filters[-1] + n_inputs)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        inputs = at_every_step(static, channels)
        x = inputs
        for convolution in self.convolutions:
            x = causal_max_pool(torch.relu(convolution(x)))
        count = torch.arange(1, x.shape[2] + 1, dtype=x.dtype).unsqueeze(-1)
        return self.head(x, x.cumsum(dim=2) / count, inputs)


class CausalLSTM(nn.Module):
    """LSTM over inputs and settings; the head reads hidden state, inputs and settings."""

    def __init__(
        self, members: int, n_static: int, n_channels: int, n_hidden: int, n_layers: int
    ) -> None:
        super().__init__()
        n_inputs = n_channels + n_static
        self.lstm = LSTM(members, n_inputs, n_hidden, n_layers)
        self.head = CausalHead(members, n_hidden + n_inputs)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        inputs = at_every_step(static, channels)
        return self.head(self.lstm(inputs), inputs)


class CausalCNNLSTM(nn.Module):
    """LSTM over the inputs from a state that a convolution over the settings gives."""

    def __init__(
        self,
        members: int,
        n_static: int,
        n_channels: int,
        filters: int,
        n_hidden: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        self.start = StaticConvolution(members, n_static, filters, n_hidden)
        self.lstm = LSTM(members, n_channels, n_hidden, n_layers)
        self.head = CausalHead(members, n_hidden + n_channels)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        return self.head(self.lstm(channels, self.start(static)), channels)


def at_every_step(static: Tensor, channels: Tensor) -> Tensor:
    """Channels and settings side by side, shape (1, runs, steps, C + p)."""
    repeated = static.unsqueeze(2).expand(-1, -1, channels.shape[2], -1)
    return torch.cat([channels, repeated], dim=-1)
