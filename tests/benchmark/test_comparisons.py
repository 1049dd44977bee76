from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t
from statsmodels.stats.multitest import multipletests

from curvecast import DataError
from curvecast.benchmark import comparisons
from curvecast.benchmark.ranks import average
from curvecast.benchmark.scores import bootstrap
from curvecast.files import write_csv, write_parquet
from curvecast.report.tables.accuracy import r2_tables

MakeScores = Callable[..., pd.DataFrame]
NO_DRAWS = pd.DataFrame(columns=["dataset", "fraction", "tau", "n_train"])
TWO = {
    ("baker/a", "ols"): [0.5, 0.7, 0.6],
    ("baker/a", "ridge"): [0.8, 0.8, 0.9],
    ("baker/b", "ols"): [0.9, 0.9, 0.9],
    ("baker/b", "ridge"): [0.1, 0.2, 0.3],
    ("lcbench/c", "ols"): [-4.0, 0.9, 0.8],
    ("lcbench/c", "ridge"): [0.4, 0.4, 0.4],
}


def test_summary_has_exactly_the_published_columns_and_known_values(
    make_scores: MakeScores,
) -> None:
    summary = comparisons.summarise(make_scores(TWO))
    names = """dataset model features tau fraction n_train repeats r2_mean r2_se r2_median r2_min
        mse_mean mae_mean spearman_mean kendall_mean nll_mean crps_mean cover50 cover80 cover95
        width80 cover80_top exceed_top unseen"""
    assert list(summary.columns) == names.split()
    row = summary.set_index(["dataset", "model"]).loc[("lcbench/c", "ols")]
    assert row["repeats"] == 3
    assert row["r2_mean"] == pytest.approx(-2.3 / 3)
    assert row["r2_se"] == pytest.approx(np.std([-4.0, 0.9, 0.8], ddof=1) / math.sqrt(3))
    assert row["r2_median"] == 0.8
    assert row["r2_min"] == -4
    assert row["mae_mean"] == pytest.approx(1 + 2.3 / 3)


def test_one_repeat_has_no_standard_error_and_a_missing_repeat_is_seen(
    make_scores: MakeScores,
) -> None:
    summary = comparisons.summarise(make_scores({("x", "ols"): [0.5], ("x", "mean"): [0.1]}))
    assert summary["r2_se"].isna().all()
    undefined = comparisons.summarise(make_scores({("x", "ols"): [0.5, math.nan]}))
    assert math.isnan(undefined["r2_mean"][0])


def test_depth_is_a_key_of_the_summary(make_scores: MakeScores) -> None:
    both = pd.concat(
        [make_scores({("x", "ols"): [v, v]}, depth=d) for d, v in ((32, 0.8), (62, 0.9))]
    )
    summary = comparisons.summarise(both)
    assert summary[["depth", "r2_mean"]].to_numpy().tolist() == [[32, 0.8], [62, 0.9]]


def test_the_same_cell_twice_is_an_error(make_scores: MakeScores) -> None:
    with pytest.raises(DataError, match="two scores for one cell: dataset baker/a, model ols"):
        comparisons.summarise(pd.concat([make_scores(TWO)] * 2))


@pytest.mark.parametrize("sets", [["own/flat"], ["own/a", "own/flat"], ["own/partly"]])
def test_a_data_set_whose_runs_end_alike_takes_no_table_with_it(
    sets: list[str], make_scores: MakeScores
) -> None:
    """R² is not defined there; MAE is, and so are the rows of the other data sets."""
    nan = math.nan
    values = {"a": [0.5, 0.6, 0.7], "flat": [nan, nan, nan], "partly": [0.5, nan, 0.6]}
    r2 = {(name, m): values[name[4:]] for name in sets for m in ("last_value", "ols", "ridge")}
    scores = make_scores(r2).assign(mae=1.0)
    differences = comparisons.differences(scores, NO_DRAWS)
    assert set(differences.loc[differences["metric"] == "R²", "dataset"]) == {*sets} & {"own/a"}
    assert set(differences.loc[differences["metric"] == "MAE", "dataset"]) == {*sets}
    tables = r2_tables(scores, NO_DRAWS, ["own"], 2)
    averages, text = tables["averages"]
    assert (averages["datasets"] == 1).all()
    assert len(averages) == 3 * ("own/a" in sets)
    assert text.startswith("# Averages")
    assert "not defined" in tables["r2"][1]


