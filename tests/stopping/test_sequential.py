"""Replays of sequential search: known answers and properties that hold for every rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curvecast import DataError
from curvecast.stopping.accounting import (
    Record,
    mean_interval,
    oracle_epochs,
    outcome,
    regret_of,
    summarise,
)
from curvecast.stopping.rule import MedianRule, OracleRule, SuccessiveHalvingRule
from curvecast.stopping.sequential import (
    Setting,
    baker_forecast,
    oracle_bounds,
    ordering,
    patience_bounds,
    replay_halving,
    replay_median,
    walk,
)


def record_of(seed, n=30, n_epochs=6, diverge=0.0):
    rng = np.random.default_rng(seed)
    gain = np.cumsum(rng.normal(size=(n, n_epochs)), axis=1).round(1)
    broken = rng.random(gain.shape) < diverge
    broken[:3] = False
    gain[np.maximum.accumulate(broken, axis=1)] = np.nan
    finite = np.isfinite(gain)
    end = np.where(finite.all(axis=1), n_epochs - 1, np.argmin(finite, axis=1))
    return Record(gain, np.arange(1, n_epochs + 1), end, None)


def random_bounds(record, looks, seed):
    rng = np.random.default_rng([seed, 1])
    return record.final[:, None] + rng.normal(size=(len(record), len(looks))) + rng.normal()


seeds = st.integers(0, 10_000)
LOOKS = np.array([2, 3, 5])


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 10), st.sampled_from([0.0, 0.1]), st.sampled_from([1, 3]))
def test_walk_does_what_the_rule_says_run_by_run(seed, n_full, diverge, top_n):
    record = record_of(seed, diverge=diverge)
    order = np.random.default_rng(seed).permutation(len(record))
    bounds = random_bounds(record, LOOKS, seed)
    setting = Setting("", offset=0.2, top_n=top_n)
    replay = walk(record, order, LOOKS, bounds, n_full=n_full, setting=setting)
    finals = []
    for position, run in enumerate(order):
        best = sorted(finals)[-top_n] if len(finals) >= top_n else -np.inf
        ended = record.end[run]
        stopped = False
        for look, column in enumerate(record.columns(LOOKS)):
            if position >= n_full and not stopped and bounds[run, look] <= best - 0.2:
                ended, stopped = min(ended, column), True
        if not stopped and record.complete[run]:
            finals.append(record.final[run])
        assert replay.ended[run] == ended
        assert replay.finished[run] == (not stopped and record.complete[run])


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 10))
def test_nothing_beats_the_oracle_without_a_loss(seed, n_full):
    record = record_of(seed, diverge=0.05)
    order = np.random.default_rng(seed).permutation(len(record))
    oracle = walk(record, order, LOOKS, oracle_bounds(record, LOOKS), n_full=n_full)
    limit = oracle_epochs(record, order, 1, n_full)
    best = outcome(record, oracle)
    assert best.epochs == limit
    assert (best.regret, best.lost, best.exactly) == (0.0, 0, True)
    other = outcome(
        record, walk(record, order, LOOKS, random_bounds(record, LOOKS, seed), n_full=n_full)
    )
    if other.lost == 0:
        assert other.epochs >= limit
        assert other.speedup <= best.speedup


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_never_stopping_has_a_speedup_of_exactly_one(seed):
    record = record_of(seed, diverge=0.1)
    order = np.random.default_rng(seed).permutation(len(record))
    bounds = np.full((len(record), len(LOOKS)), np.inf)
    result = outcome(record, walk(record, order, LOOKS, bounds, n_full=3))
    assert (result.speedup, result.regret, result.exactly) == (1.0, 0.0, True)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 5))
def test_no_run_ends_before_the_first_look_or_its_own_divergence(seed, n_full):
    record = record_of(seed, diverge=0.1)
    order = np.random.default_rng(seed).permutation(len(record))
    bounds = np.full((len(record), len(LOOKS)), -np.inf)
    replay = walk(record, order, LOOKS, bounds, n_full=n_full)
    first = record.columns(LOOKS)[0]
    judged = replay.judged & (replay.best_before(record) > -np.inf)
    np.testing.assert_array_equal(replay.ended[judged], np.minimum(first, record.end)[judged])
    np.testing.assert_array_equal(replay.ended[order[:n_full]], record.end[order[:n_full]])


def test_forecasts_stop_the_same_runs_of_a_minimised_metric(make_curves):
    up = make_curves(60, noise=0.01, seed=2)
    down = up.negated()
    looks = np.array([1, 3, 8])
    ends = []
    for curves in (up, down):
        forecasts = baker_forecast(curves, "gain_gp", 0, looks, n_full=20)
        record = Record.of(curves)
        bounds = forecasts.bounds(0.9)
        replay = walk(record, ordering(curves, 0), looks, bounds, n_full=20)
        ends.append((replay.ended, replay.finished))
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][1], ends[1][1])
    assert len(set(ends[0][0].tolist())) > 2


def test_bounds_agree_with_probabilities(make_curves):
    curves = make_curves(50, noise=0.01, seed=5, direction="minimize")
    forecasts = baker_forecast(curves, "gain_gp", 1, np.array([2, 6]), n_full=20)
    record = Record.of(curves)
    best = np.full(len(curves), np.quantile(record.final, 0.9))
    stops = forecasts.bounds(0.8) <= best[:, None]
    worse = forecasts.probability_worse(best)
    predicted = np.isfinite(worse)
    np.testing.assert_array_equal(stops[predicted], worse[predicted] >= 0.8)
    assert predicted.sum() == 2 * 30
    assert not (forecasts.bounds(1.0) <= best[:, None]).any()


def test_a_good_predictor_finds_the_best_run_in_a_fraction_of_the_epochs(make_curves):
    curves = make_curves(150, noise=0.001, seed=7)
    record = Record.of(curves)
    looks = np.arange(1, 20)
    outcomes = []
    for repeat in range(3):
        forecasts = baker_forecast(curves, "gain_gp", repeat, looks, n_full=30)
        order = ordering(curves, repeat)
        outcomes.append(
            outcome(record, walk(record, order, looks, forecasts.bounds(0.95), n_full=30))
        )
    row = summarise(outcomes)
    assert row["orderings"] == 3
    assert row["recovered_share"] == 1.0
    assert row["speedup_mean"] > 2.5
    assert row["speedup_low"] <= row["speedup_mean"] <= row["speedup_high"]


def test_too_few_runs_for_the_protocol(make_curves):
    with pytest.raises(DataError, match=r"lower stopping\.n_full"):
        baker_forecast(make_curves(20), "gain_gp", 0, np.array([1]), n_full=20)


def test_patience_stops_when_the_best_is_old():
    gain = np.array([[1.0, 3.0, 2.0, 2.0, 2.0, 9.0], [1, 2, 3, 4, 5, 6.0]])
    record = Record(gain, np.arange(1, 7), np.array([5, 5]), None)
    bounds = patience_bounds(record, np.arange(1, 6), 2)
    assert bounds[0].tolist() == [np.inf, np.inf, np.inf, -np.inf, -np.inf]
    assert bounds[1].tolist() == [np.inf] * 5


@pytest.mark.parametrize("seed", range(3))
def test_replayed_peer_rules_agree_with_their_objects(seed):
    record = record_of(seed, n=40, n_epochs=10, diverge=0.01)
    order = np.random.default_rng(seed).permutation(40)
    halving = SuccessiveHalvingRule(min_tau=1, eta=2)
    replays = {
        "halving": replay_halving(record, order, halving, n_full=5),
        "median": replay_median(record, order, np.arange(1, 10), n_full=5),
    }
    for name, replay in replays.items():
        reached = {e: [] for e in range(1, 11)}
        for position, run in enumerate(order):
            for e in range(1, 10):
                if e - 1 >= record.end[run]:
                    break
                curve = record.gain[run, :e]
                earlier = np.array(reached[e])
                if name == "halving":
                    decision = halving.decide(e, 10, curve[-1], earlier)
                    reached[e].append(curve[-1])
                else:
                    decision = MedianRule().decide(e, 10, curve, earlier)
                    reached[e].append(curve.mean())
                if decision.stop and position >= 5:
                    break
            else:
                e = 10
            expected = min(e - 1, record.end[run])
            assert replay.ended[run] == expected
        assert outcome(record, replay).speedup > 1


def test_the_oracle_object_is_the_replayed_oracle():
    record = record_of(11)
    order = np.random.default_rng(0).permutation(30)
    replay = walk(record, order, np.arange(1, 6), oracle_bounds(record, np.arange(1, 6)), n_full=2)
    finals = []
    for position, run in enumerate(order):
        stop = OracleRule().decide(1, 6, record.final[run], finals).stop and position >= 2
        assert replay.finished[run] == (not stop)
        if not stop:
            finals.append(record.final[run])


def test_accounts_of_a_search_worked_out_by_hand():
    gain = np.array([[0.0, 1.0], [0.0, 5.0], [0.0, 3.0], [np.nan, np.nan], [0.0, 4.0]])
    seconds = np.array([[1.0, 2.0], [2.0, 4.0], [1.0, 2.0], [3.0, 6.0], [1.0, 2.0]])
    record = Record(gain, np.array([1, 2]), np.array([1, 1, 1, 0, 1]), seconds)
    bounds = np.array([[9.0], [0.0], [0.0], [np.nan], [9.0]])
    replay = walk(record, np.arange(5), np.array([1]), bounds, n_full=1)
    result = outcome(record, replay)
    assert replay.ended.tolist() == [1, 0, 0, 0, 1]
    assert result.epochs == 2 + 1 + 1 + 1 + 2
    assert result.speedup == pytest.approx(9 / 7)
    assert result.speedup_seconds == pytest.approx((2 + 4 + 2 + 3 + 2) / (2 + 2 + 1 + 3 + 2))
    assert record.unit == pytest.approx(5 - 3.5)
    assert result.regret == pytest.approx(1 / 1.5)
    assert (result.recovered, result.exactly) == (False, False)
    assert (result.beating, result.lost) == (3, 2)
    used, found = replay.trace(record)
    assert used.tolist() == [2, 3, 4, 5, 7]
    assert found.tolist() == [1.0, 1.0, 1.0, 1.0, 4.0]


def test_regret_without_a_spread_and_interval_of_one_value():
    record = Record(np.ones((3, 2)), np.array([1, 2]), np.full(3, 1), None)
    assert regret_of(record, 1.0) == 0.0
    assert regret_of(record, 0.5) == np.inf
    mean, low, high = mean_interval([2.0])
    assert (mean, np.isnan(low), np.isnan(high)) == (2.0, True, True)
    assert mean_interval([1.0, 3.0])[1] == pytest.approx(2 - 12.706205, abs=1e-5)


def test_a_set_without_complete_runs_cannot_be_searched(make_curves):
    curves = make_curves(3)
    curves.values[:, 4] = np.nan
    with pytest.raises(DataError, match="fewer than two complete runs"):
        Record.of(curves)
