"""Replays of sequential search: known answers and properties that hold for every rule."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curvecast import CurveSet, DataError
from curvecast.stopping import replay as replays
from curvecast.stopping.accounting import (
    Record,
    ordering,
    outcome,
)
from curvecast.stopping.rules.baker import Baker
from curvecast.stopping.rules.median import Median
from curvecast.stopping.rules.never import Never
from curvecast.stopping.rules.oracle import Oracle
from curvecast.stopping.rules.successive_halving import SuccessiveHalving
from curvecast.stopping.sequential import forecast, oracle_speedup, walk


def record_of(seed, n=30, n_epochs=6, diverge=0.0):
    rng = np.random.default_rng(seed)
    gain = np.cumsum(rng.normal(size=(n, n_epochs)), axis=1).round(1)
    broken = rng.random(gain.shape) < diverge
    broken[:3] = False
    gain[np.maximum.accumulate(broken, axis=1)] = np.nan
    return recorded(gain)


def recorded(gain, **series):
    """Runs with these gains at the epochs 1, 2, ..."""
    gain = np.asarray(gain)
    configs = pd.DataFrame({"id": np.arange(len(gain)).astype(str), "group": range(len(gain))})
    epochs = np.arange(1, gain.shape[1] + 1)
    return Record(CurveSet(configs, gain, epochs, "accuracy", "maximize", "toy", series=series))


def bounded(bounds, **options):
    """A predicting rule whose bounds are these."""

    class Known:
        def bound(self, at, delta):
            return bounds

    return Baker(lambda curves, at: Known(), **options)


def random_rule(record, seed, **options):
    rng = np.random.default_rng([seed, 1])
    noise = rng.normal(size=(len(record), len(AT))) + rng.normal()
    return bounded(record.final[:, None] + noise, **options)


def predicting(curves, repeat, at, n_full, **options):
    """The rule of Baker's protocol, and its order."""
    forecasts = forecast(curves, "gain_gp", repeat, at, n_full)[0].gaussian()
    return Baker(forecasts.known, **options), forecasts, ordering(curves, repeat)


seeds = st.integers(0, 10_000)
AT = np.array([2, 3, 5])


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 10), st.sampled_from([0.0, 0.1]), st.sampled_from([1, 3]))
def test_walk_does_what_the_rule_says_run_by_run(seed, n_full, diverge, top_n):
    record = record_of(seed, diverge=diverge)
    order = np.random.default_rng(seed).permutation(len(record))
    rule = random_rule(record, seed, offset=0.2, top_n=top_n)
    bounds = rule.scores(record, AT)
    replay = walk(record, order, AT, rule, n_full=n_full)
    finals = []
    for position, run in enumerate(order):
        best = sorted(finals)[-top_n] if len(finals) >= top_n else -np.inf
        ended = record.end[run]
        stopped = False
        for i, column in enumerate(record.columns(AT)):
            if position >= n_full and not stopped and bounds[run, i] <= best - 0.2:
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
    best = outcome(record, walk(record, order, AT, Oracle(), n_full=n_full))
    final, first = record.final[order], record.columns(AT)[0]
    full = final > np.maximum.accumulate([-np.inf, *final[:-1]])
    full[:n_full] = True
    ended = np.where(full, record.end[order], np.minimum(first, record.end[order]))
    assert best.epochs == record.epochs[ended].sum()
    assert best.speedup == oracle_speedup(record, order, AT, n_full)
    assert (best.regret, best.lost, best.exactly) == (0.0, 0, True)
    other = outcome(record, walk(record, order, AT, random_rule(record, seed), n_full=n_full))
    if other.lost == 0:
        assert other.epochs >= best.epochs


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_never_stopping_has_a_speedup_of_exactly_one(seed):
    record = record_of(seed, diverge=0.1)
    order = np.random.default_rng(seed).permutation(len(record))
    result = outcome(record, walk(record, order, AT, Never(), n_full=3))
    assert (result.speedup, result.regret, result.exactly) == (1.0, 0.0, True)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 5))
def test_no_run_ends_before_the_first_decision_epoch_or_its_own_divergence(seed, n_full):
    record = record_of(seed, diverge=0.1)
    order = np.random.default_rng(seed).permutation(len(record))
    rule = bounded(np.full((len(record), len(AT)), -np.inf))
    replay = walk(record, order, AT, rule, n_full=n_full)
    first = record.columns(AT)[0]
    asked = replay.asked & (replay.best_before(record) > -np.inf)
    np.testing.assert_array_equal(replay.ended[asked], np.minimum(first, record.end)[asked])
    np.testing.assert_array_equal(replay.ended[order[:n_full]], record.end[order[:n_full]])


