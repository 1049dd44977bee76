"""Search spaces by name, from JSON and Python files, and around recorded configurations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curvecast import CurveSet, DataError
from curvecast.studies.spaces import load_space, of_curves

SINGH = {
    "cnn": {"lr", "num_conv_layers", "num_filters_1", "num_filters_2", "optimizer"},
    "lstm": {"lr", "num_hidden_neurons", "num_lstm_layers", "optimizer"},
}


@pytest.mark.parametrize("model", SINGH)
def test_spaces_of_singh_hold_his_parameters_and_best_configurations(model: str) -> None:
    space = load_space(f"predictors.{model}")
    assert set(space) == SINGH[model]
    best = {
        "cnn": {"lr": 0.0408, "num_conv_layers": 2, "num_filters_1": 40, "num_filters_2": 38},
        "lstm": {"lr": 0.0023, "num_hidden_neurons": 94, "num_lstm_layers": 1},
    }[model]
    for name, value in best.items():
        assert space[name].legal_value(value)


def test_the_second_layer_is_conditional() -> None:
    space = load_space("predictors.cnn")
    space.seed(0)
    drawn = [dict(c) for c in space.sample_configuration(40)]
    assert {("num_filters_2" in c) for c in drawn} == {True, False}
    assert all(("num_filters_2" in c) == (c["num_conv_layers"] == 2) for c in drawn)


def test_json_and_python_files_are_read(tmp_path: Path) -> None:
    space = load_space("mlp.lcbench")
    space.to_json(tmp_path / "space.json")
    assert load_space(tmp_path / "space.json") == space
    (tmp_path / "mine.py").write_text(
        "import ConfigSpace\ndef small():\n"
        "    return ConfigSpace.ConfigurationSpace({'lr': (0.1, 1.0)})\n"
    )
    assert list(load_space(f"{tmp_path}/mine.py:small")) == ["lr"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("predictors.mlp", "no search space 'mlp'"),
        (
            "elsewhere.cnn",
            "unknown search space 'elsewhere.cnn', modules: houses, kuzushiji, layers, mlp",
        ),
        ("absent.json", "no such search space"),
        ("absent.py:f", "no such search space"),
        ("predictors._training", "no search space"),
    ],
)
def test_what_is_not_there_is_named(name: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        load_space(name)


def test_a_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "space.json").write_text("{}")
    with pytest.raises(DataError, match=r"space\.json: not a ConfigSpace JSON"):
        load_space(tmp_path / "space.json")


def test_the_box_around_recorded_configurations(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(50)
    space = of_curves(curves)
    assert set(space) == {"hp_lr", "hp_optimizer", "ap_layers"}
    assert space["hp_lr"].log
    assert (space["hp_lr"].lower, space["hp_lr"].upper) == pytest.approx(
        (curves.configs["hp_lr"].min(), curves.configs["hp_lr"].max())
    )
    assert (space["ap_layers"].lower, space["ap_layers"].upper) == (1, 4)
    assert sorted(space["hp_optimizer"].choices) == ["adam", "sgd"]


def test_a_collection_without_variation_has_no_space(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(5).take([2])
    with pytest.raises(DataError, match="nothing to search"):
        of_curves(curves)


@pytest.mark.parametrize(("value", "log"), [(np.inf, False), (0.0, True)])
def test_a_column_without_a_range_is_named(
    make_curves: Callable[..., CurveSet], value: float, log: bool
) -> None:
    curves = make_curves(20)
    column = np.linspace(0.1, 1, 20)
    column[3] = value
    columns = ("hp_decay",) if log else ()
    curves = replace(curves, configs=curves.configs.assign(hp_decay=column), log_columns=columns)
    with pytest.raises(DataError, match=r"synthetic/saturating, column hp_decay: from .* no range"):
        of_curves(curves)
