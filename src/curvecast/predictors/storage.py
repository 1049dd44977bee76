"""Fitted predictors in files that hold numbers and names, and nothing that runs when it is read.

A file is in the safetensors format: arrays as tensors, the objects around them as JSON in its
metadata. An object is written as the name of its class and its attributes; on reading only
classes of `curvecast.predictors`, a few containers of torch, scikit-learn's trees and what skops
trusts by itself are made, without calling them. There is no pickle.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from curvecast.files import DataError, written

FORMAT = 2
_KEY = "curvecast"
_HOME = "curvecast.predictors"
# Data without code of their own, beyond what skops trusts anyway.
_KERNELS = [
    f"sklearn.gaussian_process.kernels.{name}"
    for name in ("ConstantKernel", "DotProduct", "Matern", "Product", "Sum", "WhiteKernel")
]
# Containers of torch that the networks are built of.
_TORCH = ("torch.nn.modules.container", "torch.nn.modules.linear")


def write(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a mapping of names to values; nothing half-written ever has the name.

    Values may be numbers, text, lists, tuples, dicts, arrays, and objects of predictors.

    Raises
    ------
    DataError : something in it is of a type that the format does not have.
    """
    tensors: dict[str, np.ndarray] = {}
    tree = _Writer(tensors).node(dict(content), "file")
    metadata = {_KEY: json.dumps({"format": FORMAT, "content": tree})}
    with written(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read(path: str | Path) -> dict[str, Any]:
    """Read what `write` wrote; bit for bit the same numbers.

    Raises
    ------
    DataError : no such file, not a whole file of this format, one of a later version, or one that
        asks for a class that is not trusted.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("the file does not exist", file=path)
    try:
        with safe_open(path, framework="np") as stored:
            text = (stored.metadata() or {}).get(_KEY)
            if text is None:
                raise DataError("not a predictor that curvecast saved", file=path)
            head = json.loads(text)
            if head.get("format") != FORMAT:
                raise DataError(
                    f"the file has format {head.get('format')}, this version reads {FORMAT}",
                    file=path,
                )
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise DataError(f"not a complete file of a predictor ({error})", file=path) from error
    try:
        return _Reader(tensors, path).value(head["content"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not a complete file of a predictor ({error!r})", file=path) from error


class _Writer:
    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self._tensors = tensors

    def node(self, value: Any, where: str) -> Any:
        """JSON of a value; its arrays go into the tensors. `where` is for messages."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        for kind, write_kind in self._kinds():
            if isinstance(value, kind):
                return write_kind(value, where)
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        if type(value).__module__ == "torch" and type(value).__name__ == "Tensor":
            return {"$": "tensor", "value": self._array(value.detach().numpy(), where)}
        if _is_module(value):
            return self._module(value, where)
        if name == "sklearn.tree._tree.Tree":
            return self._tree(value, where)
        if name.startswith("sklearn."):
            return self._skops(value, where)
        if type(value).__module__.startswith(_HOME):
            return self._object(value, where)
        raise DataError(f"cannot save {where}: the format has no {name}")

    def _kinds(self) -> tuple[tuple[type, Callable[[Any, str], Any]], ...]:
        return (
            (np.ndarray, self._array),
            (np.generic, lambda v, w: {"$": "scalar", "value": self._array(np.asarray(v), w)}),
            (pd.Index, lambda v, w: {"$": "index", "value": self.node(list(v), w)}),
            (dict, self._dict),
            (list, lambda v, w: [self.node(x, w) for x in v]),
            (tuple, lambda v, w: {"$": "tuple", "value": [self.node(x, w) for x in v]}),
        )

    def _array(self, value: np.ndarray, where: str) -> Any:
        if value.dtype.kind not in "fiub":
            raise DataError(f"cannot save {where}: an array of {value.dtype}")
        # Products of matrices are the same to the last bit only in the same order in memory.
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        name = f"t{len(self._tensors)}"
        self._tensors[name] = np.ascontiguousarray(value.T if fortran else value).reshape(
            value.T.shape if fortran else value.shape
        )
        return {"$": "array", "name": name, "fortran": fortran}

    def _dict(self, value: dict[Any, Any], where: str) -> Any:
        pairs = [[self.node(k, where), self.node(v, f"{where}[{k!r}]")] for k, v in value.items()]
        return {"$": "dict", "value": pairs}

    def _object(self, value: Any, where: str) -> Any:
        left_out = getattr(type(value), "NOT_SAVED", ())
        state = {k: v for k, v in vars(value).items() if k not in left_out}
        return {
            "$": "object",
            "class": [type(value).__module__, type(value).__qualname__],
            "state": {k: self.node(v, f"{where}.{k}") for k, v in state.items()},
        }

    def _module(self, value: Any, where: str) -> Any:
        import torch

        own = {k: v for k, v in vars(value).items() if k not in vars(torch.nn.Module())}
        parameters = {
            k: self._array(p.detach().numpy(), where) for k, p in value._parameters.items()
        }
        return {
            "$": "module",
            "class": [type(value).__module__, type(value).__qualname__],
            "state": {k: self.node(v, f"{where}.{k}") for k, v in own.items()},
            "parameters": parameters,
            "modules": {k: self.node(m, f"{where}.{k}") for k, m in value._modules.items()},
        }

    def _tree(self, value: Any, where: str) -> Any:
        state = value.__getstate__()
        nodes = np.ascontiguousarray(state["nodes"])
        return {
            "$": "tree",
            "n_features": int(value.n_features),
            "max_depth": int(state["max_depth"]),
            "nodes": self._array(nodes.view(np.uint8), where),
            "values": self._array(state["values"], where),
        }

    def _skops(self, value: Any, where: str) -> Any:
        import skops.io

        stored = np.frombuffer(skops.io.dumps(value), dtype=np.uint8)
        return {"$": "skops", "value": self._array(stored, where)}


class _Reader:
    def __init__(self, tensors: Mapping[str, np.ndarray], path: Path) -> None:
        self._tensors, self._path = tensors, path

    def value(self, node: Any) -> Any:
        """The value behind JSON that `_Writer.node` made."""
        if isinstance(node, list):
            return [self.value(x) for x in node]
        if not isinstance(node, dict):
            return node
        kind = node["$"]
        if kind not in ("array", "object", "module", "tree", "skops"):
            return self._plain(kind, node["value"])
        made: Callable[[Mapping[str, Any]], Any] = getattr(self, f"_{kind}")
        return made(node)

    def _plain(self, kind: str, content: Any) -> Any:
        if kind == "dict":
            return {self.value(k): self.value(v) for k, v in content}
        inner = self.value(content)
        if kind == "tuple":
            return tuple(inner)
        if kind == "index":
            return pd.Index(inner)
        if kind == "scalar":
            return inner[()]
        if kind == "tensor":
            import torch

            return torch.from_numpy(inner)
        raise DataError(f"the file holds something of kind {kind!r}", file=self._path)

    def _array(self, node: Mapping[str, Any]) -> np.ndarray:
        array = self._tensors[node["name"]]
        return array.T if node["fortran"] else array

    def _class(self, node: Mapping[str, Any]) -> type:
        module, name = node["class"]
        ours = module == _HOME or module.startswith(f"{_HOME}.")
        if not (ours or (node["$"] == "module" and module in _TORCH)):
            raise DataError(f"the file asks for {module}.{name}, not trusted", file=self._path)
        found = getattr(importlib.import_module(module), name, None)
        if not isinstance(found, type) or found.__module__ != module:
            raise DataError(f"there is no class {module}.{name}", file=self._path)
        return found

    def _object(self, node: Mapping[str, Any]) -> Any:
        made: Any = object.__new__(self._class(node))
        vars(made).update({k: self.value(v) for k, v in node["state"].items()})
        return made

    def _module(self, node: Mapping[str, Any]) -> Any:
        import torch

        cls = self._class(node)
        if not issubclass(cls, torch.nn.Module):
            raise DataError(f"{cls.__name__} is no network", file=self._path)
        made: Any = object.__new__(cls)
        torch.nn.Module.__init__(made)
        vars(made).update({k: self.value(v) for k, v in node["state"].items()})
        for name, value in node["parameters"].items():
            tensor = torch.from_numpy(self._array(value))
            made.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=False))
        for name, value in node["modules"].items():
            made.add_module(name, self.value(value))
        return made

    def _tree(self, node: Mapping[str, Any]) -> Any:
        from sklearn.tree._tree import NODE_DTYPE, Tree

        stored = self._array(node["nodes"])
        if stored.size % NODE_DTYPE.itemsize:
            raise DataError("the trees are of another version of scikit-learn", file=self._path)
        nodes = np.ascontiguousarray(stored).view(NODE_DTYPE)
        n, n_features = len(nodes), node["n_features"]
        inner = nodes["left_child"] >= 0
        # The compiled code follows these numbers unchecked.
        for child in ("left_child", "right_child"):
            after = nodes[child][inner] > np.flatnonzero(inner)
            if not (after & (nodes[child][inner] < n)).all():
                raise DataError("a tree whose branches lead nowhere", file=self._path)
        if not ((nodes["feature"][inner] >= 0) & (nodes["feature"][inner] < n_features)).all():
            raise DataError("a tree that asks for columns that are not there", file=self._path)
        values = self._array(node["values"])
        if values.shape != (n, 1, 1) or not n:
            raise DataError("a tree without values", file=self._path)
        tree = Tree(n_features, np.ones(1, dtype=np.intp), 1)
        state = {"max_depth": node["max_depth"], "node_count": n, "nodes": nodes, "values": values}
        tree.__setstate__(state)
        return tree

    def _skops(self, node: Mapping[str, Any]) -> Any:
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        try:
            return skops.io.loads(self._array(node["value"]).tobytes(), trusted=_KERNELS)
        except UntrustedTypesFoundException as error:
            raise DataError(f"not trusted: {error}", file=self._path) from error


def _is_module(value: Any) -> bool:
    """Whether a value is a network; torch is not imported where no network can be."""
    return any(cls.__module__ == "torch.nn.modules.module" for cls in type(value).__mro__)
