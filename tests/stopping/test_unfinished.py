"""Forecasts from finished and stopped runs."""

import numpy as np
import pytest

from curvecast import DataError
from curvecast.stopping.unfinished import UnfinishedProcesses

DECISIONS = np.array([1, 3, 6])
EPOCHS = np.arange(1, 11)


def runs(n, seed=0):
    """Rising curves whose end is known from the middle on, and half known at the start."""
    rng = np.random.default_rng(seed)
    end, luck = rng.uniform(0.3, 0.9, size=(2, n))
    share = np.clip((EPOCHS - 1) / 5, 0, 1)
    curve = (1 - share) * (end + luck)[:, None] / 2 + share * end[:, None]
    return curve + rng.normal(scale=0.003, size=curve.shape), rng.uniform(size=(n, 2))


def fit(gain, static, stopped, **options):
    rng = np.random.default_rng(1)
    return UnfinishedProcesses(gain, EPOCHS, static, DECISIONS, stopped, rng, **options)


def stop_the_worst(gain):
    """Stopped at the first epoch below .45, at the second below .6; the others are finished."""
    return np.where(gain[:, 0] < 0.45, 0, np.where(gain[:, 2] < 0.6, 1, len(DECISIONS)))


def test_forecasts_of_unseen_runs_are_right_at_the_known_scale():
    gain, static = runs(200)
    model = fit(gain, static, stop_the_worst(gain))
    new, new_static = runs(400, seed=1)
    promising = new[:, 0] > 0.5
    for at, largest in ((1, 0.12), (2, 0.02)):
        location, spread = model.predict(new[promising], new_static[promising], at)
        error = new[promising, -1] - model.warp.inverse(location)
        assert np.sqrt((error**2).mean()) < largest
        standardised = (model.warp(new[promising, -1]) - location) / spread
        assert 0.5 < standardised.std() < 1.6


def test_stopped_runs_take_the_optimism_of_survivors_away():
    """Finished runs alone promise too much at the first epoch: they are those that went on well."""
    gain, static = runs(300)
    stopped = stop_the_worst(gain)
    new, new_static = runs(600, seed=1)
    asked = new[:, 0] > 0.46
    bias = {}
    for name, rows in (("all", stopped >= 0), ("finished", stopped == len(DECISIONS))):
        model = fit(gain[rows], static[rows], stopped[rows])
        location, _ = model.predict(new[asked], new_static[asked], 0)
        bias[name] = float((model.warp.inverse(location) - new[asked, -1]).mean())
    assert bias["finished"] > 0.03
    assert abs(bias["all"]) < bias["finished"] / 2


def test_nothing_after_a_stop_is_read():
    gain, static = runs(80)
    stopped = stop_the_worst(gain)
    hidden = gain.copy()
    for at, tau in enumerate(DECISIONS):
        hidden[stopped == at, int(tau) :] = np.nan
    asked = runs(20, seed=1)
    for at in range(len(DECISIONS)):
        a = fit(gain, static, stopped).predict(*asked, at)
        b = fit(hidden, static, stopped).predict(*asked, at)
        np.testing.assert_array_equal(a, b)


def test_a_random_part_of_many_runs_serves_as_well():
    gain, static = runs(400)
    stopped = stop_the_worst(gain)
    new, new_static = runs(100, seed=1)
    every, part = (
        fit(gain, static, stopped, n_most=n).predict(new, new_static, 1)[0] for n in (400, 120)
    )
    assert np.corrcoef(every, part)[0, 1] > 0.99


def test_two_finished_runs_are_needed():
    gain, static = runs(10)
    with pytest.raises(DataError, match="too few"):
        fit(gain, static, np.array([len(DECISIONS)] + [0] * 9))
