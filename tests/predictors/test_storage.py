"""Saved predictors: the same numbers after reading, and nothing that is not trusted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from curvecast import CurveSet, DataError, make_predictor
from curvecast.files import read_arrays, write_arrays
from curvecast.predictors import registry, storage


# lkgp needs packages that are not installed here, and its model is code of theirs: not saved.
@pytest.mark.parametrize("model", sorted(set(registry()) - {"lkgp"}))
def test_every_predictor_predicts_the_same_bits(
    model: str, make_curves: Callable[..., CurveSet], tmp_path: Path
) -> None:
    curves = make_curves(36, 12, noise=0.01)
    train, test = curves.take(np.arange(24)), curves.take(np.arange(24, 36))
    fitted = make_predictor(model, seed=3, **registry()[model].cheap).fit(train, [4])
    storage.write(tmp_path / "model", {"predictor": fitted})
    again = storage.read(tmp_path / "model")["predictor"]
    assert type(again) is type(fitted)
    one, other = fitted.predict(test, 4), again.predict(test, 4)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.std, other.std)
    levels = [0.1, 0.5, 0.9]
    np.testing.assert_array_equal(one.quantile(levels), other.quantile(levels))
    np.testing.assert_array_equal(one.cdf(0.7), other.cdf(0.7))
    assert fitted.diagnostics() == again.diagnostics()


def test_singhs_form_of_a_network_too(make_curves: Callable[..., CurveSet], tmp_path: Path) -> None:
    curves = make_curves(24, 12, noise=0.01)
    fitted = make_predictor("lstm", causal=False, epochs=2).fit(curves, [4, 6])
    storage.write(tmp_path / "model", {"predictor": fitted})
    again = storage.read(tmp_path / "model")["predictor"]
    np.testing.assert_array_equal(fitted.predict(curves, 6).mean, again.predict(curves, 6).mean)


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    values = {
        "text": "ν",
        "none": None,
        "tuple": (1, 2.5, ("a", True)),
        "by_epoch": {3: [1.0, float("inf")], "x": {}},
        "index": pd.Index(["hp_lr", "ap_depth"]),
        "scalar": np.float32(0.1),
        "empty": np.zeros((0, 3)),
        "rows": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "flags": np.array([True, False]),
    }
    storage.write(tmp_path / "values", values)
    again = storage.read(tmp_path / "values")
    assert list(again) == list(values)
    for name in ("text", "none", "tuple", "by_epoch"):
        assert again[name] == values[name]
    assert again["index"].equals(values["index"])
    assert again["scalar"] == np.float32(0.1)
    assert again["scalar"].dtype == np.float32
    for name in ("empty", "rows", "columns", "flags"):
        np.testing.assert_array_equal(again[name], values[name])
        assert again[name].dtype == values[name].dtype
        assert again[name].flags.c_contiguous == values[name].flags.c_contiguous
    assert [path.name for path in tmp_path.iterdir()] == ["values"]


def test_what_the_format_does_not_have_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot save file\['a'\]\['b'\]: .* builtins.function"):
        storage.write(tmp_path / "x", {"a": {"b": lambda: None}})
    with pytest.raises(DataError, match="an array of object"):
        storage.write(tmp_path / "x", {"a": np.array([None])})
    assert list(tmp_path.iterdir()) == []


def tampered(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same file after `change` of what its metadata hold, with the digest that then fits."""
    tensors, head = read_arrays(path)
    change(head)
    write_arrays(tensors, path, head)
    return path


@pytest.fixture
def forest(make_curves: Callable[..., CurveSet], tmp_path: Path) -> Path:
    fitted = make_predictor("extra_trees", max_trees=10).fit(make_curves(20, 8), [4])
    storage.write(tmp_path / "forest", {"predictor": fitted})
    return tmp_path / "forest"


def test_classes_from_elsewhere_are_refused(forest: Path) -> None:
    def change(head: dict[str, Any]) -> None:
        head["content"]["value"][0][1]["value"]["class"] = ["subprocess", "Popen"]

    with pytest.raises(DataError, match=r"asks for subprocess\.Popen, not trusted"):
        storage.read(tampered(forest, change))


def test_names_that_are_no_class_of_ours_are_refused(forest: Path) -> None:
    def change(head: dict[str, Any]) -> None:
        head["content"]["value"][0][1]["value"]["class"] = ["curvecast.predictors.base", "Any"]

    with pytest.raises(DataError, match=r"no class curvecast\.predictors\.base\.Any"):
        storage.read(tampered(forest, change))


@pytest.mark.parametrize(
    ("field", "row", "number", "message"),
    [
        ("left_child", 0, 10**6, "branches lead nowhere"),
        ("left_child", 0, -(10**9), "branches lead nowhere"),
        ("right_child", 0, 0, "branches lead nowhere"),
        ("left_child", -1, 1, "branches lead nowhere"),
        ("feature", 0, 2**35, "columns that are not there"),
        ("feature", 0, -3, "columns that are not there"),
    ],
)
def test_trees_that_lead_out_of_their_arrays_are_refused(
    forest: Path, field: str, row: int, number: int, message: str
) -> None:
    from sklearn.tree._tree import NODE_DTYPE

    tensors, head = read_arrays(forest)
    name = next(n for n, t in tensors.items() if t.dtype == np.uint8 and t.size > 100)
    tensors[name].view(NODE_DTYPE)[field][row] = number
    write_arrays(tensors, forest, head)
    with pytest.raises(DataError, match=message):
        storage.read(forest)


def test_trees_for_more_columns_than_there_are_do_not_read_on(
    forest: Path, make_curves: Callable[..., CurveSet]
) -> None:
    """Compiled code reads the column of a cut unchecked."""

    def enlarge(node: Any) -> None:
        if isinstance(node, dict) and node.get("$") == "tree":
            node["value"] = {"$": "dict", "value": dict(node["value"]["value"])}
            node["value"]["value"]["n_features"] = 2**30
            node["value"]["value"] = list(node["value"]["value"].items())
        for inner in node.values() if isinstance(node, dict) else node:
            if isinstance(inner, dict | list):
                enlarge(inner)

    read = storage.read(tampered(forest, enlarge))["predictor"]
    with pytest.raises(DataError, match="the trees were not grown on"):
        read.predict(make_curves(20, 8), 4)


def test_other_versions_and_other_files_are_named(forest: Path, tmp_path: Path) -> None:
    def change(head: dict[str, Any]) -> None:
        head["format"] = 99

    with pytest.raises(
        DataError, match=f"not a saved predictor of this version: format 99, not {storage.FORMAT}"
    ):
        storage.read(tampered(forest, change))
    whole = forest.read_bytes()
    forest.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="forest: the file is damaged"):
        storage.read(forest)
    save_file({"a": np.zeros(2)}, tmp_path / "other")
    with pytest.raises(DataError, match="not written by this version of curvecast"):
        storage.read(tmp_path / "other")
    write_arrays({"a": np.zeros(2)}, tmp_path / "arrays")
    with pytest.raises(DataError, match=f"format None, not {storage.FORMAT}"):
        storage.read(tmp_path / "arrays")
    with pytest.raises(DataError, match="does not exist"):
        storage.read(tmp_path / "nothing")
