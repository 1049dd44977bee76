"""The online search, and the calibration of its bounds."""

from itertools import pairwise

import numpy as np
import pytest

from curvecast import DataError
from curvecast.stopping.accounting import Record, outcome
from curvecast.stopping.calibration import widths
from curvecast.stopping.online import OnlineSetting, chunks, replay_online

AT = np.array([1, 2, 4, 8, 13])


def test_chunks_cover_every_run_once():
    ranges = list(chunks(1000, 20, 2.0))
    assert ranges[0] == (20, 40)
    assert ranges[-1] == (640, 1000)
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert list(chunks(20, 20, 2.0)) == []
    assert [e - s for s, e in chunks(8, 3, 1.1)] == [1] * 5


def test_it_finds_the_best_run_and_always_finishes_a_share(make_curves):
    curves = make_curves(300, noise=0.002, seed=9)
    record = Record.of(curves)
    replay, cost = replay_online(curves, 0, AT, OnlineSetting(n_full=15))
    result = outcome(record, replay)
    assert result.regret < 0.05
    assert result.speedup > 3
    always = ~replay.asked
    assert replay.finished[always].all()
    assert replay.finished[replay.order[:15]].all()
    assert 15 + 3 <= always.sum() <= 15 + 30
    assert cost.fits == 5
    assert cost.fit > 0


def test_delta_one_trains_everything(make_curves):
    curves = make_curves(60, seed=1)
    replay, cost = replay_online(curves, 0, AT, OnlineSetting(delta=1.0))
    assert outcome(Record.of(curves), replay).speedup == 1.0
    assert cost.fits == 0


def test_the_first_decision_epoch_is_respected(make_curves):
    curves = make_curves(80, noise=0.01, seed=1)
    replay, _ = replay_online(curves, 0, np.array([6, 9]), OnlineSetting())
    assert set(curves.epochs[replay.ended].tolist()) <= {6, 9, 20}
    assert (~replay.finished).any()


def test_minimised_metric_is_searched_like_its_negated_copy(make_curves):
    up = make_curves(120, noise=0.01, seed=3)
    a, _ = replay_online(up, 2, AT, OnlineSetting())
    b, _ = replay_online(up.negated(), 2, AT, OnlineSetting())
    np.testing.assert_array_equal(a.ended, b.ended)
    assert (~a.finished).any()


def test_a_diverged_run_ends_and_is_never_the_best(make_curves):
    curves = make_curves(80, noise=0.01, seed=3)
    curves.values[::7, 3:] = np.nan
    curves.values[::9, 0:] = np.nan
    record = Record.of(curves)
    replay, _ = replay_online(curves, 0, AT, OnlineSetting())
    broken = ~record.complete
    assert not replay.finished[broken].any()
    assert (replay.ended[broken] <= record.end[broken]).all()


def test_only_completed_runs_are_learnt_from(make_curves):
    """What a stopped run would have become must not change a single decision."""
    curves = make_curves(120, noise=0.01, seed=3)
    first, _ = replay_online(curves, 0, AT, OnlineSetting())
    changed = make_curves(120, noise=0.01, seed=3)
    for run in np.flatnonzero(~first.finished):
        changed.values[run, first.ended[run] + 1 :] += 5.0
    second, _ = replay_online(changed, 0, AT, OnlineSetting())
    np.testing.assert_array_equal(first.ended, second.ended)


def test_with_other_trainings_seen_no_full_run_has_to_be_first(make_curves):
    """The first run sets the value to beat; stopped runs inform, but not by their ends."""
    curves = make_curves(60, noise=0.01, seed=3)
    setting = OnlineSetting(n_full=0, model="pfn")
    replay, cost = replay_online(curves, 0, AT, setting)
    account = outcome(Record.of(curves), replay)
    assert (account.regret, cost.fits) == (0.0, 7)
    assert account.speedup > 1.1
    assert replay.finished[replay.order[0]]
    assert (~replay.finished[replay.order[1:20]]).any()
    for run in np.flatnonzero(~replay.finished):
        curves.values[run, replay.ended[run] + 1 :] += 5.0
    changed, _ = replay_online(curves, 0, AT, setting)
    np.testing.assert_array_equal(changed.ended, replay.ended)


def test_options_and_sizes_are_checked(make_curves):
    with pytest.raises(DataError, match="too few for 20"):
        replay_online(make_curves(20), 0, AT, OnlineSetting(n_full=20))
    with pytest.raises(DataError, match="out of range"):
        OnlineSetting(delta=0.0)
    with pytest.raises(DataError, match="out of range"):
        OnlineSetting(n_full=0)
    with pytest.raises(DataError, match="is not gain_gp or pfn"):
        OnlineSetting(model="ridge")


def test_bounds_are_wider_with_few_runs_at_the_start_and_after_many():
    fractions = np.array([0.02, 0.1, 0.5])
    plain = widths(40, 100, fractions, 0.9)
    assert (np.diff(plain) < 0).all()
    assert plain[-1] == pytest.approx(1.46 + 0.76 * 1.2816, abs=0.001)
    assert (widths(12, 100, fractions, 0.9) > plain).all()
    assert (widths(40, 100, fractions, 0.95) > plain).all()
    assert (widths(40, 1000, fractions, 0.9) > plain).all()
    np.testing.assert_array_equal(widths(400, 200, fractions, 0.9), plain)


def test_few_winners_are_stopped(make_curves):
    """Over many searches, the share of would-be winners that is lost is near 1 - Delta."""
    beating = lost = 0
    for seed in range(12):
        curves = make_curves(150, noise=0.01, seed=seed, name=f"set{seed}")
        result = outcome(Record.of(curves), replay_online(curves, 0, AT, OnlineSetting())[0])
        beating, lost = beating + result.beating, lost + result.lost
    assert beating >= 20
    assert lost / beating <= 0.2
