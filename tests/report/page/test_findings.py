"""Findings say what the tables hold."""

from __future__ import annotations

import pandas as pd
import pytest

from curvecast.report.page.findings import findings


@pytest.fixture
def r2() -> pd.DataFrame:
    rows = [
        # dataset, model, fraction, r2, se, cover80
        ("mine/a", "last_value", 0.25, 0.50, 0.01, 0.8),
        ("mine/b", "last_value", 0.25, 0.70, 0.01, 0.8),
        ("mine/a", "ols", 0.25, 0.80, 0.02, 0.60),
        ("mine/b", "ols", 0.25, 0.90, 0.02, 0.64),
        ("mine/a", "gp", 0.25, 0.60, 0.02, 0.78),
        ("mine/b", "gp", 0.25, 0.65, 0.02, 0.86),
        ("mine/a", "ols", 0.1, 0.40, 0.02, 0.5),
        ("mine/b", "ols", 0.1, 0.50, 0.02, 0.5),
    ]
    columns = ["dataset", "model", "fraction", "r2_mean", "r2_se", "cover80"]
    return pd.DataFrame(rows, columns=columns).assign(n_train=100)


def test_the_best_model_stands_beside_the_last_value(r2: pd.DataFrame) -> None:
    first = findings({"r2": r2}, 0.25)[0]
    assert first[0] == "R² 0.85"
    assert "`ols` reaches R² 0.85 (median of 2 data sets, 0.80 to 0.90)" in first[1]
    assert "the last value seen, 0.60 (median of 2 data sets, 0.50 to 0.70)" in first[1]
    assert first[2] == "accuracy"


def test_where_the_ensemble_loses_stands_first(r2: pd.DataFrame) -> None:
    rows = [("mine/a", -0.1, True), ("mine/b", 0.02, False), ("mine/c", 0.3, True)]
    frame = pd.DataFrame(rows, columns=["dataset", "difference", "resolved"]).assign(
        model="ensemble", reference="last_value", metric="MAE", mean=0.1, reference_mean=0.2,
        fraction=0.25, n_train=100,
    )  # fmt: skip
    noise = [frame.assign(model="gp"), frame.assign(metric="R²"), frame.assign(n_train=10)]
    first = findings({"r2": r2, "differences": pd.concat([frame, *noise])}, 0.25)[0]
    assert first[0] == "2 of 3"
    assert "`ensemble` loses to the last value seen" in first[1]
    assert "(mine/b, mine/c); the difference is resolved on 1 of them" in first[1]
    assert first[1].endswith("Its lead is resolved on 1.")
    ahead = findings({"differences": frame[:1]}, 0.25)[0]
    assert ahead[0] == "0 of 1"
    assert ahead[1].endswith("after 25 % of a run. Its lead is resolved on 1.")


def test_without_an_ensemble_the_best_is_chosen_by_ratios_that_have_no_unit() -> None:
    rows = [
        # data set, model, its MAE, that of the last value: the perplexities of b are large
        ("mine/a", "gp", 0.01, 0.1), ("mine/b", "gp", 9.0, 10.0), ("mine/c", "gp", 0.1, 0.5),
        ("mine/a", "ols", 0.2, 0.1), ("mine/b", "ols", 5.0, 10.0), ("mine/c", "ols", 0.6, 0.5),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["dataset", "model", "mean", "reference_mean"])
    frame = frame.assign(
        difference=frame["mean"] - frame["reference_mean"], resolved=True, metric="MAE",
        reference="last_value", fraction=0.25, n_train=100,
    )  # fmt: skip
    key, text, _ = findings({"differences": frame}, 0.25)[0]
    assert (key, "`gp` loses" in text) == ("0 of 3", True)
    exact = frame.assign(mean=0.0, reference_mean=0.0, difference=0.0, resolved=False)
    assert findings({"differences": exact}, 0.25)[0][0] == "3 of 3"


def test_few_runs_name_the_best_by_their_number() -> None:
    rows = [(0, "lce", 0.9), (0, "last_value", 1.0), (10, "gp", 0.6), (10, "lce", 0.8)]
    frame = pd.DataFrame(rows, columns=["n_train", "model", "mae_ratio"])
    finding = findings({"training_size": frame.assign(dataset="x/a", fraction=0.25)}, 0.25)[0]
    assert finding[0] == "0.60 with 10"
    assert "**x**: 0.90 with none (`lce`), 0.60 with 10 (`gp`)" in finding[1]


def test_an_exact_last_value_leaves_no_ratio_to_show() -> None:
    rows = [(0, "lce", float("nan")), (10, "gp", float("inf")), (10, "lce", float("nan"))]
    frame = pd.DataFrame(rows, columns=["n_train", "model", "mae_ratio"])
    exact = frame.assign(dataset="x/a", fraction=0.25)
    assert findings({"training_size": exact}, 0.25) == []
    known = exact.assign(dataset="x/b", mae_ratio=0.5)[1:2]
    finding = findings({"training_size": pd.concat([exact, known])}, 0.25)[0]
    assert (finding[0], "0.50 with 10 (`gp`)" in finding[1]) == ("0.50 with 10", True)


def test_a_single_data_set_has_a_standard_error(r2: pd.DataFrame) -> None:
    first = findings({"r2": r2[r2["dataset"] == "mine/a"]}, 0.25)[0]
    assert "`ols` reaches R² 0.800 ± 0.020" in first[1]


