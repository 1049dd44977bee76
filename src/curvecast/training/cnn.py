"""Convolutional networks for images, built layer by layer with their sizes.

Built on torch's device `meta`, a network has shapes and sizes but no weights, so that a study
recognises an impossible or too large network cheaply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from curvecast import layers

# ReLU works in place: the layers before it need no output of theirs for the gradient.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class ImpossibleNetwork(ValueError):
    """No image of this size fits through the network; the text names the layer."""


class Dropout(nn.Dropout):
    """Dropout with 16 random bits per value, which makes the rate a multiple of 2**-16.

    On a processor torch draws a whole number for each value, a third of a small network's time.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x with values dropped and the others scaled up in training; x itself otherwise.

        The memory of x has no gaps, whatever the order of its dimensions.
        """
        dropped = round(self.p * 2**16)
        if not self.training or not dropped:
            return x
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        drawn = bits.random_(-(2**63), None).view(torch.int16)[: x.numel()]
        scale = drawn.ge_(dropped - 2**15).to(x.dtype).mul_(1 / (1 - dropped / 2**16))
        return x * scale.as_strided(x.shape, x.stride())


class Network(nn.Sequential):
    """A network of which every method appends a layer; `image` is (channels, height, width).

    Attributes
    ----------
    shape : of one sample after the last layer, (channels, height, width) or (units,).
    n_multiplications : multiply-adds of convolutions and dense layers for one image, forwards.
    depth : number of convolutions and dense layers.

    Raises
    ------
    ImpossibleNetwork : a kernel is larger than its input.
    """

    def __init__(self, image: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = image
        self.n_multiplications = self.depth = 0

    @property
    def n_parameters(self) -> int:
        """Number of trained weights, biases, and scales and shifts of batch norms."""
        return sum(parameter.numel() for parameter in self.parameters())

    def convolution(self, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        """A square convolution; sizes in pixels."""
        sides = self._sides("conv", kernel, stride, padding)
        module = nn.Conv2d(self.shape[0], channels, kernel, stride, padding)
        self._weighted(module, self.shape[0] * kernel**2, (channels, *sides))

    def max_pool(self, kernel: int, stride: int | None = None) -> None:
        """Maxima of squares of so many pixels, side by side or at a stride."""
        sides = self._sides("max_pool", kernel, stride or kernel, 0)
        self.append(nn.MaxPool2d(kernel, stride))
        self.shape = (self.shape[0], *sides)

    def average_pool(self) -> None:
        """The mean over all pixels of each channel, as units."""
        self.append(nn.AdaptiveAvgPool2d(1))
        self.append(nn.Flatten())
        self.shape = self.shape[:1]

    def flatten(self) -> None:
        """All pixels of all channels side by side."""
        self.append(nn.Flatten())
        self.shape = (math.prod(self.shape),)

    def dense(self, units: int) -> None:
        """A linear layer."""
        self._weighted(nn.Linear(self.shape[0], units), self.shape[0], (units,))

    def batch_norm(self) -> None:
        """Batch norm of channels or units."""
        kind = nn.BatchNorm2d if len(self.shape) == 3 else nn.BatchNorm1d
        self.append(kind(self.shape[0]))

    def activation(self, name: str) -> None:
        """One of `ACTIVATIONS`."""
        self.append(ACTIVATIONS[name]())

    def dropout(self, rate: float) -> None:
        """Dropout of this share of the inputs."""
        self.append(Dropout(rate))

    def _weighted(self, module: nn.Module, n_inputs: int, shape: tuple[int, ...]) -> None:
        self.append(module)
        self.shape = shape
        self.n_multiplications += n_inputs * math.prod(shape)
        self.depth += 1

    def _sides(self, kind: str, kernel: int, stride: int, padding: int) -> list[int]:
        sides = [(side + 2 * padding - kernel) // stride + 1 for side in self.shape[1:]]
        if min(sides) < 1:
            raise ImpossibleNetwork(
                f"layer {len(self) + 1} ({kind}): a kernel of {kernel} with padding {padding} "
                f"on {self.shape[1]} x {self.shape[2]} pixels"
            )
        return sides


def kuzushiji(config: Mapping[str, Any], n_classes: int, image: tuple[int, int, int]) -> Network:
    """The network of a configuration of `spaces.kuzushiji` (Mallik).

    [CONV, BATCHNORM?, ACTIVATION, DROPOUT?, MAXPOOL?] x n_conv, then
    [FC, BATCHNORM?, ACTIVATION, DROPOUT?] x n_dense and the output layer. From the second
    convolution on the channels are the largest multiple of the first one's that `channels_i`
    allows.

    Raises
    ------
    ImpossibleNetwork : a padding above half of its kernel; see `Network`.
    """
    network = Network(image)
    first = config["channels_1"]
    for i in range(1, config["n_conv"] + 1):
        kernel, padding = config[f"kernel_{i}"], config[f"padding_{i}"]
        if padding > kernel // 2:
            raise ImpossibleNetwork(f"convolution {i}: padding {padding} for kernel {kernel}")
        channels = first * max(1, config[f"channels_{i}"] // first)
        network.convolution(channels, kernel, config[f"stride_{i}"], padding)
        if config["batch_norm"]:
            network.batch_norm()
        network.activation(config["activation"])
        if config["dropout"]:
            network.dropout(config[f"dropout_{i}"])
        if config[f"pool_{i}"]:
            network.max_pool(config[f"pool_kernel_{i}"])
    network.flatten()
    for i in range(1, config["n_dense"] + 1):
        network.dense(config[f"units_{i}"])
        if config["batch_norm_dense"]:
            network.batch_norm()
        network.activation(config["activation"])
        if config["dropout_dense"]:
            network.dropout(config[f"dropout_dense_{i}"])
    network.dense(n_classes)
    return network


def usps(config: Mapping[str, Any], n_classes: int, image: tuple[int, int, int]) -> Network:
    """Sikorskyi's network for USPS and those of the study around it.

    `n_conv` convolutions of 32, 64, 128 channels (3 x 3, the image's size stays), each with batch
    norm, activation and pooling by 2; dropout of a quarter; dense layers of `neurons` and half as
    many. The reference is n_conv 3, neurons 100 and relu.
    """
    network = Network(image)
    for i in range(config["n_conv"]):
        network.convolution(32 * 2**i, 3, padding=1)
        network.batch_norm()
        network.activation(config["activation"])
        network.max_pool(2)
    network.dropout(0.25)
    network.flatten()
    for units in (config["neurons"], config["neurons"] // 2):
        network.dense(units)
        network.activation(config["activation"])
    network.dense(n_classes)
    return network


def listed(config: Mapping[str, Any], n_classes: int, image: tuple[int, int, int]) -> Network:
    """The network of a configuration of `spaces.layers`, with the dropout layers of MetaQNN.

    Convolutions have same padding, and ReLU follows them and the fully connected layers.
    """
    network, listing = Network(image), layers.of_config(config)
    pooled = ("GAP", listing[-1][1]) in listing
    for kind, arguments in layers.with_dropout(listing):
        if kind in ("FC", "SM") and len(network.shape) == 3:
            network.flatten()
        if kind == "C":
            channels, kernel, stride = arguments
            network.convolution(channels, kernel, stride, kernel // 2)
        elif kind == "P":
            network.max_pool(*arguments)
        elif kind == "D":
            network.dropout(arguments[0] / (2 * arguments[1]))
        elif kind == "GAP":
            network.convolution(n_classes, 1)
            network.average_pool()
        elif kind == "FC":
            network.dense(arguments[0])
        elif not pooled:
            network.dense(n_classes)
        if kind in ("C", "FC"):
            network.activation("relu")
    return network


NETWORKS = {"kuzushiji": kuzushiji, "usps": usps, "layers": listed}
