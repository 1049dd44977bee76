"""Fitted predictors in files that hold numbers and names, and nothing that runs when it is read.

A file is in the safetensors format: arrays as tensors, the objects around them as JSON in its
metadata. An object is written as the name of its class and its attributes; on reading only
classes of `curvecast.predictors`, a few containers of torch and scikit-learn's trees are made,
without calling them. There is no pickle.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.files import DataError, read_arrays, write_arrays

FORMAT = 5
# What reading and asking a file can raise that fits its digest, but that `write` did not write.
BROKEN = (
    *(ArithmeticError, AttributeError, LookupError),
    *(MemoryError, RuntimeError, TypeError, ValueError),
)
_HOME = "curvecast.predictors"
_MODULE = ("torch.nn.modules.module", "Module")
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
    write_arrays(tensors, path, {"format": FORMAT, "content": tree})


def read(path: str | Path) -> dict[str, Any]:
    """Read what `write` wrote; bit for bit the same numbers.

    Raises
    ------
    DataError : no such file, not a whole file of this format, one of another version, or one that
        asks for a class that is not trusted or for a package that is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("the file does not exist", file=path)
    tensors, head = read_arrays(path)
    if head.get("format") != FORMAT:
        problem = (
            f"not a saved predictor of this version: format {head.get('format')}, not {FORMAT}"
        )
        raise DataError(problem, file=path)
    try:
        content = _Reader(tensors).value(head["content"])
    except DataError as error:
        raise DataError(str(error), file=path) from error
    except ImportError as error:
        raise DataError(f"its predictor cannot be imported ({error})", file=path) from error
    except BROKEN as error:
        raise DataError(f"not a complete file of a predictor ({error!r})", file=path) from error
    if not isinstance(content, dict):
        raise DataError("not a complete file of a predictor", file=path)
    return content


