"""Convolutional networks as lists of layers: their shapes, sizes and modules.

A network is a list of `Layer`s. Its cost, and whether an image fits through it, are computed
without building it, so that a study can draw another network for an impossible one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from curvecast.training.torch_session import seeded

KINDS = ("conv", "batch_norm", "activation", "dropout", "max_pool", "flatten", "dense")
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
MOST_CHANNELS = 64


class ImpossibleNetwork(ValueError):
    """No image of this size fits through the network; the text names the layer."""


@dataclass(frozen=True)
class Layer:
    """One layer; what does not belong to its kind keeps its default.

    Attributes
    ----------
    kind : one of `KINDS`.
    units : channels of a convolution, outputs of a dense layer.
    kernel, stride, padding : of convolution and pooling, in pixels.
    rate : share of the inputs that dropout drops.
    function : name of the activation.
    """

    kind: str
    units: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    rate: float = 0.0
    function: str = ""


Network = list[Layer]
Shape = tuple[int, ...]


def kuzushiji(config: Mapping[str, Any], n_classes: int) -> Network:
    """The network of a configuration of `spaces.kuzushiji` (Mallik).

    [CONV, BATCHNORM?, ACTIVATION, DROPOUT?, MAXPOOL?] x n_conv, then
    [FC, BATCHNORM?, ACTIVATION, DROPOUT?] x n_dense and the output layer. From the second
    convolution on the channels are the largest multiple of the first one's that `channels_i`
    allows.

    Raises
    ------
    ImpossibleNetwork : a padding above half of its kernel.
    """
    layers: Network = []
    activation = Layer("activation", function=config["activation"])
    first = config["channels_1"]
    for i in range(1, config["n_conv"] + 1):
        kernel, padding = config[f"kernel_{i}"], config[f"padding_{i}"]
        if padding > kernel // 2:
            raise ImpossibleNetwork(f"convolution {i}: padding {padding} for kernel {kernel}")
        channels = first * max(1, config[f"channels_{i}"] // first)
        layers.append(Layer("conv", channels, kernel, config[f"stride_{i}"], padding))
        layers += [Layer("batch_norm")] * bool(config["batch_norm"])
        layers.append(activation)
        if config["dropout"]:
            layers.append(Layer("dropout", rate=config[f"dropout_{i}"]))
        if config[f"pool_{i}"]:
            size = config[f"pool_kernel_{i}"]
            layers.append(Layer("max_pool", kernel=size, stride=size))
    layers.append(Layer("flatten"))
    for i in range(1, config["n_dense"] + 1):
        layers.append(Layer("dense", config[f"units_{i}"]))
        layers += [Layer("batch_norm")] * bool(config["batch_norm_dense"])
        layers.append(activation)
        if config["dropout_dense"]:
            layers.append(Layer("dropout", rate=config[f"dropout_dense_{i}"]))
    return [*layers, Layer("dense", n_classes)]


def usps(config: Mapping[str, Any], n_classes: int) -> Network:
    """Sikorskyi's network for USPS and those of the study around it.

    `n_conv` convolutions of 32, 64, 128 channels (3 x 3, the image's size kept), each with batch
    norm, activation and pooling by 2; dropout of a quarter; dense layers of `neurons` and half as
    many. The reference is n_conv 3, neurons 100 and relu.
    """
    activation = Layer("activation", function=config["activation"])
    layers: Network = []
    for i in range(config["n_conv"]):
        layers += [Layer("conv", 32 * 2**i, 3, padding=1), Layer("batch_norm"), activation]
        layers.append(Layer("max_pool", kernel=2, stride=2))
    layers += [Layer("dropout", rate=0.25), Layer("flatten")]
    for units in (config["neurons"], config["neurons"] // 2):
        layers += [Layer("dense", units), activation]
    return [*layers, Layer("dense", n_classes)]


NETWORKS = {"kuzushiji": kuzushiji, "usps": usps}


def shapes(network: Sequence[Layer], image: tuple[int, int]) -> list[Shape]:
    """Shape of one sample after every layer, the image's own (1, height, width) first.

    Raises
    ------
    ImpossibleNetwork : a kernel does not fit on what it gets.
    """
    result: list[Shape] = [(1, *image)]
    for number, layer in enumerate(network, start=1):
        shape = result[-1]
        if layer.kind in ("conv", "max_pool"):
            sides = [
                (side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in shape[1:]
            ]
            if min(sides) < 1:
                raise ImpossibleNetwork(
                    f"layer {number} ({layer.kind}): a kernel of {layer.kernel} with padding "
                    f"{layer.padding} on {shape[1]} x {shape[2]} pixels"
                )
            shape = (layer.units or shape[0], *sides)
        elif layer.kind == "flatten":
            shape = (math.prod(shape),)
        elif layer.kind == "dense":
            shape = (layer.units,)
        result.append(shape)
    return result


def n_parameters(network: Sequence[Layer], image: tuple[int, int]) -> int:
    """Number of trained weights, biases, and scales and shifts of batch norms."""
    total = 0
    for layer, before in zip(network, shapes(network, image), strict=False):
        if layer.kind in ("conv", "dense"):
            window = layer.kernel**2 if layer.kind == "conv" else 1
            total += (before[0] * window + 1) * layer.units
        elif layer.kind == "batch_norm":
            total += 2 * before[0]
    return total


def n_multiplications(network: Sequence[Layer], image: tuple[int, int]) -> int:
    """Multiply-adds of convolutions and dense layers for one image, forwards."""
    total = 0
    sizes = shapes(network, image)
    for layer, before, after in zip(network, sizes, sizes[1:], strict=False):
        if layer.kind == "conv":
            total += before[0] * layer.kernel**2 * math.prod(after)
        elif layer.kind == "dense":
            total += before[0] * layer.units
    return total


def build(network: Sequence[Layer], image: tuple[int, int], seed: int) -> nn.Sequential:
    """The module with PyTorch's initial weights, drawn from `seed` alone."""
    modules: list[nn.Module] = []
    with seeded(seed):
        for layer, before in zip(network, shapes(network, image), strict=False):
            modules.append(_module(layer, before))
    return nn.Sequential(*modules)


def _module(layer: Layer, shape: Shape) -> nn.Module:
    match layer.kind:
        case "conv":
            return nn.Conv2d(shape[0], layer.units, layer.kernel, layer.stride, layer.padding)
        case "batch_norm":
            return (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0])
        case "activation":
            return ACTIVATIONS[layer.function]()
        case "dropout":
            return nn.Dropout(layer.rate)
        case "max_pool":
            return nn.MaxPool2d(layer.kernel, layer.stride)
        case "flatten":
            return nn.Flatten()
        case "dense":
            return nn.Linear(shape[0], layer.units)
    raise ValueError(f"unknown kind of layer {layer.kind!r}, not one of {', '.join(KINDS)}")