def test_calibration_names_the_closest_and_the_farthest(r2: pd.DataFrame) -> None:
    found = {f[2]: f for f in findings({"r2": r2[r2["fraction"] == 0.25]}, 0.25)}
    finding = found["calibration"]
    assert finding[0] == "82 %"
    assert "`gp` (78 % to 86 % by data set)" in finding[1]
    assert "`ols` with 62 % (60 % to 64 % by data set)" in finding[1]


def test_ablation_compares_curve_and_settings() -> None:
    ablation = pd.DataFrame(
        {
            "dataset": "mine/a",
            "model": "ols",
            "fraction": 0.25,
            "n_train": 100,
            "features": ["TS", "AP+HP", "TS+AP+HP"],
            "r2_mean": [0.8, 0.3, 0.85],
            "r2_se": [0.01, 0.02, 0.03],
        }
    )
    finding = findings({"ablation": ablation}, 0.25)[0]
    assert finding[0] == "0.80 against 0.30"
    assert (
        "curve alone, 0.800 ± 0.010, and of the settings alone (AP+HP), 0.300 ± 0.020"
        in (finding[1])
    )
    assert "Together (TS+AP+HP): 0.850 ± 0.030." in finding[1]


def test_searches_are_compared_with_their_interval() -> None:
    paired = pd.DataFrame(
        {
            "optimizer": "bohb",
            "other": ["hyperband", "random"],
            "studies": [3, 3],
            "seeds": [5, 5],
            "difference": [-0.01, -0.02],
            "low": [-0.05, -0.03],
            "high": [0.03, -0.01],
        }
    )
    finding = findings({"study_comparison": paired}, 0.25)[0]
    assert finding[0] == "-0.020"
    assert "BOHB and random search" in finding[1]
    assert "95 % interval -0.030 to -0.010 over data sets; 3 data sets, 5 seeds" in finding[1]


def test_a_single_data_set_shows_the_spread_over_seeds() -> None:
    paired = pd.DataFrame(
        {"optimizer": "bohb", "other": ["random"], "studies": [1], "seeds": [5]}
        | {"difference": [-0.02], "low": [float("nan")], "high": [float("nan")]}
    )
    regrets = pd.DataFrame(
        {
            # On a second data set there was no random search.
            "study": ["a", "a", "a", "b"],
            "optimizer": ["bohb", "bohb", "random", "bohb"],
            "share": [0.5, 1.0, 1.0, 1.0],
            "regret": [0.2, 0.03, 0.05, 0.5],
            "low": [0.1, 0.02, 0.04, 0.4],
            "high": [0.3, 0.04, 0.06, 0.6],
        }
    )
    finding = findings({"study_comparison": paired, "study_regret": regrets}, 0.25)[0]
    assert "(BOHB 0.030, 95 % interval over seeds 0.020 to 0.040; random 0.050, " in finding[1]
    paired, single = paired.assign(seeds=1), regrets.assign(low=float("nan"), high=float("nan"))
    finding = findings({"study_comparison": paired, "study_regret": single}, 0.25)[0]
    assert "(BOHB 0.030; random 0.050; one data set, 1 seed; 0 is" in finding[1]
    apart = paired.assign(studies=0, difference=float("nan"))
    assert findings({"study_comparison": apart, "study_regret": regrets}, 0.25) == []


def test_speedups_are_those_of_the_fixed_setting() -> None:
    rows = [("a", False, 9.0, 8.0, 10.0, 0.0), ("a", True, 3.0, 2.5, 3.5, 0.02)]
    columns = ["dataset", "default", "speedup", "speedup_low", "speedup_high", "regret_mean"]
    frame = pd.DataFrame(rows, columns=columns).assign(recovered=8, orderings=10)
    hyperband = pd.DataFrame(rows, columns=columns).assign(
        window=["settled", "all"], loss_relative_mean=[0.5, 0.01]
    )
    found = findings({"speedup_sequential": frame, "speedup_hyperband": hyperband}, 0.25)[0]
    assert found[0] == "3.0 times"
    assert "3.00 (95 % interval 2.50 to 3.50) times" in found[1]
    assert (
        "recovers the best run in 8 of 10 searches (regret at most 0.005); its regret is 0.020"
        in found[1]
    )
    assert found[1].endswith(
        "Inside Hyperband: 3.00 (95 % interval 2.50 to 3.50) times, relative loss 0.010."
    )
    more = pd.concat([frame, frame.assign(dataset="b", speedup=[9.0, 5.0])])
    assert (
        "4.00 (median of 2 data sets, 3.00 to 5.00) times"
        in (findings({"speedup_sequential": more}, 0.25)[0][1])
    )


def test_published_figures_are_counted() -> None:
    published = pd.DataFrame(
        {
            "difference": [0.0, 0.01, -0.2, 0.3, 0.3],
            "beyond_2se": [False, False, True, True, True],
            "counts": [True, True, True, True, False],
        }
    )
    finding = findings({"published": published}, 0.25)[0]
    assert finding[0] == "2 of 4"
    assert "1 of the others are higher than ours, 1 lower" in finding[1]


def test_no_table_no_finding(r2: pd.DataFrame) -> None:
    assert findings({}, 0.25) == []
    assert findings({"r2": r2.iloc[:0]}, 0.25) == []
    assert len(findings({"r2": r2}, 0.25, most=1)) == 1