class _Writer:
    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self._tensors = tensors

    def node(self, value: Any, where: str) -> Any:
        """JSON of a value; its arrays go into the tensors. `where` is for messages."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list):
            return [self.node(x, where) for x in value]
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        kind, content = self._content(value, where)
        return {"$": kind, "value": content}

    def _content(self, value: Any, where: str) -> tuple[str, Any]:
        """Kind of a value, and the JSON of what is in it."""
        if isinstance(value, np.generic):
            return "scalar", self._array(np.asarray(value), where)
        if isinstance(value, pd.Index):
            return "index", self.node(list(value), where)
        if isinstance(value, tuple):
            return "tuple", self.node(list(value), where)
        if isinstance(value, dict):
            items = value.items()
            return "dict", [
                [self.node(k, where), self.node(v, f"{where}[{k!r}]")] for k, v in items
            ]
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        if _is_a(value, "torch", "Tensor"):
            return "tensor", self._array(value.detach().numpy(), where)
        if name == "sklearn.tree._tree.Tree":
            return "tree", self.node(_tree_state(value), where)
        if name.startswith((f"{_HOME}.", *_TORCH)):
            state = {k: self.node(v, f"{where}.{k}") for k, v in _state(value).items()}
            return "object", {"class": [type(value).__module__, type(value).__qualname__], **state}
        raise DataError(f"cannot save {where}: the format has no {name}")

    def _array(self, value: np.ndarray, where: str) -> Any:
        if value.dtype.kind not in "fiub":
            raise DataError(f"cannot save {where}: an array of {value.dtype}")
        # Products of matrices are the same to the last bit only in the same order in memory.
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        stored = value.T if fortran else value
        name = f"t{len(self._tensors)}"
        self._tensors[name] = np.ascontiguousarray(stored).reshape(stored.shape)
        return {"$": "array", "name": name, "fortran": fortran}


class _Reader:
    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._tensors = tensors

    def value(self, node: Any) -> Any:
        """The value behind JSON that `_Writer.node` made."""
        if isinstance(node, list):
            return [self.value(x) for x in node]
        if not isinstance(node, dict):
            return node
        kind = node["$"]
        if kind == "array":
            array = self._tensors[node["name"]]
            return array.T if node["fortran"] else array
        content = node["value"]
        if kind == "dict":
            return {self.value(k): self.value(v) for k, v in content}
        if kind == "object":
            module, name = content.pop("class")
            return self._object(module, name, content)
        return self._made(kind, self.value(content))

    def _made(self, kind: str, inner: Any) -> Any:
        if kind == "scalar":
            return inner[()]
        if kind == "index":
            return pd.Index(inner)
        if kind == "tuple":
            return tuple(inner)
        if kind == "tensor":
            import torch

            return torch.from_numpy(inner)
        if kind == "tree":
            return _tree(**inner)
        raise DataError(f"the file holds something of kind {kind!r}")

    def _object(self, module: str, name: str, state: Mapping[str, Any]) -> Any:
        if not (module.startswith(f"{_HOME}.") or module in _TORCH):
            raise DataError(f"the file asks for {module}.{name}, not trusted")
        cls = getattr(importlib.import_module(module), name, None)
        if not isinstance(cls, type) or cls.__module__ != module:
            raise DataError(f"there is no class {module}.{name}")
        made: Any = object.__new__(cls)
        values = {k: self.value(v) for k, v in state.items()}
        if _is_a(made, *_MODULE):
            import torch

            torch.nn.Module.__init__(made)
            for key, tensor in values["_parameters"].items():
                values["_parameters"][key] = torch.nn.Parameter(tensor, requires_grad=False)
        vars(made).update(values)
        return made


def _tree(nodes: np.ndarray, values: np.ndarray, n_features: int, max_depth: int) -> Any:
    """A tree of scikit-learn; its compiled code follows the numbers of the nodes unchecked."""
    from sklearn.tree._tree import NODE_DTYPE, Tree

    if nodes.dtype != np.uint8 or nodes.ndim != 1 or nodes.size % NODE_DTYPE.itemsize:
        raise DataError("the trees are of another version of scikit-learn")
    nodes = np.ascontiguousarray(nodes).view(NODE_DTYPE)
    n = len(nodes)
    children = np.stack([nodes["left_child"], nodes["right_child"]])
    inner = (children != -1).any(axis=0)
    # Children that follow their parents: every way through the tree ends.
    if not (children[:, inner] > np.flatnonzero(inner)).all() or not (children < n).all():
        raise DataError("a tree whose branches lead nowhere")
    features = nodes["feature"][inner]
    if not 0 < n_features < 2**31 or not ((features >= 0) & (features < n_features)).all():
        raise DataError("a tree that asks for columns that are not there")
    if not n or values.shape != (n, 1, 1) or not np.isfinite(values).all():
        raise DataError("a tree without values")
    tree = Tree(n_features, np.ones(1, dtype=np.intp), 1)
    state = {"max_depth": max_depth, "node_count": n, "nodes": nodes, "values": values}
    tree.__setstate__(state)
    return tree


def _is_a(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class that need not be imported where no such value can be."""
    return any((cls.__module__, cls.__name__) == (module, name) for cls in type(value).__mro__)


def _state(value: Any) -> dict[str, Any]:
    """Attributes of an object, without those that its class leaves out and torch's own."""
    left_out = set(getattr(type(value), "NOT_SAVED", ()))
    if _is_a(value, *_MODULE):
        import torch

        left_out = set(vars(torch.nn.Module())) - {"_parameters", "_modules"}
    return {k: v for k, v in vars(value).items() if k not in left_out}


def _tree_state(tree: Any) -> dict[str, Any]:
    state = tree.__getstate__()
    nodes = np.ascontiguousarray(state["nodes"]).view(np.uint8)
    return {
        "n_features": int(tree.n_features),
        "max_depth": int(state["max_depth"]),
        "nodes": nodes,
        "values": state["values"],
    }
