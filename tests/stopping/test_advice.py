"""Advice on runs under way, against runs whose ends are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curvecast import saved
from curvecast.curves import CurveSet, DataError
from curvecast.stopping.advice import advise, check, left_out

EPOCHS = np.arange(1, 31)


def made(n, direction="maximize", n_running=0, seed=0):
    """Runs that approach ends of their own exponentially, the last `n_running` cut off."""
    rng = np.random.default_rng(seed)
    ends, rates = rng.uniform(0.4, 0.9, n), rng.uniform(0.15, 0.4, n)
    values = ends[:, None] * (1 - 0.8 * np.exp(-rates[:, None] * EPOCHS))
    values = values + 0.003 * rng.normal(size=values.shape)
    truth = values[:, -1].copy()
    for row in range(n - n_running, n):
        values[row, int(rng.integers(3, 20)) :] = np.nan
    if direction == "minimize":
        values, truth = 1 - values, 1 - truth
    configs = pd.DataFrame({"id": [f"r{i}" for i in range(n)], "group": range(n)})
    return CurveSet(configs, values, EPOCHS, "value", direction, "made"), truth


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_every_run_under_way_has_its_end_predicted(direction):
    curves, truth = made(40, direction, n_running=10)
    advice = advise(curves)
    assert sorted(advice["run"]) == sorted(f"r{i}" for i in range(30, 40))
    expected = truth[advice["run"].str[1:].astype(int)]
    error = np.abs(advice["predicted"] - expected).mean()
    assert error < 0.7 * np.abs(advice["value"] - expected).mean()
    assert ((advice["low"] < advice["predicted"]) & (advice["predicted"] < advice["high"])).all()
    assert advice["best"].is_monotonic_decreasing
    assert advice["best"].sum() <= 1 + 1e-9
    assert (advice["epochs_left"] == 30 - advice["epoch"]).all()


def test_no_accuracy_is_predicted_above_one():
    curves, _ = made(40, n_running=10)
    high = replace(curves, values=curves.values / np.nanmax(curves.values))
    assert advise(high)["high"].max() > 1
    shares = replace(high, metric="val_acc")
    advice = advise(shares)
    assert advice["high"].max() == 1
    model = saved.train("pfn", shares.take(range(30)))
    assert saved.predictions(model, shares.take(range(30, 40)))["high"].max() == 1
    without = advise(high)
    pd.testing.assert_frame_equal(advice[["worse", "advice"]], without[["worse", "advice"]])
    # Nobody can be much better than the best finished run, which is near 1.
    assert advice["best"].max() < 0.5 * without["best"].max()


def test_a_run_is_stopped_where_it_will_not_become_the_best():
    curves, truth = made(40, n_running=10)
    finished = truth[:30].max()
    advice = advise(curves, promise=0.9)
    assert ((advice["advice"] == "stop") == (advice["worse"] >= advice["level"])).all()
    stopped = advice.loc[advice["advice"] == "stop", "run"].str[1:].astype(int)
    assert len(stopped) >= 3
    assert (truth[stopped] < finished + 0.02).all()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_without_a_finished_run_the_best_one_under_way_is_the_one_to_beat(direction):
    curves, truth = made(12, direction, n_running=12)
    advice = advise(curves)
    worse, level = advice["worse"], advice["level"]
    assert ((advice["advice"] == "stop") == (worse >= level)).all()
    stop = advice["advice"] == "stop"
    ends = curves.sign * truth[advice["run"].str[1:].astype(int)]
    assert stop.any()
    assert ends[stop].max() < ends.max() - 0.02
    (leader,) = advice.loc[worse.isna(), "run"]
    assert set(advice.loc[stop, "reason"]) == {f"predicted worse than {leader}"}
    assert advice["best"].sum() == pytest.approx(1)
    alone = advise(curves.take([0]))
    assert (alone["advice"].tolist(), alone["worse"].isna().all()) == (["go on"], True)


def test_four_runs_are_left_to_be_compared_with():
    curves, _ = made(12, "minimize", n_running=12, seed=3)
    hopeless = curves.values.copy()
    hopeless[1:] = np.where(np.isnan(hopeless[1:]), np.nan, 2 - 0.001 * EPOCHS)
    curves = replace(curves, values=hopeless)
    for n, stopped in ((4, 0), (6, 2), (12, 8)):
        advice = advise(curves.take(range(n)))
        assert (advice["advice"] == "stop").sum() == stopped
        left = advice[advice["reason"] == "left to be compared with"]
        assert len(left) == n - 1 - stopped
        assert left["level"].isna().all()


def test_a_run_under_way_stops_others_that_a_bad_finished_one_would_not():
    curves, truth = made(13, n_running=12)
    worst = int(np.argmin(truth))
    values = curves.values.copy()
    values[0] = values[worst, 0] + 0.001 * EPOCHS  # hardly better than its first value
    curves = replace(curves, values=values)
    finished = advise(curves)
    under_way = advise(curves.take(range(1, 13)))
    stop = finished["advice"] == "stop"
    assert (finished.loc[stop, "reason"] != "predicted worse").any()
    assert (finished.loc[stop, "worse"] >= finished.loc[stop, "level"]).all()
    assert stop.sum() >= (under_way["advice"] == "stop").sum()


def test_without_a_finished_run_ends_are_those_of_a_saved_model():
    curves, _ = made(6, n_running=6)
    advice = advise(curves)
    # The same numbers as `curvecast predict`.
    asked = saved.predictions(saved.train("pfn", curves), curves).set_index("run")
    for name, column in (("predicted", "mean"), ("low", "low"), ("high", "high")):
        np.testing.assert_allclose(advice[name], asked.loc[advice["run"], column], rtol=1e-6)


def test_runs_that_diverged_or_have_not_begun():
    curves, _ = made(20, n_running=3)
    values = curves.values.copy()
    values[17, 4:] = [np.inf, *[np.nan] * 25]
    values[18] = np.nan
    broken = CurveSet(curves.configs, values, EPOCHS, "value", "maximize", "made")
    advice = advise(broken).set_index("run")
    assert advice.loc["r17", ["advice", "reason"]].tolist() == ["stop", "diverged"]
    assert advice.loc["r18", "advice"] == "too early"
    assert advice.loc["r19", "advice"] in ("stop", "go on")


def test_the_check_counts_what_the_advice_would_have_saved_and_lost():
    curves, _ = made(60)
    checked = check(curves)
    assert checked.epochs == 60 * 30
    assert 0.2 * checked.epochs < checked.saved < checked.epochs
    assert 0 <= checked.lost <= checked.winners <= 30
    late = checked.accuracy[checked.accuracy["fraction"] > 0.3]
    assert (late["mae"] < late["mae_last_value"]).all()
    assert late["cover80"].between(0.5, 1).all()
    assert check(made(5)[0]) is None


def test_runs_with_epochs_that_were_not_logged_are_checked_too():
    curves, _ = made(20)
    values = curves.values.copy()
    values[::2, 1::3] = np.nan
    values[1, :6] = np.nan
    table = check(replace(curves, values=values)).accuracy
    assert table["runs"].max() == 20
    assert np.isfinite(table.to_numpy()).all()


def test_advice_and_a_saved_model_give_the_same_answer():
    curves, _ = made(40, "minimize", n_running=10)
    asked = curves.take(np.arange(30, 40))
    model = saved.train("pfn", curves.take(np.arange(30)))
    rows = saved.predictions(model, asked).set_index("run")
    decided = saved.decisions(model, asked, delta=0.9).set_index("run")
    advice = advise(curves, promise=0.9).set_index("run")
    for ours, theirs in (("low", "low"), ("high", "high"), ("epoch", "seen")):
        np.testing.assert_allclose(advice[ours], rows.loc[advice.index, theirs])
    np.testing.assert_allclose(advice["worse"], 1 - rows.loc[advice.index, "beats"])
    assert (advice["advice"] == decided.loc[advice.index, "decision"]).all()
    np.testing.assert_allclose(advice["level"], decided.loc[advice.index, "stops_at"])


def test_runs_that_ended_early_teach_a_model_that_can_and_others_say_how_many_they_leave_out():
    """As successive halving leaves them: 7 complete runs, 13 ended at epoch 10, 30 at 4."""
    curves, truth = made(60)
    at, values = np.zeros(60), curves.values.copy()
    order = np.argsort(-curves.values[:50, 3])
    at[order[:7]], at[order[7:20]], at[order[20:]], at[50:] = 30, 10, 4, 6
    values[at[:, None] < EPOCHS] = np.nan
    state = np.where(at == 30, "finished", "ended")
    state[50:] = "running"
    configs = curves.configs.assign(info_state=state)
    halved = replace(curves, values=values, configs=configs)
    advice = advise(halved).set_index("run")
    assert len(advice) == 10
    error = np.abs(advice["predicted"].to_numpy() - truth[[int(r[1:]) for r in advice.index]])
    last = np.abs(values[50:, 5] - truth[50:])
    assert error.mean() < last.mean()
    assert left_out(halved) == ""
    assert left_out(halved, "ridge").startswith("ridge learns from complete runs alone: 43 ")
    assert left_out(curves, "ridge") == ""


@pytest.mark.parametrize("share", [{"level": 80}, {"level": 1}, {"level": 0}, {"promise": 90}])
def test_a_share_in_per_cent_is_refused(share):
    with pytest.raises(DataError, match=rf"{next(iter(share))} \d+ (must be )?in \(0, 1"):
        advise(made(10)[0], **share)
