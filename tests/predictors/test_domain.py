"""How far a run must have come, and what is noted of runs unlike the training runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, make_predictor
from curvecast.predictors import registry
from curvecast.predictors.domain import Domain, ended, reached
from curvecast.testing import saturating_curves


def test_a_run_has_reached_tau_where_its_next_value_is_not_due() -> None:
    curves = saturating_curves(8)
    values = curves.values
    values[0, 10:] = np.nan  # to epoch 10
    values[1, 9:] = np.nan  # to epoch 9: 10 is due
    values[2, 1::2] = np.nan  # 1, 3, .., 9
    values[3, np.arange(20) % 4 != 3] = np.nan  # 4, 8
    values[4, 4:] = np.nan  # to epoch 4
    values[5, :3], values[5, 3:] = np.nan, np.inf  # overflowed before any value
    values[6, 3:] = np.inf  # overflowed after one
    values[7] = np.nan
    expected = [True, False, True, True, False, False, True, False]
    assert reached(curves, 10).tolist() == expected
    assert reached(curves.hide_after(10), 10).tolist() == expected
    sparse = replace(curves, epochs=10 * np.arange(1, 21))
    assert reached(sparse, 109).tolist() == expected


@pytest.fixture
def asked() -> tuple[Domain, CurveSet]:
    curves = saturating_curves(60)
    return Domain.of(curves.take(np.arange(50))), curves.take(np.arange(50, 60))


def test_a_run_like_the_others_has_no_note(asked: tuple[Domain, CurveSet]) -> None:
    domain, curves = asked
    assert domain.notes(curves, 10) == [""] * 10


@pytest.mark.parametrize(
    ("change", "guess"),
    [
        (lambda v: 100 * v, "percent where the model knows fractions"),
        (lambda v: v / 100, "fractions where the model knows percent"),
        (lambda v: 1 - v, "1 - value of what the model knows"),
        (lambda v: -v, "what the model knows with the other sign"),
        (lambda v: v + 17, "the curve lies far from those of the training runs"),
    ],
)
def test_another_unit_is_noted_on_its_row(asked, change, guess: str) -> None:
    domain, curves = asked
    curves.values[3] = change(curves.values[3])
    notes = domain.notes(curves, 10)
    assert guess in notes[3]
    assert [note for row, note in enumerate(notes) if row != 3] == [""] * 9


def test_settings_and_gaps_are_noted_on_their_rows(asked) -> None:
    domain, curves = asked
    curves.configs.loc[1, "hp_lr"] = 30.0
    curves.configs.loc[2, "ap_layers"] = np.nan
    curves.configs["hp_optimizer"] = pd.Categorical(["lion", *["adam"] * 9])
    curves.values[4, [2, 5]] = np.nan
    notes = domain.notes(curves, 10)
    assert notes[0] == "optimizer = lion is none of those of the training runs (adam, sgd)"
    assert notes[1].startswith("lr = 30.0 is far outside of 0.0001")
    assert notes[2] == "layers is missing"
    assert notes[4] == "2 of 10 epochs have no value and are bridged"
    assert notes[5:] == [""] * 5


@pytest.mark.parametrize("name", ["ridge", "gp", "gain_gp", "lce", "lcnet", "pfn"])
def test_odd_rows_take_no_other_with_them(name: str) -> None:
    curves = replace(saturating_curves(60), log_columns=("hp_lr",))
    model = make_predictor(name, **registry()[name].cheap).fit(curves.take(np.arange(50)), [10])
    rest = curves.take(np.arange(50, 60))
    usual = model.predict(rest, 10)
    rest.configs["hp_optimizer"] = rest.configs["hp_optimizer"].cat.add_categories(["lion"])
    rest.configs.loc[0, "hp_optimizer"] = "lion"
    rest.values[1] *= 100
    rest.configs.loc[2, "hp_lr"] = 0.0  # has no logarithm
    odd = model.predict(rest, 10)
    np.testing.assert_array_equal(odd.mean[3:], usual.mean[3:])
    assert np.isfinite(odd.mean).all()
    notes = model.notes(rest, 10)
    assert [bool(note) for note in notes] == [True, True, True, *[False] * 7]
    assert notes[2].startswith("lr = 0.0 is far outside of")


@pytest.mark.parametrize("kernel", ["matern", "matern+linear"])
@pytest.mark.parametrize("factor", [1e30, 1e200, 1e300])
def test_a_run_whose_squares_overflow_takes_no_other_with_it(kernel: str, factor: float) -> None:
    curves = saturating_curves(60)
    model = make_predictor("gp", kernel=kernel, target="level").fit(curves.take(range(50)), [10])
    rest = curves.take(np.arange(50, 60))
    usual = model.predict(rest, 10)
    rest.values[1] *= factor
    odd = model.predict(rest, 10)
    np.testing.assert_array_equal(odd.mean[2:], usual.mean[2:])
    assert np.isfinite(odd.quantile([0.1, 0.9])).all()


def test_a_run_has_ended_after_five_equal_values_or_a_tenth_of_its_epochs() -> None:
    curves = saturating_curves(5)
    values = curves.values
    values[0, 5:] = values[0, 5]
    values[1, 6:] = values[1, 6]  # four equal values at 10
    values[2, 2:] = values[2, 2]
    values[2, [4, 7]] = np.nan
    values[3, 2:] = np.inf
    values[4, :9] = values[4, 0]
    assert ended(curves, 10).tolist() == [True, False, True, False, False]
    assert ended(replace(saturating_curves(5, 1, 80), values=np.ones((5, 80))), 7).sum() == 0
    assert ended(replace(saturating_curves(5, 1, 80), values=np.ones((5, 80))), 8).all()


def test_the_distribution_of_an_ended_run_is_narrow_and_consistent() -> None:
    curves = saturating_curves(60)
    model = make_predictor("ridge").fit(curves.take(np.arange(50)), [10])
    rest = curves.take(np.arange(50, 60))
    usual = model.predict(rest, 10)
    rest.values[2, 5:] = 0.123
    p = model.predict(rest, 10)
    others = np.arange(10) != 2
    assert p.mean[2] == 0.123
    for distribution in (p, p.gaussian()):
        np.testing.assert_allclose(distribution.cdf(distribution.quantile([0.3])[:, 0]), 0.3)
    np.testing.assert_array_equal(p.quantile([0.1])[others], usual.quantile([0.1])[others])
    np.testing.assert_allclose(p.std[2], 0.05 * usual.std[2])


@pytest.mark.parametrize("name", ["ridge", "pfn", "last_value"])
def test_runs_of_another_direction_are_refused(name: str) -> None:
    curves = saturating_curves(40)
    train, asked = curves.take(np.arange(30)), curves.take(np.arange(30, 40))
    model = make_predictor(name).fit(train, [10])
    other = replace(asked, direction="minimize")
    with pytest.raises(DataError, match="a metric to maximize, asked about one to minimize"):
        model.predict(other, 10)
    if not model.needs_training:
        assert np.isfinite(
            make_predictor(name).fit(train.take([]), [10]).predict(other, 10).mean
        ).all()