def test_csv_bytes_do_not_depend_on_the_order_of_scores(
    tmp_path: Path, make_scores: MakeScores
) -> None:
    rng = np.random.default_rng(0)
    scores = make_scores(
        {(f"baker/{d}", m): list(rng.normal(size=7)) for d in "abc" for m in ("ols", "ridge")}
    )
    written = []
    for seed in (1, 2):
        shuffled = scores.sample(frac=1, random_state=seed)
        summary = comparisons.summarise(shuffled)
        frames = (summary, comparisons.differences(shuffled, NO_DRAWS), average(summary))
        for i, frame in enumerate(frames):
            write_csv(frame, tmp_path / f"{seed}{i}.csv")
        written.append([(tmp_path / f"{seed}{i}.csv").read_bytes() for i in range(3)])
    assert written[0] == written[1]


def test_score_files_are_read_in_a_fixed_order(tmp_path: Path, make_scores: MakeScores) -> None:
    scores = make_scores(TWO)
    paths = []
    for (dataset, model), part in scores.groupby(["dataset", "model"]):
        paths.append(tmp_path / f"{dataset}/{model}.parquet")
        write_parquet(part, paths[-1])
    one, other = comparisons.load_scores(paths), comparisons.load_scores(paths[::-1])
    pd.testing.assert_frame_equal(one, other)
    assert len(one) == len(scores)
    write_parquet(scores.drop(columns="n_test"), tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"bad\.parquet, column n_test: missing"):
        comparisons.load_scores([tmp_path / "bad.parquet"])


def test_a_cell_of_two_experiments_counts_once_as_that_of_the_main_protocol(
    tmp_path: Path, make_scores: MakeScores
) -> None:
    main = make_scores({("x/a", "ols"): [0.5, 0.6]})
    sizes = pd.concat([main.assign(r2=0.0), make_scores({("x/a", "ols"): [0.1, 0.2]}, n_train=20)])
    for name, frame in (("main", main), ("training_size", sizes)):
        write_parquet(frame.assign(experiment=name), tmp_path / f"{name}.parquet")
    summary = comparisons.summarise(comparisons.load_scores(tmp_path.iterdir()))
    assert summary.set_index("n_train")["r2_mean"].round(9).to_dict() == {20: 0.15, 100: 0.55}
    assert list(comparisons.largest(summary)["n_train"]) == [100]


# differences


def against(r2: dict[tuple[str, str], list[float]], make_scores: MakeScores) -> pd.DataFrame:
    """Rows of R² against the best model, where training sets overlap."""
    frame = comparisons.differences(make_scores(r2), NO_DRAWS)
    return frame[(frame["metric"] == "R²") & (frame["reference"] == "best")]


def test_differences_from_the_best_model_where_training_sets_overlap(
    make_scores: MakeScores,
) -> None:
    frame = against(TWO, make_scores).set_index("dataset")
    assert frame["reference_model"].to_dict() == {
        "baker/a": "ridge",
        "baker/b": "ols",
        "lcbench/c": "ridge",
    }
    row = frame.loc["baker/a"]
    assert (row["model"], row["error"]) == ("ols", "Nadeau-Bengio")
    assert row["difference"] == pytest.approx(-0.7 / 3)
    se = math.sqrt((1 / 3 + 9) * 0.01333333333333333)
    reach = student_t.ppf(0.975, 2) * se
    assert row["se"] == pytest.approx(se)
    assert [row["low"], row["high"]] == pytest.approx([-0.7 / 3 - reach, -0.7 / 3 + reach])
    assert not row["resolved"]


def test_a_clear_difference_is_resolved(make_scores: MakeScores) -> None:
    rng = np.random.default_rng(0)
    good = 0.9 + 0.001 * rng.normal(size=10)
    row = against({("x", "good"): list(good), ("x", "bad"): list(good - 0.3)}, make_scores).iloc[0]
    assert row["model"] == "bad"
    assert row["difference"] == pytest.approx(-0.3)
    assert row["resolved"]


