"""Networks as lists of layers: their text, their number of weights, and spaces of them.

The text is that of the MetaQNN collections (Baker et al. 2017, arXiv 1611.02167), for example
`[C(64,3,1), D(1,1), P(2,2), FC(128), SM(10)]`: C(filters, kernel, stride) with same padding,
P(kernel, stride), D(i,n) the i-th of n dropout layers with the rate i / 2n, FC(units), GAP(classes)
a 1 x 1 convolution to the classes and global average pooling, SM(classes) the softmax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

# Number of arguments of each kind of layer.
ARGUMENTS = {"C": 3, "P": 2, "D": 2, "FC": 1, "GAP": 1, "SM": 1}
_LAYER = re.compile(r"([A-Z]+)\(([\d, ]+)\)")
_NETWORK = re.compile(rf"\[{_LAYER.pattern}(?:, {_LAYER.pattern})*\]")

Layer = tuple[str, tuple[int, ...]]
Layers = tuple[Layer, ...]


def parse(text: str) -> Layers:
    """Layers of a network's text. Raises ValueError where it is no list of known layers."""
    if not _NETWORK.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not a list of layers")
    layers = tuple((kind, tuple(map(int, c.split(",")))) for kind, c in _LAYER.findall(text))
    for kind, arguments in layers:
        if ARGUMENTS.get(kind) != len(arguments):
            raise ValueError(f"unknown layer {kind} with {len(arguments)} arguments")
    return layers


def text_of(layers: Iterable[Layer]) -> str:
    """The text that `parse` reads."""
    return "[" + ", ".join(f"{kind}({','.join(map(str, a))})" for kind, a in layers) + "]"


def of_config(config: Mapping[str, Any]) -> Layers:
    """The network of a configuration `{n_layers: 1, layer_1: "C(64,3,1)", end: "GAP(10)"}`."""
    body = [config[f"layer_{n}"] for n in range(1, int(config["n_layers"]) + 1)]
    layers = parse(f"[{', '.join([*body, config['end']])}]")
    return (*layers, ("SM", layers[-1][1])) if layers[-1][0] == "GAP" else layers


def config_of(layers: Layers) -> dict[str, Any]:
    """The configuration of a network without dropout layers, see `of_config`."""
    texts = [text_of([layer])[1:-1] for layer in layers]
    n = next(n for n, (kind, _) in enumerate(layers) if kind in ("GAP", "SM"))
    named = {f"layer_{i}": text for i, text in enumerate(texts[:n], start=1)}
    return {"n_layers": n, **named, "end": texts[n]}


def with_dropout(layers: Layers) -> Layers:
    """A network without dropout layers with those that MetaQNN gives it.

    Dropout follows every second convolution or pooling and every fully connected layer; its rate
    grows from 0 towards .5. A softmax at such a place takes part in the count.
    """
    ends = [layer for layer in layers if layer[0] in ("GAP", "SM")]
    body = layers[: len(layers) - len(ends)]
    after = [n for n, (kind, _) in enumerate(body, start=1) if kind == "FC" or n % 2 == 0]
    dense = bool(body) and body[-1][0] == "FC"
    count = len(after) + (len(ends) == 1 and (dense or len(body) % 2 == 1))
    result: list[Layer] = []
    for number, layer in enumerate(body, start=1):
        result.append(layer)
        if number in after:
            result.append(("D", (after.index(number) + 1, count)))
    return (*result, *ends)


def side_after(layers: Layers, side: int) -> int:
    """Height and width of the representation after the layers; pooling has no padding."""
    for kind, arguments in layers:
        if kind == "P":
            side = (side - arguments[0]) // arguments[1] + 1
        elif kind in ("FC", "GAP"):
            side = 1
    return side


