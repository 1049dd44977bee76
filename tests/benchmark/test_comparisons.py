from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student_t

from curvecast import DataError
from curvecast.benchmark import comparisons
from curvecast.files import write_csv, write_parquet

MakeScores = Callable[..., pd.DataFrame]
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
        width80"""
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


def test_scores_of_two_experiments_are_not_averaged(make_scores: MakeScores) -> None:
    ablation = make_scores(TWO).assign(experiment="ablation")
    with pytest.raises(DataError, match="several experiments"):
        comparisons.summarise(pd.concat([make_scores(TWO), ablation]))


def test_the_same_cell_twice_is_an_error(make_scores: MakeScores) -> None:
    with pytest.raises(DataError, match="two scores for one cell: dataset baker/a, model ols"):
        comparisons.summarise(pd.concat([make_scores(TWO)] * 2))


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
        frames = (summary, comparisons.differences(shuffled), comparisons.averages(summary))
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


# differences


def test_differences_from_the_best_model(make_scores: MakeScores) -> None:
    frame = comparisons.differences(make_scores(TWO)).set_index("dataset")
    assert frame["best_model"].to_dict() == {
        "baker/a": "ridge",
        "baker/b": "ols",
        "lcbench/c": "ridge",
    }
    row = frame.loc["baker/a"]
    assert row["model"] == "ols"
    assert row["difference"] == pytest.approx(-0.7 / 3)
    se = math.sqrt((1 / 3 + 9) * 0.01333333333333333)
    reach = student_t.ppf(0.975, 2) * se
    assert row["se"] == pytest.approx(se)
    assert [row["low"], row["high"]] == pytest.approx([-0.7 / 3 - reach, -0.7 / 3 + reach])
    assert not row["resolved"]


def test_a_clear_difference_is_resolved(make_scores: MakeScores) -> None:
    rng = np.random.default_rng(0)
    good = 0.9 + 0.001 * rng.normal(size=10)
    scores = make_scores({("x", "good"): list(good), ("x", "bad"): list(good - 0.3)})
    row = comparisons.differences(scores).iloc[0]
    assert row["model"] == "bad"
    assert row["difference"] == pytest.approx(-0.3)
    assert row["resolved"]


def test_p_values_are_adjusted_for_all_comparisons_with_the_best(make_scores: MakeScores) -> None:
    rng = np.random.default_rng(1)
    best = 0.9 + 0.01 * rng.normal(size=10)
    gaps = {"far": 0.4, "near": 0.18, "nearer": 0.175}
    noise = 0.02 * rng.normal(size=(3, 10))
    scores = {("x", m): list(best - g + e) for (m, g), e in zip(gaps.items(), noise, strict=True)}
    frame = comparisons.differences(make_scores({("x", "best"): list(best), **scores}))
    rows = frame.set_index("model")
    by_hand = 2 * student_t.sf(np.abs(rows["difference"] / rows["se"]), 9)
    np.testing.assert_allclose(rows["p"], by_hand)
    p = np.sort(rows["p"].to_numpy())
    stepped = np.maximum.accumulate(np.minimum(p * [3, 2, 1], 1))
    np.testing.assert_allclose(np.sort(rows["p_holm"].to_numpy()), stepped)
    # each of the two alone would be resolved, both together are not
    assert rows.loc["nearer", "high"] < 0
    assert rows["resolved"].to_dict() == {"far": True, "near": False, "nearer": False}


def test_one_repeat_or_no_difference_resolves_nothing(make_scores: MakeScores) -> None:
    one = comparisons.differences(make_scores({("x", "ols"): [0.5], ("x", "mean"): [0.1]}))
    assert one["p_holm"].isna().all()
    assert not one["resolved"].any()
    same = comparisons.differences(
        make_scores({("x", "ols"): [0.5, 0.6], ("x", "mean"): [0.5, 0.6]})
    )
    assert list(same["p"]) == [1.0]


def test_differences_need_the_same_repeats(make_scores: MakeScores) -> None:
    scores = make_scores({("x", "ols"): [0.1, 0.2, 0.3], ("x", "mean"): [0.0, 0.0]})
    with pytest.raises(DataError, match="mean on TS\\+AP\\+HP has no R² in a repeat"):
        comparisons.differences(scores)


# averages


def test_averages_keep_collections_apart(make_scores: MakeScores) -> None:
    frame = comparisons.averages(comparisons.summarise(make_scores(TWO)))
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
    rows = comparisons.averages(comparisons.summarise(make_scores(some))).set_index(
        ["collection", "model"]
    )
    assert rows.loc[("baker", "ols"), "datasets"] == 1
    assert rows.loc[("baker", "ols"), "r2_mean"] == pytest.approx(0.6)
