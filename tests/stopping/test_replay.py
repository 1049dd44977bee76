"""All searches of one data set: the frames that they leave."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.stopping import replay
from curvecast.stopping.hyperband import DEFAULT_HYPERBAND
from curvecast.stopping.online import OnlineSetting, search_online
from curvecast.stopping.sequential import reliability_frame

SETTINGS = [{"offset": 0}, {"offset": 0.01}, {"top_n": 10}]
RULES = {"n_full": 20, "orderings": 3, "every_epoch_up_to": 60}
PLAN = {**RULES, "deltas": [0.8, 0.99], "settings": SETTINGS}


@pytest.fixture
def curves(make_curves):
    return make_curves(90, 9, noise=0.01, seed=8, name="baker/metaqnn_svhn")


def test_the_sequential_search(curves):
    frames = replay.run("sequential", curves, PLAN, "last_value")
    outcomes = frames["outcomes"]
    assert len(outcomes) == 3 * 2 * 3
    assert set(outcomes["setting"]) == {"baker", "offset=0.01", "top10"}
    assert not outcomes["default"].any()
    assert list(frames["timings"]["repeat"]) == [0, 1, 2]
    lossless = outcomes[outcomes["lost"] == 0]
    assert (lossless["speedup"] <= lossless["oracle_speedup"]).all()


def test_traces_and_ends_agree_with_the_outcomes(curves):
    frames = replay.run("sequential", curves, PLAN, "last_value")
    shown = frames["outcomes"].query("setting == 'baker' and delta == 0.99").set_index("ordering")
    assert set(frames["traces"]["delta"]) == set(frames["ends"]["delta"]) == {0.99}
    for ordering, trace in frames["traces"].groupby("ordering"):
        assert trace["epochs"].iloc[-1] == shown.loc[ordering, "epochs"]
        assert trace["epochs"].is_monotonic_increasing
        assert trace["best"].is_monotonic_increasing
        found = trace["best"].iloc[-1]
        assert (found == curves.final.max()) == shown.loc[ordering, "exactly"]
    ends = frames["ends"]
    assert sorted(ends["run"]) == list(range(90))
    assert ends["epoch"].sum() == shown.loc[0, "epochs"]
    assert (ends["epoch"] == 9).equals(ends["finished"])
    assert list(ends["decided"]) == [False] * 20 + [True] * 70
    assert (ends["decided"] & ends["beats"]).sum() == shown.loc[0, "beating"]
    assert (ends["beats"] & ~ends["finished"]).sum() == shown.loc[0, "lost"]


def test_options_reach_the_predictor(curves):
    with pytest.raises(DataError, match="no option 'depth'"):
        replay.run("sequential", curves, PLAN, "last_value", {"depth": 3})


def test_a_model_that_learns_nothing_is_asked_once(curves):
    frames = replay.run("sequential", curves, PLAN, "lce")
    assert len(frames["timings"]) == 1
    assert len(frames["outcomes"]) == 18
    assert frames["outcomes"].groupby("ordering")["epochs"].sum().nunique() > 1


def test_rules_without_a_model(curves):
    frames = replay.run("rules", curves, RULES)
    mean = frames["outcomes"].groupby("predictor")[["speedup", "oracle_speedup", "regret"]].mean()
    assert mean.loc["none", "speedup"] == 1.0
    assert mean.loc["oracle", "regret"] == 0.0
    assert mean.loc["oracle", "speedup"] == mean.loc["oracle", "oracle_speedup"]
    assert (mean["speedup"] <= mean.loc["oracle", "speedup"]).all()
    assert set(frames["traces"]["predictor"]) == set(frames["outcomes"]["predictor"])
    assert "reliability" not in frames
    with pytest.raises(DataError, match=r"stopping\.n_full"):
        replay.run("rules", curves, {"n_full": 90})


def test_the_online_search_marks_the_fixed_setting(curves):
    fixed = OnlineSetting().delta
    frames = replay.run("online", curves, {"deltas": [0.5], "orderings": 2})
    marked = frames["outcomes"].groupby("delta")["default"].all()
    assert marked.to_dict() == {0.5: False, fixed: True}
    assert set(frames["traces"]["delta"]) == {fixed}
    assert frames["timings"]["fits"].min() >= 1
    lossless = frames["outcomes"][frames["outcomes"]["lost"] == 0]
    assert len(lossless) > 0
    assert (lossless["speedup"] <= lossless["oracle_speedup"]).all()
    other = search_online(curves, orderings=1, setting=OnlineSetting(n_full=20))
    assert not other["outcomes"]["default"].any()


def test_hyperband(curves):
    plan = {"hyperbands": 24, "settled": 18, "repeats": 2, "deltas": [0.8]}
    plan["settings"] = [{"kappa": 1.0}, {"kappa": 0.1}]
    frames = replay.run("hyperband", curves, plan, "gain_gp")
    outcomes = frames["outcomes"]
    assert len(outcomes) == 3 * 2 * 2
    assert set(outcomes["setting"]) == {"kappa=1", "kappa=0.1", DEFAULT_HYPERBAND.name}
    assert (frames["timings"]["fits"] >= 2).all()
    assert (outcomes["speedup"] <= outcomes["oracle_speedup"]).all()
    speedup = outcomes.groupby(["default", "window"])["speedup"].mean()
    assert speedup[False, "settled"] > speedup[False, "all"] > 1
    assert set(outcomes.loc[outcomes["window"] == "settled", "first"]) == {19}
    assert set(outcomes["budget"]) == {9}


def test_reliability_of_a_calibrated_predictor(make_curves):
    curves = make_curves(120, 9, noise=0.01, seed=8)
    frame = replay.run("sequential", curves, PLAN, "gain_gp")["reliability"]
    assert frame["decisions"].sum() == 3 * 100 * 8
    sure = frame[frame["low"] >= 0.9].iloc[0]
    assert sure["worse"] > 0.97
    assert (frame["probability"].between(frame["low"], frame["high"])).all()


def test_reliability_counts_worked_out_by_hand():
    pairs = [
        (np.array([0.0, 0.95, 1.0]), np.array([False, True, False])),
        (np.array([0.04]), np.array([True])),
    ]
    expected = pd.DataFrame(
        {
            "dataset": "d",
            "predictor": "p",
            "low": [0.0, 0.9],
            "high": [0.1, 1.0],
            "probability": [0.02, 0.975],
            "worse": [0.5, 0.5],
            "decisions": [2, 2],
        }
    )
    pd.testing.assert_frame_equal(reliability_frame("d", "p", pairs), expected)


@pytest.mark.parametrize("scale", [5, 1000, 10**12])
def test_searches_decide_the_same_in_any_unit_of_epochs(curves, scale):
    """Epochs 1000, 2000, ... or 1e12, 2e12, ...: the same runs end at the same values."""
    scaled = replace(curves, epochs=curves.epochs * scale)
    hyperband = {"hyperbands": 14, "settled": 7, "repeats": 1, "deltas": [0.8]}
    searches = {
        "sequential": ({**PLAN, "orderings": 1, "every_epoch_up_to": 0}, "last_value"),
        "rules": ({"n_full": 20, "orderings": 1}, ""),
        "online": ({"orderings": 1}, ""),
        "hyperband": ({**hyperband, "settings": [{"kappa": 0.5}]}, "last_value"),
    }
    in_epochs = {"epochs", "epoch", "budget"}
    for search, (plan, model) in searches.items():
        one, other = (replay.run(search, c, plan, model) for c in (curves, scaled))
        for name in set(one) - {"timings"}:
            expected, found = one[name].copy(), other[name]
            columns = [c for c in expected if c in in_epochs]
            expected[columns] = expected[columns] * scale
            if search == "rules":
                expected.loc[expected["predictor"] == "patience", "setting"] = f"{scale} epochs"
            pd.testing.assert_frame_equal(found, expected, rtol=1e-12)
