"""Studies of one data set, and the speedup tables."""

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.stopping.hyperband import HyperbandSetting
from curvecast.stopping.online import OnlineSetting
from curvecast.stopping.study import (
    DEFAULT_HYPERBAND,
    HyperbandPlan,
    SequentialPlan,
    hyperband_study,
    online_study,
    reliability,
    rules_study,
    sequential_study,
    speedup_hyperband,
    speedup_sequential,
)

PLAN = SequentialPlan(n_full=20, orderings=3, deltas=(0.8, 0.99))
PUBLISHED = pd.DataFrame(
    {
        "search": ["sequential", "sequential", "hyperband"],
        "dataset": ["metaqnn_svhn", "metaqnn_svhn", "metaqnn_svhn"],
        "method": ["last_value", "last_value top10", "kappa=1.0"],
        "delta_0.80": [3.5, 3.0, 1.8],
        "delta_0.99": [1.9, np.nan, 1.6],
        "not_recovered_or_worse_at": ["0.80 0.95", np.nan, np.nan],
    }
)


@pytest.fixture
def curves(make_curves):
    return make_curves(90, 9, noise=0.01, seed=8, name="baker/metaqnn_svhn")


def test_sequential_study_and_its_table(curves):
    outcomes, timings = sequential_study(curves, "last_value", PLAN)
    assert len(outcomes) == 3 * 2 * 3
    assert list(timings["repeat"]) == [0, 1, 2]
    table = speedup_sequential(outcomes, PUBLISHED).set_index(["setting", "delta"])
    assert len(table) == 6
    row = table.loc[("baker", 0.8)]
    assert (row["published"], row["published_recovered"]) == (3.5, False)
    assert "1300 runs" in row["note"]
    row = table.loc[("baker", 0.99)]
    assert (row["published"], row["published_recovered"]) == (1.9, True)
    assert np.isnan(table.loc[("top10", 0.99), "published"])
    assert not table["default"].any()
    assert (table["speedup_mean"] >= 1).all()
    assert table.loc[("baker", 0.8), "speedup_mean"] > table.loc[("baker", 0.99), "speedup_mean"]
    lossless = outcomes[outcomes["lost"] == 0]
    assert (lossless["speedup"] <= lossless["oracle_speedup"]).all()


def test_large_collections_are_looked_at_log_spaced_epochs():
    epochs = np.arange(51)
    assert len(SequentialPlan().looks(epochs)) == 49
    assert 10 <= len(SequentialPlan(all_up_to=0).looks(epochs)) <= 14


def test_a_model_that_learns_nothing_is_asked_once(curves):
    outcomes, timings = sequential_study(curves, "lce", PLAN)
    assert len(timings) == 1
    assert len(outcomes) == 18
    assert outcomes.groupby("ordering")["epochs"].sum().nunique() > 1


def test_rules_without_a_model(curves):
    table = speedup_sequential(rules_study(curves, PLAN)).set_index("predictor")
    assert table.loc["none", "speedup_mean"] == 1.0
    assert table.loc["oracle", "regret_mean"] == 0.0
    assert table.loc["oracle", "speedup_mean"] == table.loc["oracle", "oracle_bound"]
    assert (table["speedup_mean"] <= table.loc["oracle", "speedup_mean"]).all()
    with pytest.raises(DataError, match=r"stopping\.n_full"):
        rules_study(curves, SequentialPlan(n_full=90))


def test_online_study_marks_the_fixed_setting(curves):
    fixed = OnlineSetting().delta
    outcomes, timings = online_study(curves, [fixed, 0.5], orderings=2)
    table = speedup_sequential(outcomes)
    assert table["default"].tolist() == [False, True]
    assert table["delta"].tolist() == [0.5, fixed]
    assert timings["fits"].min() >= 1


def test_hyperband_study_and_its_table(curves):
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
    table = speedup_hyperband(outcomes, PUBLISHED)
    assert table["default"].sum() == 2
    assert (table["speedup_mean"] <= table["oracle_bound"]).all()
    settled = table[table["window"] == "settled"].set_index("default")
    every = table[table["window"] == "all"].set_index("default")
    assert (settled["first"] == 19).all()
    assert settled.loc[False, "speedup_mean"] > every.loc[False, "speedup_mean"] > 1
    assert settled.loc[False, "published"] == 1.8
    assert table["budget"].unique().tolist() == [9]


def test_reliability_of_a_calibrated_and_of_an_unsure_predictor(make_curves):
    curves = make_curves(120, 9, noise=0.01, seed=8)
    frame = reliability(curves, "gain_gp", PLAN)
    assert frame["looks"].sum() == 3 * 100 * 8
    sure = frame[frame["low"] >= 0.9].iloc[0]
    assert sure["worse"] > 0.97
    assert (frame["probability"].between(frame["low"], frame["high"])).all()
