"""Studies of one data set: what every search leaves behind."""

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.stopping.hyperband import HyperbandSetting
from curvecast.stopping.hyperband_study import DEFAULT_HYPERBAND, HyperbandPlan, hyperband_study
from curvecast.stopping.online import OnlineSetting
from curvecast.stopping.online_study import online_study
from curvecast.stopping.study import Reliability, SequentialPlan, rules_study, sequential_study

PLAN = SequentialPlan(n_full=20, orderings=3, deltas=(0.8, 0.99))


@pytest.fixture
def curves(make_curves):
    return make_curves(90, 9, noise=0.01, seed=8, name="baker/metaqnn_svhn")


def test_sequential_study(curves):
    study = sequential_study(curves, "last_value", PLAN)
    outcomes = study.outcomes
    assert len(outcomes) == 3 * 2 * 3
    assert set(outcomes["setting"]) == {"baker", "offset=0.01", "top10"}
    assert not outcomes["default"].any()
    assert list(study.timings["repeat"]) == [0, 1, 2]
    lossless = outcomes[outcomes["lost"] == 0]
    assert (lossless["speedup"] <= lossless["oracle_speedup"]).all()


def test_traces_and_ends_agree_with_the_outcomes(curves):
    study = sequential_study(curves, "last_value", PLAN)
    shown = study.outcomes.query("setting == 'baker' and delta == 0.99").set_index("ordering")
    assert set(study.traces["delta"]) == set(study.ends["delta"]) == {0.99}
    for ordering, trace in study.traces.groupby("ordering"):
        assert trace["epochs"].iloc[-1] == shown.loc[ordering, "epochs"]
        assert trace["epochs"].is_monotonic_increasing
        assert trace["best"].is_monotonic_increasing
        found = trace["best"].iloc[-1]
        assert (found == curves.final.max()) == shown.loc[ordering, "exactly"]
    ends = study.ends
    assert sorted(ends["run"]) == list(range(90))
    assert ends["epoch"].sum() == shown.loc[0, "epochs"]
    assert (ends["epoch"] == 9).equals(ends["finished"])
    assert list(ends["judged"]) == [False] * 20 + [True] * 70
    assert (ends["judged"] & ends["beats"]).sum() == shown.loc[0, "beating"]
    assert (ends["beats"] & ~ends["finished"]).sum() == shown.loc[0, "lost"]


def test_options_reach_the_predictor(curves):
    with pytest.raises(DataError, match="no option 'depth'"):
        sequential_study(curves, "last_value", PLAN, {"depth": 3})


def test_what_the_configuration_says_makes_the_plan():
    section = {
        "n_full": 30,
        "orderings": 2,
        "deltas": [0.9],
        "settings": [{"offset": 0}, {"offset": 0.01, "top_n": 5}],
        "every_epoch_up_to": 0,
    }
    plan = SequentialPlan.of(section)
    assert [s.name for s in plan.settings] == ["baker", "offset=0.01 top5"]
    assert (plan.settings[1].offset, plan.settings[1].top_n) == (0.01, 5)
    assert (plan.n_full, plan.orderings, plan.deltas, plan.all_up_to) == (30, 2, (0.9,), 0)
    hyperband = HyperbandPlan.of(
        {"eta": 2, "budget": 8, "deltas": [0.9], "settings": [{"kappa": 1}, {"kappa": 0.1}]}
    )
    assert hyperband.settings == (HyperbandSetting(kappa=1), HyperbandSetting(kappa=0.1))
    assert (hyperband.eta, hyperband.budget, hyperband.repeats) == (2, 8, 10)


def test_large_collections_are_looked_at_log_spaced_epochs():
    epochs = np.arange(51)
    assert len(SequentialPlan().looks(epochs)) == 49
    assert 10 <= len(SequentialPlan(all_up_to=0).looks(epochs)) <= 14


def test_a_model_that_learns_nothing_is_asked_once(curves):
    study = sequential_study(curves, "lce", PLAN)
    assert len(study.timings) == 1
    assert len(study.outcomes) == 18
    assert study.outcomes.groupby("ordering")["epochs"].sum().nunique() > 1


def test_rules_without_a_model(curves):
    study = rules_study(curves, PLAN)
    mean = study.outcomes.groupby("predictor")[["speedup", "oracle_speedup", "regret"]].mean()
    assert mean.loc["none", "speedup"] == 1.0
    assert mean.loc["oracle", "regret"] == 0.0
    assert mean.loc["oracle", "speedup"] == mean.loc["oracle", "oracle_speedup"]
    assert (mean["speedup"] <= mean.loc["oracle", "speedup"]).all()
    assert set(study.traces["predictor"]) == set(study.outcomes["predictor"])
    assert study.reliability.empty
    with pytest.raises(DataError, match=r"stopping\.n_full"):
        rules_study(curves, SequentialPlan(n_full=90))


def test_online_study_marks_the_fixed_setting(curves):
    fixed = OnlineSetting().delta
    study = online_study(curves, [0.5], orderings=2)
    marked = study.outcomes.groupby("delta")["default"].all()
    assert marked.to_dict() == {0.5: False, fixed: True}
    assert set(study.traces["delta"]) == {fixed}
    assert study.timings["fits"].min() >= 1
    lossless = study.outcomes[study.outcomes["lost"] == 0]
    assert len(lossless) > 0
    assert (lossless["speedup"] <= lossless["oracle_speedup"]).all()
    other = online_study(curves, orderings=1, setting=OnlineSetting(n_full=20))
    assert not other.outcomes["default"].any()


def test_hyperband_study(curves):
    plan = HyperbandPlan(
        hyperbands=24,
        settled=18,
        repeats=2,
        deltas=(0.8,),
        settings=(HyperbandSetting(kappa=1.0),),
    )
    outcomes, timings = hyperband_study(curves, "gain_gp", plan, DEFAULT_HYPERBAND)
    assert len(outcomes) == 2 * 2 * 2
    assert (timings["fits"] >= 2).all()
    assert (outcomes["speedup"] <= outcomes["oracle_speedup"]).all()
    speedup = outcomes.groupby(["default", "window"])["speedup"].mean()
    assert speedup[False, "settled"] > speedup[False, "all"] > 1
    assert set(outcomes.loc[outcomes["window"] == "settled", "first"]) == {19}
    assert set(outcomes["budget"]) == {9}


def test_reliability_of_a_calibrated_predictor(make_curves):
    curves = make_curves(120, 9, noise=0.01, seed=8)
    frame = sequential_study(curves, "gain_gp", PLAN).reliability
    assert frame["looks"].sum() == 3 * 100 * 8
    sure = frame[frame["low"] >= 0.9].iloc[0]
    assert sure["worse"] > 0.97
    assert (frame["probability"].between(frame["low"], frame["high"])).all()


def test_reliability_counts_worked_out_by_hand():
    reliability = Reliability()
    reliability.add(np.array([0.0, 0.95, 1.0]), np.array([False, True, False]))
    reliability.add(np.array([0.04]), np.array([True]))
    expected = pd.DataFrame(
        {
            "dataset": "d",
            "predictor": "p",
            "low": [0.0, 0.9],
            "high": [0.1, 1.0],
            "probability": [0.02, 0.975],
            "worse": [0.5, 0.5],
            "looks": [2, 2],
        }
    )
    pd.testing.assert_frame_equal(reliability.frame("d", "p"), expected)
