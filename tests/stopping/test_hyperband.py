"""Hyperband and f-Hyperband on recorded curves."""

import numpy as np
import pytest

from curvecast import DataError
from curvecast.fidelity import Rung, brackets
from curvecast.stopping.hyperband import (
    HyperbandSetting,
    fewest_epochs,
    replay_hyperband,
    search_hyperband,
)
from curvecast.stopping.rung_forecasts import RungForecaster


def plan_to(budget):
    return brackets(np.arange(1, budget + 1), 3)


def test_oracle_of_a_bracket_worked_out_by_hand():
    assert fewest_epochs(plan_to(27)[0]) == 27 + (3 * 2 + 6) + (1 * 6 + 2) + 18
    assert fewest_epochs([Rung(4, 0, 1, 27)]) == 27 + 3
    assert fewest_epochs([Rung(4, 0, 10, 270)]) == 270 + 30


def test_vanilla_epochs_and_best_value(make_curves):
    curves = make_curves(120, 27, noise=0.01, seed=1)
    runs = replay_hyperband(curves, 0, plan_to(27), 4)
    assert {run.epochs for run in runs} == {357}
    assert {run.oracle_epochs for run in runs} == {
        sum(fewest_epochs(rungs) for rungs in plan_to(27))
    }
    assert max(run.best for run in runs) <= curves.final.max()
    assert np.isnan(runs[0].seconds)


def test_never_stopping_is_vanilla(make_curves):
    curves = make_curves(120, 27, noise=0.01, seed=1)
    forecaster = RungForecaster(curves, "gain_gp", 3, 0)
    vanilla = replay_hyperband(curves, 0, plan_to(27), 12)
    never = replay_hyperband(curves, 0, plan_to(27), 12, HyperbandSetting(delta=1.0), forecaster)
    assert [vars(a) | {"seconds": 0} for a in vanilla] == [vars(b) | {"seconds": 0} for b in never]
    assert forecaster.fits == 0


@pytest.mark.parametrize("promising_first", [False, True])
@pytest.mark.parametrize("delta", [0.5, 0.95])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_oracle_is_an_upper_bound_and_the_rule_saves(make_curves, promising_first, delta, kappa):
    curves = make_curves(150, 9, noise=0.02, seed=4)
    forecaster = RungForecaster(curves, "gain_gp", 3, 1)
    setting = HyperbandSetting(delta=delta, kappa=kappa, promising_first=promising_first)
    runs = replay_hyperband(curves, 1, plan_to(9), 25, setting, forecaster)
    vanilla = replay_hyperband(curves, 1, plan_to(9), 25)
    assert all(run.epochs >= run.oracle_epochs for run in runs)
    assert sum(r.epochs for r in runs[20:]) < sum(r.epochs for r in vanilla[20:])
    assert [r.epochs for r in runs[:7]] == [r.epochs for r in vanilla[:7]]


def test_rungs_have_forecasts_from_the_first_bracket_on(make_curves):
    curves = make_curves(40, 9, noise=0.01, seed=4)
    forecaster = RungForecaster(curves, "pfn", 3, 0)
    vanilla = replay_hyperband(curves, 0, plan_to(9), 2)
    for again in (False, True):
        setting = HyperbandSetting(delta=0.8, kappa=0.0, n_start=0, again=again)
        assert setting.name == "top1 from 0" + " again" * again
        runs = replay_hyperband(curves, 0, plan_to(9), 2, setting, forecaster)
        assert runs[0].epochs < vanilla[0].epochs
        # rungs that end at 3 and at 9 epochs; those without a run at their end share their fits
        assert (forecaster.fits > 2) if again else (forecaster.fits == 2)


def test_minimised_metric_is_searched_like_its_negated_copy(make_curves):
    up = make_curves(150, 9, noise=0.02, seed=4)
    setting = HyperbandSetting(delta=0.8, kappa=0.5, promising_first=True)
    results = [
        replay_hyperband(c, 0, plan_to(9), 15, setting, RungForecaster(c, "gain_gp", 3, 0))
        for c in (up, up.negated())
    ]
    assert [(r.epochs, r.best) for r in results[0]] == [(r.epochs, r.best) for r in results[1]]


def test_a_diverged_run_costs_what_it_was_trained(make_curves):
    curves = make_curves(40, 9, seed=0)
    curves.values[5:, 2:] = np.nan
    runs = replay_hyperband(curves, 0, plan_to(9), 3)
    assert all(run.epochs < 9 + 3 * 2 + 6 + 5 * 3 + 6 + 3 * 9 for run in runs)
    assert max(run.best for run in runs) <= curves.final[:5].max()


def test_no_forecast_of_a_run_uses_its_own_end(make_curves):
    """Change one training run's end: its own forecast must not move, others' may."""
    curves = make_curves(60, 9, noise=0.02, seed=2)
    changed = make_curves(60, 9, noise=0.02, seed=2)
    changed.values[7, 8] += 0.05
    train = np.arange(40)
    for model, tolerance in (("last_value", 1e-12), ("ols", 1e-9), ("gain_gp", 0.02)):
        forecasts = [RungForecaster(c, model, 3, 0)(9, train) for c in (curves, changed)]
        means = [f.mean(np.arange(1, 9)) for f in forecasts]
        moved = np.abs(means[0] - means[1]).max(axis=1)
        assert moved[7] <= tolerance, model
        assert np.isfinite(means[0]).all()


def test_seconds_follow_the_trained_epochs(make_curves):
    curves = make_curves(60, 9, seed=0)
    seconds = np.repeat(2.0 * curves.epochs[None, :], 60, axis=0)
    timed = type(curves)(**{**vars(curves), "series": {"seconds": seconds}})
    for run in replay_hyperband(timed, 0, plan_to(9), 2):
        assert run.seconds == 2.0 * run.epochs


def test_what_a_replay_needs(make_curves):
    with pytest.raises(DataError, match="lower R"):
        replay_hyperband(make_curves(20, 27), 0, plan_to(27), 1)
    with pytest.raises(DataError, match="above the last recorded epoch 20"):
        search_hyperband(make_curves(90, 20), "last_value", budget=27)
    with pytest.raises(DataError, match="out of range"):
        HyperbandSetting(delta=0.0)
