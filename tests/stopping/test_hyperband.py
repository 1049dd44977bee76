"""Hyperband and f-Hyperband on recorded curves."""

import numpy as np
import pytest

from curvecast import DataError
from curvecast.stopping.hyperband import (
    HyperbandSetting,
    Rung,
    RungForecaster,
    brackets,
    largest_budget,
    oracle_epochs,
    replay_hyperband,
    rung_looks,
    until,
)


def test_brackets_of_the_paper():
    """Table 1 of Li et al. (2018): R = 81, eta = 3."""
    table = [[(r.n, r.epochs) for r in rungs] for rungs in brackets(81, 3)]
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_many_rungs_are_not_lost_to_rounding():
    assert [len(rungs) for rungs in brackets(243, 3)] == [6, 5, 4, 3, 2, 1]
    assert largest_budget(243, 3) == 243
    assert largest_budget(242, 3) == 81
    with pytest.raises(DataError, match="not a power"):
        brackets(100, 3)
    with pytest.raises(DataError, match="at least 2"):
        brackets(1, 1)


def test_rungs_resume():
    rungs = brackets(27, 3)[0]
    assert [(r.start, r.epochs) for r in rungs] == [(0, 1), (1, 3), (3, 9), (9, 27)]
    assert sum(r.n * (r.epochs - r.start) for r in rungs) == 27 + 18 + 18 + 18


def test_oracle_of_a_bracket_worked_out_by_hand():
    assert oracle_epochs(brackets(27, 3)[0]) == 27 + (3 * 2 + 6) + (1 * 6 + 2) + 18
    assert oracle_epochs([Rung(4, 0, 27)]) == 27 + 3


def test_the_first_epoch_after_each_budget_is_looked_at():
    for end in (3, 9, 27, 81, 243):
        looks = rung_looks(np.arange(501), end, 3)
        assert looks[0] == 1
        assert looks[-1] < end
        assert {b + 1 for b in (3, 9, 27, 81) if b < end} <= set(looks.tolist())


def test_vanilla_epochs_and_best_value(make_curves):
    curves = make_curves(120, 27, noise=0.01, seed=1)
    runs = replay_hyperband(curves, 0, 27, 3, 4)
    assert {run.epochs for run in runs} == {357}
    assert {run.oracle_epochs for run in runs} == {
        sum(oracle_epochs(rungs) for rungs in brackets(27, 3))
    }
    assert max(run.best for run in runs) <= curves.final.max()
    assert np.isnan(runs[0].seconds)


def test_never_stopping_is_vanilla(make_curves):
    curves = make_curves(120, 27, noise=0.01, seed=1)
    forecaster = RungForecaster(curves, "gain_gp", 3, 0)
    vanilla = replay_hyperband(curves, 0, 27, 3, 12)
    never = replay_hyperband(curves, 0, 27, 3, 12, HyperbandSetting(delta=1.0), forecaster)
    assert [vars(a) | {"seconds": 0} for a in vanilla] == [vars(b) | {"seconds": 0} for b in never]
    assert forecaster.fits == 0


@pytest.mark.parametrize("promising_first", [False, True])
@pytest.mark.parametrize("delta", [0.5, 0.95])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_oracle_is_an_upper_bound_and_the_rule_saves(make_curves, promising_first, delta, kappa):
    curves = make_curves(150, 9, noise=0.02, seed=4)
    forecaster = RungForecaster(curves, "gain_gp", 3, 1)
    setting = HyperbandSetting(delta=delta, kappa=kappa, promising_first=promising_first)
    runs = replay_hyperband(curves, 1, 9, 3, 25, setting, forecaster)
    vanilla = replay_hyperband(curves, 1, 9, 3, 25)
    assert all(run.epochs >= run.oracle_epochs for run in runs)
    assert sum(r.epochs for r in runs[20:]) < sum(r.epochs for r in vanilla[20:])
    assert [r.epochs for r in runs[:7]] == [r.epochs for r in vanilla[:7]]


def test_minimised_metric_is_searched_like_its_negated_copy(make_curves):
    up = make_curves(150, 9, noise=0.02, seed=4)
    setting = HyperbandSetting(delta=0.8, kappa=0.5, promising_first=True)
    results = [
        replay_hyperband(c, 0, 9, 3, 15, setting, RungForecaster(c, "gain_gp", 3, 0))
        for c in (up, up.negated())
    ]
    assert [(r.epochs, r.best) for r in results[0]] == [(r.epochs, r.best) for r in results[1]]


def test_a_diverged_run_costs_what_it_was_trained(make_curves):
    curves = make_curves(40, 9, seed=0)
    curves.values[5:, 2:] = np.nan
    runs = replay_hyperband(curves, 0, 9, 3, 3)
    assert all(run.epochs < 9 + 3 * 2 + 6 + 5 * 3 + 6 + 3 * 9 for run in runs)
    assert max(run.best for run in runs) <= curves.final[:5].max()


def test_own_curve_never_judges_a_run(make_curves):
    """Change one training run's end: its own forecast must not move, others' may."""
    curves = make_curves(60, 9, noise=0.02, seed=2)
    changed = make_curves(60, 9, noise=0.02, seed=2)
    changed.values[7, 8] += 0.05
    train = np.arange(40)
    for model, tolerance in (("last_value", 1e-12), ("ols", 1e-9), ("gain_gp", 0.02)):
        means = [RungForecaster(c, model, 3, 0)(9, train, 0.9).mean for c in (curves, changed)]
        moved = np.abs(means[0] - means[1]).max(axis=1)
        assert moved[7] <= tolerance, model
        assert np.isfinite(means[0]).all()


def test_seconds_follow_the_trained_epochs(make_curves):
    curves = make_curves(60, 9, seed=0)
    seconds = np.repeat(2.0 * curves.epochs[None, :], 60, axis=0)
    timed = type(curves)(**{**vars(curves), "series": {"seconds": seconds}})
    for run in replay_hyperband(timed, 0, 9, 3, 2):
        assert run.seconds == 2.0 * run.epochs


def test_what_a_replay_needs(make_curves):
    with pytest.raises(DataError, match="lower R"):
        replay_hyperband(make_curves(20, 27), 0, 27, 3, 1)
    with pytest.raises(DataError, match="not among the recorded"):
        replay_hyperband(make_curves(90, 20), 0, 27, 3, 1)
    with pytest.raises(DataError, match="out of range"):
        HyperbandSetting(delta=0.0)


def test_until_cuts_values_and_series(make_curves):
    curves = make_curves(5, 9)
    cut = until(curves, 4)
    assert cut.last_epoch == 4
    np.testing.assert_array_equal(cut.final, curves.values[:, 3])
