"""The network of the prior: a set transformer that is trained by torch and asked by numpy.

Its layers are written once over a handful of operations, `Ops`, that either library provides; so
a predictor does not load torch. Context runs and queries attend to the context and to a token
that stands for none; a query sees no other query. Müller et al. (2022), Transformers can do
Bayesian inference; Adriaensen et al. (2023), Efficient Bayesian learning curve extrapolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from curvecast.predictors._prior_features import N_FEATURES


class Ops(Protocol):
    """What arrays and tensors have under different names."""

    def silu(self, x: Any) -> Any: ...

    def softmax(self, x: Any) -> Any: ...

    def norm(self, x: Any, gain: Any, shift: Any) -> Any: ...

    def join(self, parts: list[Any]) -> Any: ...


class NumpyOps:
    """`Ops` of numpy, in the precision of the arrays."""

    def silu(self, x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(np.clip(-x, -700, 700)))

    def softmax(self, x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def norm(self, x: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return centred / scale * gain + shift

    def join(self, parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts, axis=-2)


@dataclass(frozen=True)
class Sizes:
    """Width of a token, attention heads, layers, and bins of the answer."""

    width: int = 96
    heads: int = 4
    layers: int = 6
    bins: int = 100


def initial(sizes: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Untrained weights by name, float32."""
    d, weights = sizes.width, {}

    def linear(name: str, n_in: int, n_out: int, scale: float = 1.0) -> None:
        weights[f"{name}.w"] = scale * rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)
        weights[f"{name}.b"] = np.zeros(n_out)

    def norm(name: str) -> None:
        weights[f"{name}.gain"], weights[f"{name}.shift"] = np.ones(d), np.zeros(d)

    linear("in", N_FEATURES, d)
    linear("first.up", d, 2 * d)
    linear("first.down", 2 * d, d, 0.5)
    weights["nothing"] = 0.02 * rng.standard_normal((1, d))
    for k in range(sizes.layers):
        norm(f"{k}.before")
        linear(f"{k}.query", d, d)
        linear(f"{k}.keys", d, d)
        linear(f"{k}.values", d, d)
        linear(f"{k}.mix", d, d, 0.3)
        norm(f"{k}.middle")
        linear(f"{k}.up", d, 2 * d)
        linear(f"{k}.down", 2 * d, d, 0.3)
    norm("out")
    linear("head", d, 2 * sizes.bins, 0.1)
    return {name: array.astype(np.float32) for name, array in weights.items()}


# Widest tail of a target: less than that of a distribution with a finite variance.
_TAIL = 0.5


def tails_of(edges: np.ndarray) -> np.ndarray:
    """Widths of the exponential tails in place of the outermost bins, below and above."""
    return np.minimum(np.diff(edges)[[0, -1]], _TAIL)


def middles_of(edges: np.ndarray) -> np.ndarray:
    """Where the point prediction puts a bin, shape (bins,); the outermost at a tail's mean."""
    low, high = tails_of(edges)
    inner = edges[1:-1]
    return np.r_[inner[0] - low, (inner[1:] + inner[:-1]) / 2, inner[-1] + high]


@dataclass(frozen=True)
class Network:
    """Weights with the operations of their library."""

    weights: Mapping[str, Any]
    sizes: Sizes
    ops: Ops

    def remember(self, context: Any) -> list[tuple[Any, Any]]:
        """Keys and values of every layer from context vectors, shape (..., n, N_FEATURES)."""
        h, memory = self._enter(context), []
        nothing = self.weights["nothing"] + 0 * h.sum(-2)[..., None, :]
        for k in range(self.sizes.layers):
            z = self._norm(f"{k}.before", h)
            memory.append(self._keys(k, self.ops.join([nothing, z])))
            h = self._layer(k, h, z, memory[k])
        return memory

    def answer(self, queries: Any, memory: list[tuple[Any, Any]]) -> Any:
        """For query vectors (..., m, N_FEATURES) the logits of the bins, and after these those of
        the weights by which the bins' middles make the point prediction: (..., m, 2 bins)."""
        h = self._enter(queries)
        for k in range(self.sizes.layers):
            h = self._layer(k, h, self._norm(f"{k}.before", h), memory[k])
        return self._linear("head", self._norm("out", h))

    def _enter(self, x: Any) -> Any:
        h = self._linear("in", x)
        return h + self._linear("first.down", self.ops.silu(self._linear("first.up", h)))

    def _layer(self, k: int, h: Any, z: Any, memory: tuple[Any, Any]) -> Any:
        keys, values = memory
        query = self._heads(self._linear(f"{k}.query", z))
        weight = self.ops.softmax(query @ keys * (self.sizes.heads / self.sizes.width) ** 0.5)
        mixed = (weight @ values).swapaxes(-2, -3)
        h = h + self._linear(f"{k}.mix", mixed.reshape(h.shape))
        z = self._norm(f"{k}.middle", h)
        return h + self._linear(f"{k}.down", self.ops.silu(self._linear(f"{k}.up", z)))

    def _keys(self, k: int, shown: Any) -> tuple[Any, Any]:
        keys = self._heads(self._linear(f"{k}.keys", shown))
        return keys.swapaxes(-1, -2), self._heads(self._linear(f"{k}.values", shown))

    def _heads(self, x: Any) -> Any:
        """(..., n, width) to (..., heads, n, width / heads)."""
        split = (self.sizes.heads, self.sizes.width // self.sizes.heads)
        return x.reshape(*x.shape[:-1], *split).swapaxes(-2, -3)

    def _linear(self, name: str, x: Any) -> Any:
        return x @ self.weights[f"{name}.w"] + self.weights[f"{name}.b"]

    def _norm(self, name: str, x: Any) -> Any:
        return self.ops.norm(x, self.weights[f"{name}.gain"], self.weights[f"{name}.shift"])