def test_p_values_are_adjusted_for_all_comparisons_with_the_best(make_scores: MakeScores) -> None:
    rng = np.random.default_rng(1)
    best = 0.9 + 0.01 * rng.normal(size=10)
    gaps = {"far": 0.4, "near": 0.18, "nearer": 0.175}
    noise = 0.02 * rng.normal(size=(3, 10))
    scores = {("x", m): list(best - g + e) for (m, g), e in zip(gaps.items(), noise, strict=True)}
    rows = against({("x", "best"): list(best), **scores}, make_scores).set_index("model")
    by_hand = 2 * student_t.sf(np.abs(rows["difference"] / rows["se"]), 9)
    np.testing.assert_allclose(rows["p"], by_hand)
    p = np.sort(rows["p"].to_numpy())
    stepped = np.maximum.accumulate(np.minimum(p * [3, 2, 1], 1))
    np.testing.assert_allclose(np.sort(rows["p_holm"].to_numpy()), stepped)
    # each of the two alone would be resolved, both together are not
    assert rows.loc["nearer", "high"] < 0
    assert rows["resolved"].to_dict() == {"far": True, "near": False, "nearer": False}


def test_one_repeat_or_no_difference_resolves_nothing(make_scores: MakeScores) -> None:
    one = against({("x", "ols"): [0.5], ("x", "mean"): [0.1]}, make_scores)
    assert one["p_holm"].isna().all()
    assert not one["resolved"].any()
    same = against({("x", "ols"): [0.5, 0.6], ("x", "mean"): [0.5, 0.6]}, make_scores)
    assert list(same["p"]) == [1.0]


def test_differences_need_the_same_repeats(make_scores: MakeScores) -> None:
    scores = make_scores({("x", "ols"): [0.1, 0.2, 0.3], ("x", "mean"): [0.0, 0.0]})
    with pytest.raises(DataError, match="mean on TS\\+AP\\+HP has no R² in a repeat"):
        comparisons.differences(scores, NO_DRAWS)


def test_overlapping_splits_without_training_runs_have_no_error(make_scores: MakeScores) -> None:
    scores = make_scores({("x", "lce"): [0.5, 0.7], ("x", "last_value"): [0.1, 0.2]}, n_train=0)
    frame = comparisons.differences(scores, NO_DRAWS)
    assert set(frame["reference"]) == {"best", "last_value"}
    assert frame["se"].isna().all()
    assert not frame["resolved"].any()


def test_the_error_of_disjoint_sets_is_that_of_both_sources() -> None:
    gaps, drawn = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 3.0]])
    se, freedom = comparisons.standard_error(gaps, drawn, 9.0)
    assert se[0] == pytest.approx(math.sqrt(1 / 3 + 2))
    # Satterthwaite: (1/3 + 2)² / ((1/3)² / 2)
    assert freedom[0] == pytest.approx((7 / 3) ** 2 / (1 / 18))


def simulated(rng: np.random.Generator, repeats: int, n_test: int) -> pd.DataFrame:
    """Prediction rows of two models whose mean absolute errors differ by .1 in expectation.

    A training set moves all errors of the second model, and runs differ in what it loses there.
    """
    y, usual = rng.normal(size=n_test), 5 + rng.random(n_test)
    apart = 0.1 + 0.03 * rng.normal(size=repeats)[:, None] + 0.2 * rng.normal(size=n_test)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "model": model,
                    "features": "TS",
                    "n_train": 50,
                    "repeat": repeat,
                    "tau": 5,
                    "configuration": np.arange(n_test),
                    "y_true": y,
                    "y_mean": y + usual + (model == "worse") * apart[repeat],
                }
            )
            for repeat in range(repeats)
            for model in ("last_value", "worse")
        ],
        ignore_index=True,
    )


