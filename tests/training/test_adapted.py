"""Weights that know a user's earlier runs: what they learn, and how settings are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, make_predictor, saved
from curvecast.files import read_arrays
from curvecast.predictors import pfn
from curvecast.predictors._prior_settings import KnownSettings
from curvecast.training import adapted
from curvecast.training.adapted import adapt

TAU, EPOCHS = 3, 20


def task(nth: int, n: int = 60) -> CurveSet:
    """Losses that fall late, by how much says the learning rate: early values say nothing."""
    rng = np.random.default_rng(nth)
    rate, width = 10 ** rng.uniform(-4, -1, n), rng.integers(8, 200, n).astype(float)
    fall = np.exp(-(((np.log10(rate) + 2.5) / 0.8) ** 2))
    epochs = np.arange(1, EPOCHS + 1)
    early, late = 0.2 * (1 - np.exp(-epochs / 2)), 0.6 / (1 + np.exp(10 - epochs))
    values = (1 + 0.3 * nth) * (1 - early - fall[:, None] * late)
    values = values * np.exp(0.01 * rng.standard_normal(values.shape))
    configs = {"id": [f"{nth}-{i}" for i in range(n)], "group": np.arange(n)}
    configs |= {"hp_rate": rate, "hp_width": width}
    return CurveSet(
        values=values,
        epochs=epochs,
        configs=pd.DataFrame(configs),
        series={},
        metric="loss",
        direction="minimize",
        name=f"own/{nth}",
        source="invented",
        log_columns=("hp_rate",),
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that have learnt from five such tasks for a short while."""
    path = tmp_path_factory.mktemp("adapted") / "own.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curvecast.training.prior._BANK", 20)
        patch.setattr(adapted, "RECIPE", replace(adapted.RECIPE, pool=5, rate=2e-3, batch=4))
        adapt([task(i) for i in range(5)], path, steps=150, show=lambda line: None)
    return path


def error(weights: Path | None, n: int, curves: CurveSet) -> float:
    options = {} if weights is None else {"weights": str(weights)}
    model = make_predictor("pfn", **options).fit(curves.take(np.arange(n)), [TAU])
    asked = curves.take(np.arange(30, 60))
    return float(np.abs(model.predict(asked, TAU).mean - asked.final).mean())


@pytest.mark.parametrize(("n", "most"), [(0, 0.9), (10, 0.6), (20, 0.5)])
def test_what_settings_do_is_known_from_other_tasks(weights: Path, n: int, most: float) -> None:
    assert error(weights, n, task(7)) < most * error(None, n, task(7))


def test_settings_are_told_by_name(weights: Path) -> None:
    curves = task(7)
    expected = error(weights, 10, curves)
    turned = replace(curves, configs=curves.configs[["id", "group", "hp_width", "hp_rate"]])
    assert error(weights, 10, turned) == expected
    assert error(weights, 10, replace(curves, log_columns=())) == expected
    more = replace(curves, configs=curves.configs.assign(hp_other=np.arange(60.0)))
    assert error(weights, 10, more) == expected
    less = replace(curves, configs=curves.configs.drop(columns="hp_width"))
    assert error(weights, 10, less) < 0.6 * error(None, 10, less)


def test_without_a_setting_that_it_knows_it_reads_those_that_are_there(weights: Path) -> None:
    curves = task(7)
    names = {"hp_rate": "hp_a", "hp_width": "hp_b"}
    other = replace(curves, configs=curves.configs.rename(columns=names), log_columns=("hp_a",))
    bare = replace(curves, configs=curves.configs[["id", "group"]], log_columns=())
    assert error(weights, 20, other) != error(weights, 20, bare)


def test_a_saved_model_holds_its_weights(weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    curves = task(7)
    model = saved.train(f"ensemble:{own}", curves.take(np.arange(20)), [0.15, 0.5])
    saved.save(model, tmp_path / "model.safetensors")
    own.unlink()
    again = saved.load(tmp_path / "model.safetensors").predictor.predict(curves, TAU)
    expected = model.predictor.predict(curves, TAU)
    np.testing.assert_array_equal(again.quantile([0.1, 0.9]), expected.quantile([0.1, 0.9]))


def test_the_same_sources_give_the_same_weights(tmp_path: Path, weights: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curvecast.training.prior._BANK", 20)
        patch.setattr(adapted, "RECIPE", replace(adapted.RECIPE, pool=5, batch=2))
        for name in ("a", "b"):
            adapt([task(i) for i in range(5)], tmp_path / name, steps=3, show=lambda line: None)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    arrays, meta = read_arrays(weights)
    assert meta["tasks"] == [f"own/{i}" for i in range(5)]
    assert meta["settings"]["names"] == ["hp_rate", "hp_width"]
    assert arrays.keys() == read_arrays(pfn.WEIGHTS)[0].keys()


def test_settings_that_most_sources_have_come_first_and_categories_may_be_missing() -> None:
    few = task(0)
    more = [replace(c, configs=c.configs.assign(hp_x=np.arange(60.0))) for c in (task(1), task(2))]
    kind = pd.Categorical(["a", "b"] * 30)
    texts = replace(few, configs=few.configs.assign(hp_kind=kind))
    known = KnownSettings.of([texts, *more])
    assert known.columns.names == ("hp_rate", "hp_width", "hp_x", "hp_kind=a", "hp_kind=b")
    assert known.log == ("hp_rate",)
    assert KnownSettings.from_json(known.to_json()).to_json() == known.to_json()
    told = known(few)
    assert told is not None
    assert told.shape == (60, 5)
    assert (told[:, 2] == told[0, 2]).all()
    bad = replace(few, configs=few.configs.assign(hp_rate=-1.0), log_columns=())
    assert np.isfinite(known(bad)).all()
    bare = replace(few, configs=few.configs[["id", "group"]], log_columns=())
    assert known(bare) is None
    none = KnownSettings.from_json(KnownSettings.of([bare]).to_json())
    assert none(bare) is None
    assert none(few) is None


def test_more_steps_where_there_is_more_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapted, "train", lambda *_: ({}, []))
    for n, steps in ((60, 450), (1000, 5000)):
        adapt([task(i, n) for i in range(5)], tmp_path / "x", show=lambda line: None)
        assert read_arrays(tmp_path / "x")[1]["recipe"]["steps"] == steps


def test_too_little_to_learn_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 earlier tasks"):
        adapt([], tmp_path / "x")
    with pytest.raises(DataError, match="at least 5 are needed"):
        adapt([task(0)] * 4, tmp_path / "x")
    with pytest.raises(DataError, match=r"own/1.*9 finished runs"):
        adapt([task(0), task(1, 9), task(2), task(3), task(4)], tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [0, -1])
def test_a_training_without_a_step_is_refused(tmp_path: Path, steps: int) -> None:
    """The share of steps done divided by 0, or never came to 1."""
    path = tmp_path / "own.safetensors"
    with pytest.raises(DataError, match=f"{steps} steps, at least 1"):
        adapt([task(i) for i in range(5)], path, steps=steps, show=lambda line: None)
    assert not path.exists()