def n_weights(layers: Layers, side: int, channels: int, *, published: bool = False) -> int:
    """Number of weights without biases of a network for images of side x side pixels.

    Parameters
    ----------
    published : count as `num_params` of the MetaQNN collections does: a softmax without global
        average pooling counts as the layer before it with as many outputs as inputs (a convolution
        of n filters and kernel k as n² k², n units as n², pooling as nothing).
    """
    weights, width = 0, channels
    last = 0
    for number, (kind, arguments) in enumerate(layers):
        inputs = width * side_after(layers[:number], side) ** 2
        if kind == "C":
            last = arguments[1] ** 2
            weights += width * arguments[0] * last
        elif kind in ("FC", "GAP"):
            last = int(kind == "FC")
            weights += (inputs if kind == "FC" else width) * arguments[0]
        elif kind == "P":
            last = 0
        elif kind == "SM" and "GAP" not in dict(layers):
            weights += width**2 * last if published else inputs * arguments[0]
        if kind in ("C", "FC", "GAP"):
            width = arguments[0]
    return weights


@dataclass(frozen=True)
class Space:
    """A space of networks, as MetaQNN's agent walks through it.

    Attributes
    ----------
    side, channels, classes : height and width, channels and classes of the images.
    filters, kernels : of convolutions (stride 1).
    pools : kernel and stride of pooling, which is neither first nor twice in a row.
    units : of fully connected layers, at most `max_dense` of them, none larger than the one before,
        where the representation is smaller than `dense_below`; only the end follows them.
    max_depth : number of layers before the end.
    buckets : smallest sides of the sizes of the representation that a state tells apart.
    """

    side: int
    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    pools: tuple[tuple[int, int], ...]
    units: tuple[int, ...]
    max_depth: int
    channels: int = 1
    classes: int = 10
    max_dense: int = 2
    dense_below: int = 8
    buckets: tuple[int, ...] = (8, 4, 1)

    def actions(self, layers: Layers) -> list[Layer]:
        """Layers that may follow; none after the end."""
        last, arguments = layers[-1] if layers else ("", (0,))
        if last == "SM":
            return []
        if last == "GAP":
            return [("SM", (self.classes,))]
        side = side_after(layers, self.side)
        ends = [(kind, (self.classes,)) for kind in (("SM",) if last == "FC" else ("SM", "GAP"))]
        found: list[Layer] = []
        if len(layers) < self.max_depth:
            if last != "FC":
                found += [("C", (n, k, 1)) for n in self.filters for k in self.kernels]
            if last == "C":
                found += [("P", pool) for pool in self.pools if pool[0] <= side]
            n_dense = sum(kind == "FC" for kind, _ in layers)
            if n_dense < self.max_dense and (side < self.dense_below or n_dense):
                limit = arguments[0] if n_dense else max(self.units)
                found += [("FC", (n,)) for n in self.units if n <= limit]
        return found + (ends if layers else [])

    def state(self, layers: Layers) -> tuple[object, ...]:
        """What the agent knows of a network so far: last layer, depth, bucket, dense layers."""
        side = side_after(layers, self.side)
        bucket = next((size for size in self.buckets if side >= size), 0)
        n_dense = sum(kind == "FC" for kind, _ in layers)
        return (*layers[-1:], len(layers), bucket, n_dense)

    def holds(self, layers: Layers) -> bool:
        """Whether the network is one of this space (dropout left out)."""
        prefixes = (layers[:n] for n in range(len(layers)))
        steps = all(x in self.actions(p) for x, p in zip(layers, prefixes, strict=True))
        return steps and not self.actions(layers)

    def networks(self, layers: Layers = ()) -> Iterator[Layers]:
        """Every network that begins with the layers."""
        actions = self.actions(layers)
        if not actions:
            yield layers
        for action in actions:
            yield from self.networks((*layers, action))


# Small enough to train every network of it.
DIGITS = Space(
    side=8,
    filters=(4, 16),
    kernels=(1, 3),
    pools=((2, 2), (3, 2)),
    units=(64, 32, 16),
    max_depth=3,
)
# Small enough to be searched on two cores: USPS, and KMNIST.
SMALL = Space(
    side=16,
    filters=(16, 32, 64),
    kernels=(1, 3, 5),
    pools=((5, 3), (3, 2), (2, 2)),
    units=(128, 64, 32),
    max_depth=8,
)
SMALL_28 = replace(SMALL, side=28)
# The published spaces.
CIFAR10 = Space(
    side=32,
    channels=3,
    filters=(64, 128, 256, 512),
    kernels=(1, 3, 5),
    pools=((5, 3), (3, 2), (2, 2)),
    units=(512, 256, 128),
    max_depth=18,
)
SVHN = replace(CIFAR10, max_depth=12)