def test_intervals_of_disjoint_sets_hold_the_true_difference_as_often_as_they_promise() -> None:
    rng, repeats, n_test = np.random.default_rng(0), 10, 200
    covered, widths = [], []
    for _ in range(40):
        rows = simulated(rng, repeats, n_test)
        weights = rng.poisson(1.0, (60, n_test)).astype(float)
        names = {"dataset": "x/a", "fraction": 0.25}
        draws = pd.concat(
            [bootstrap(part, weights).assign(model=model) for model, part in rows.groupby("model")]
        )
        mae = (rows["y_mean"] - rows["y_true"]).abs()
        keys = ["model", "features", "n_train", "repeat", "tau"]
        scores = mae.groupby([rows[key] for key in keys]).mean().rename("mae").reset_index()
        scores = scores.assign(n_test=n_test, r2=0.0, **names)
        frame = comparisons.differences(scores, draws.assign(**names))
        row = frame[(frame["metric"] == "MAE") & (frame["reference"] == "last_value")].iloc[0]
        assert row["error"] == "disjoint"
        covered.append(row["low"] <= 0.1 <= row["high"])
        widths.append(row["high"] - row["low"])
    assert 0.9 <= np.mean(covered) <= 0.99
    # the true standard error is that of both sources of chance
    expected = 2 * 1.96 * math.sqrt(0.03**2 / repeats + 0.2**2 / n_test)
    assert np.mean(widths) == pytest.approx(expected, rel=0.15)


def test_errors_stand_beside_those_of_last_value(make_scores: MakeScores) -> None:
    scores = pd.concat(
        [
            make_scores({("x/a", "last_value"): [0.6, 0.8], ("x/a", "gp"): [0.9, 0.7]}, n_train=n)
            for n in (10, 100)
        ]
    )
    frame = comparisons.over_last_value(scores, NO_DRAWS).set_index(["model", "n_train"])
    assert frame.loc[("last_value", 10), "mae_ratio"] == 1
    assert frame.loc[("last_value", 10), "mae_ratio_se"] == 0
    # sums: (.1 + .3) / (.4 + .2); the residuals .1 - 2/3 · .4 and .3 - 2/3 · .2 are ∓ 1/6
    assert frame.loc[("gp", 100), "mae_ratio"] == pytest.approx(2 / 3)
    se = math.sqrt((1 / 2 + 9) * (2 / 36)) / 0.3
    assert frame.loc[("gp", 100), "mae_ratio_se"] == pytest.approx(se)
    alone = make_scores({("x/a", "gp"): [0.9, 0.7]})
    assert comparisons.over_last_value(alone, NO_DRAWS).empty


# averages


def test_averages_keep_collections_apart(make_scores: MakeScores) -> None:
    frame = average(comparisons.summarise(make_scores(TWO)))
    rows = frame.set_index(["collection", "model"])
    assert rows["datasets"].to_dict()["baker", "ols"] == 2
    assert rows.loc[("baker", "ols"), "r2_mean"] == pytest.approx((0.6 + 0.9) / 2)
    assert rows.loc[("baker", "ridge"), "r2_min"] == pytest.approx(0.2)
    assert rows.loc[("baker", "ols"), "rank_r2"] == 1.5
    assert rows.loc[("baker", "ols"), "best_on"] == 1
    assert rows.loc[("lcbench", "ridge"), "rank_r2"] == 1
    assert rows.loc[("lcbench", "ridge"), "rank_mae"] == 1


def test_averages_are_over_data_sets_that_all_models_have(make_scores: MakeScores) -> None:
    some = dict(TWO)
    del some["baker/b", "ridge"]
    rows = average(comparisons.summarise(make_scores(some))).set_index(["collection", "model"])
    assert rows.loc[("baker", "ols"), "datasets"] == 1
    assert rows.loc[("baker", "ols"), "r2_mean"] == pytest.approx(0.6)


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_holm_is_that_of_statsmodels(n: int) -> None:
    p = np.random.default_rng(n).random(n) ** 4
    p[n // 2 :] = np.round(p[n // 2 :], 1)
    expected = multipletests(p, method="holm")[1] if n else p
    np.testing.assert_array_equal(comparisons.holm(p), expected)
