"""The networks behind `networks.py`: Singh's shapes, and causal ones with an output per step.

Inputs and outputs have the axes of `_batched_layers`: settings (1, runs, p); values (1, runs, n)
of Singh's, channels (1, runs, steps, C) of the causal ones; outputs (members, runs, 1 or steps).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from curvecast.curves import DataError
from curvecast.predictors import _batched_layers as layers

_KERNEL = 2
_HEAD = 24


class SinghCNN(nn.Module):
    """Convolutions over settings and values as one sequence; a linear layer over all features."""

    def __init__(
        self, members: int, n_inputs: int, filters: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        widths = (1, *filters)
        self.convolutions = nn.ModuleList(
            layers.Conv1d(members, n_in, n_out, _KERNEL, generator)
            for n_in, n_out in zip(widths, filters, strict=False)
        )
        length = n_inputs - len(filters) * _KERNEL
        if length < 1:
            raise DataError(
                f"{n_inputs} settings and values are too few for {len(filters)} convolutions with "
                "pooling"
            )
        self.head = layers.Linear(members, length * filters[-1], 1, generator)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        x = torch.cat([static, values], dim=-1).unsqueeze(-1)
        for convolution in self.convolutions:
            x = layers.max_pool(torch.relu(convolution(x)))
        return self.head(x.flatten(2))


class SinghLSTM(nn.Module):
    """LSTM over settings and values as one sequence; a linear layer over all its steps."""

    def __init__(
        self, members: int, n_inputs: int, n_hidden: int, n_layers: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.lstm = layers.LSTM(members, 1, n_hidden, n_layers, generator)
        self.head = layers.Linear(members, n_inputs * n_hidden, 1, generator)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        x = torch.cat([static, values], dim=-1).unsqueeze(-1)
        return self.head(self.lstm(x).flatten(2))


class StaticConvolution(nn.Module):
    """Initial hidden state from the settings: convolution, ReLU, pooling; linear where needed."""

    def __init__(
        self, members: int, n_static: int, filters: int, n_hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.convolution = layers.Conv1d(members, 1, filters, 1, generator, before=1, after=1)
        n_features = filters * (n_static + 1)
        self.map = (
            nn.Identity()
            if n_features == n_hidden
            else layers.Linear(members, n_features, n_hidden, generator)
        )

    def forward(self, static: Tensor) -> Tensor:
        x = layers.max_pool(torch.relu(self.convolution(static.unsqueeze(-1))))
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
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.start = StaticConvolution(members, n_static, filters, n_hidden, generator)
        self.lstm = layers.LSTM(members, 1, n_hidden, n_layers, generator)
        self.head = layers.Linear(members, n_values * n_hidden, 1, generator)

    def forward(self, static: Tensor, values: Tensor) -> Tensor:
        hidden = self.lstm(values.unsqueeze(-1), self.start(static))
        return self.head(hidden.flatten(2))


class CausalHead(nn.Module):
    """A hidden layer with a linear shortcut around it; starts from the zero map."""

    def __init__(self, members: int, n_in: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = layers.Linear(members, n_in, _HEAD, generator)
        self.out = layers.Linear(members, n_in + _HEAD, 1, generator, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.hidden(x))
        return self.out(torch.cat([x, hidden], dim=-1)).squeeze(-1)


class CausalCNN(nn.Module):
    """Causal convolutions; the head reads their features, these features' running mean, inputs."""

    def __init__(
        self,
        members: int,
        n_static: int,
        n_channels: int,
        filters: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_inputs = n_channels + n_static
        widths = (n_inputs, *filters)
        self.convolutions = nn.ModuleList(
            layers.Conv1d(members, n_in, n_out, _KERNEL, generator, before=_KERNEL - 1)
            for n_in, n_out in zip(widths, filters, strict=False)
        )
        self.head = CausalHead(members, 2 * filters[-1] + n_inputs, generator)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        inputs = at_every_step(static, channels)
        x = inputs
        for convolution in self.convolutions:
            x = layers.causal_max_pool(torch.relu(convolution(x)))
        count = torch.arange(1, x.shape[2] + 1, dtype=x.dtype).unsqueeze(-1)
        inputs = inputs.expand(len(x), -1, -1, -1)
        return self.head(torch.cat([x, x.cumsum(dim=2) / count, inputs], dim=-1))


class CausalLSTM(nn.Module):
    """LSTM over inputs and settings; the head reads hidden state, inputs and settings."""

    def __init__(
        self,
        members: int,
        n_static: int,
        n_channels: int,
        n_hidden: int,
        n_layers: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_inputs = n_channels + n_static
        self.lstm = layers.LSTM(members, n_inputs, n_hidden, n_layers, generator)
        self.head = CausalHead(members, n_hidden + n_inputs, generator)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        inputs = at_every_step(static, channels)
        hidden = self.lstm(inputs)
        inputs = inputs.expand(len(hidden), -1, -1, -1)
        return self.head(torch.cat([hidden, inputs], dim=-1))


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
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.start = StaticConvolution(members, n_static, filters, n_hidden, generator)
        self.lstm = layers.LSTM(members, n_channels, n_hidden, n_layers, generator)
        self.head = CausalHead(members, n_hidden + n_channels, generator)

    def forward(self, static: Tensor, channels: Tensor) -> Tensor:
        hidden = self.lstm(channels, self.start(static))
        channels = channels.expand(len(hidden), -1, -1, -1)
        return self.head(torch.cat([hidden, channels], dim=-1))


def at_every_step(static: Tensor, channels: Tensor) -> Tensor:
    """Channels and settings side by side, shape (1, runs, steps, C + p)."""
    repeated = static.unsqueeze(2).expand(-1, -1, channels.shape[2], -1)
    return torch.cat([channels, repeated], dim=-1)
