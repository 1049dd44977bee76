"""The question of a training loop: should this run end?"""

import doctest
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from curvecast import DataError, Stopper, advise, stopper
from curvecast.testing import saturating_curves


@pytest.fixture(scope="module")
def curves():
    """40 runs of 20 epochs: 20 finished, 20 under way at several epochs."""
    whole = saturating_curves(40)
    values = whole.values.copy()
    for row in range(20, 40):
        values[row, 1 + row % 12 :] = np.nan
    return replace(whole, values=values)


def test_the_example_of_the_docstring_runs():
    assert doctest.testmod(stopper).attempted > 0
    assert doctest.testmod(stopper).failed == 0


@pytest.mark.parametrize("given", [list, lambda v: dict(enumerate(v, start=1))])
def test_it_decides_as_the_advice_does(curves, given):
    advice = advise(curves).set_index("run")["advice"]
    assert set(advice) == {"stop", "go on"}
    asked = Stopper(curves.take(np.isfinite(curves.final)))
    for row, run in enumerate(curves.configs["id"][20:], start=20):
        seen = curves.values[row][np.isfinite(curves.values[row])]
        config = curves.configs.iloc[row].rename(lambda name: name[3:]).to_dict()
        assert asked.should_stop(config, given(seen)) == (advice[run] == "stop"), run


def test_a_run_that_diverges_ends_and_nothing_else_where_no_run_is_finished(curves):
    asked = Stopper(curves.take(np.isnan(curves.final)))
    config = {"lr": 0.1, "optimizer": "lion", "layers": 2}
    assert not asked.should_stop(config, [0.1, 0.1])
    assert not asked.should_stop(config, [])
    assert asked.should_stop(config, [0.1, np.nan])


@pytest.mark.parametrize("model", ["ridge", "gain_gp"])
def test_other_models_decide_at_some_epochs(curves, model):
    asked = Stopper(curves.take(np.isfinite(curves.final)), model=model)
    bad = [0.1 + 0.01 * epoch for epoch in range(20)]
    config = {"lr": 0.1, "optimizer": "sgd", "layers": 2}
    assert any(asked.should_stop(config, bad[:epoch]) for epoch in range(1, 20))
    assert not asked.should_stop(config, curves.values[0] + 0.3)


def test_settings_are_checked(curves):
    asked = Stopper(curves)
    with pytest.raises(DataError, match=r"'lr' of the earlier runs is missing; is it 'lrr'\?"):
        asked.should_stop({"lrr": 0.1, "optimizer": "sgd", "layers": 2}, [0.1])
    with pytest.raises(DataError, match="'lr' is 'high', not a number"):
        asked.should_stop({"lr": "high", "optimizer": "sgd", "layers": 2}, [0.1])


def test_a_setting_that_a_run_does_not_have_is_missing(curves):
    asked = Stopper(curves.take(np.isfinite(curves.final)))
    rows = []
    asked._rule = SimpleNamespace(
        decide=lambda record, *_: (
            rows.append(record.curves.configs) or SimpleNamespace(stop=[False])
        )
    )
    for nothing in (None, np.nan):
        asked.should_stop({"lr": nothing, "optimizer": nothing, "layers": 2}, [0.3])
        row = rows.pop()
        assert row[["hp_lr", "hp_optimizer"]].isna().all(axis=None)
        assert row["hp_optimizer"].cat.categories.tolist() == ["adam", "sgd"]
    with pytest.raises(DataError, match="'lr' is <object"):
        asked.should_stop({"lr": object(), "optimizer": "sgd", "layers": 2}, [0.3])