def test_forecasts_stop_the_same_runs_of_a_minimised_metric(make_curves):
    up = make_curves(60, noise=0.01, seed=2)
    at = np.array([1, 3, 8])
    replays = []
    for curves in (up, up.negated()):
        rule, _, order = predicting(curves, 0, at, 20, delta=0.9)
        replays.append(walk(Record.of(curves), order, at, rule, n_full=20))
    np.testing.assert_array_equal(replays[0].ended, replays[1].ended)
    np.testing.assert_array_equal(replays[0].finished, replays[1].finished)
    assert len(set(replays[0].ended.tolist())) > 2


def test_bounds_agree_with_probabilities(make_curves):
    curves = make_curves(50, noise=0.01, seed=5, direction="minimize")
    at = np.array([2, 6])
    rule, forecasts, _ = predicting(curves, 1, at, 20, delta=0.8)
    record = Record.of(curves)
    best = np.full(len(curves), np.quantile(record.final, 0.9))
    stopped = rule.scores(record, at) <= best[:, None]
    worse = forecasts.probability_worse(at, best)
    predicted = np.isfinite(worse)
    np.testing.assert_array_equal(stopped[predicted], worse[predicted] >= 0.8)
    assert predicted.sum() == 2 * 30
    never = Baker(forecasts.known, delta=1.0)
    assert not (never.scores(record, at) <= best[:, None]).any()


def test_a_good_predictor_finds_the_best_run_in_a_fraction_of_the_epochs(make_curves):
    curves = make_curves(150, noise=0.001, seed=7)
    record = Record.of(curves)
    at = np.arange(1, 20)
    outcomes = []
    for repeat in range(3):
        rule, _, order = predicting(curves, repeat, at, 30)
        outcomes.append(vars(outcome(record, walk(record, order, at, rule, n_full=30))))
    table = pd.DataFrame(outcomes)
    assert table["recovered"].all()
    assert table["speedup"].min() > 2.5


@pytest.mark.parametrize("seed", range(3))
def test_replays_are_what_a_training_loop_decides(seed):
    record = record_of(seed, n=40, n_epochs=10, diverge=0.01)
    order = np.random.default_rng(seed).permutation(40)
    for rule in (SuccessiveHalving(first=1, eta=2), Median()):
        at = rule.own_epochs(record.epochs, np.arange(1, 10))
        replay = walk(record, order, at, rule, n_full=5)
        marks = rule.marks(record, at)
        reached = [[] for _ in at]
        for position, run in enumerate(order):
            expected = record.end[run]
            for i, epoch in enumerate(at):
                if epoch - 1 >= record.end[run]:
                    break
                unfinished = Record(record.curves.take([run]).hide_after(epoch))
                decision = rule.decide(unfinished, epoch, rule.bar(sorted(reached[i])))
                reached[i].append(marks[run, i])
                if decision.stop[0] and position >= 5:
                    expected = epoch - 1
                    break
            assert replay.ended[run] == expected
        assert outcome(record, replay).speedup > 1


def test_accounts_of_a_search_worked_out_by_hand():
    gain = [[0.0, 1.0], [0.0, 5.0], [0.0, 3.0], [np.nan, np.nan], [0.0, 4.0]]
    seconds = np.array([[1.0, 2.0], [2.0, 4.0], [1.0, 2.0], [3.0, 6.0], [1.0, 2.0]])
    record = recorded(gain, seconds=seconds)
    rule = bounded(np.array([[9.0], [0.0], [0.0], [np.nan], [9.0]]))
    replay = walk(record, np.arange(5), np.array([1]), rule, n_full=1)
    result = outcome(record, replay)
    assert replay.ended.tolist() == [1, 0, 0, 0, 1]
    assert result.epochs == 2 + 1 + 1 + 1 + 2
    assert result.speedup == pytest.approx(9 / 7)
    assert result.speedup_seconds == pytest.approx((2 + 4 + 2 + 3 + 2) / (2 + 2 + 1 + 3 + 2))
    assert result.regret == pytest.approx(1 / 1.5)
    assert (result.recovered, result.exactly) == (False, False)
    assert (result.beating, result.lost) == (3, 2)
    used, best = replay.trace(record)
    assert used.tolist() == [2, 3, 4, 5, 7]
    assert best.tolist() == [1.0, 1.0, 1.0, 1.0, 4.0]


def test_regret_without_a_spread():
    record = recorded(np.ones((3, 2)))
    assert record.regret(1.0) == 0.0
    assert record.regret(0.5) == np.inf


def test_a_set_without_complete_runs_cannot_be_searched(make_curves):
    curves = make_curves(3)
    curves.values[:, 4] = np.nan
    with pytest.raises(DataError, match="fewer than two complete runs"):
        Record.of(curves)


@pytest.mark.parametrize("search", ["sequential", "rules", "online", "hyperband"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_set_of_one_trained_epoch_cannot_be_searched(make_curves, first, search):
    curves = make_curves(30, 1, first_epoch=first)
    with pytest.raises(DataError, match="synthetic/saturating: a single trained epoch"):
        replays.run(search, curves, {}, "last_value")
