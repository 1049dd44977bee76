"""Average ranks and critical differences against published numbers and scikit-posthocs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs

from curvecast import DataError
from curvecast.benchmark import comparisons, ranks
from curvecast.report.tables.accuracy import ranks_text

MakeScores = Callable[..., pd.DataFrame]


def summary_of(make_scores: MakeScores, r2: dict[tuple[str, str], float]) -> pd.DataFrame:
    return comparisons.summarise(make_scores({key: [value, value] for key, value in r2.items()}))


def test_critical_difference_is_that_of_the_textbook() -> None:
    # Demšar (2006), section 3.2.4: 4 classifiers on 14 data sets, CD = 2.569 sqrt(4·5/(6·14))
    assert ranks.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_p_values_and_groups_are_those_of_scikit_posthocs() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, 6)) + np.linspace(0, 2.0, 6)
    mean = pd.DataFrame(-scores).rank(axis=1).mean().sort_values()
    expected = scikit_posthocs.posthoc_nemenyi_friedman(-scores).to_numpy()
    order = mean.index.to_numpy()
    p = ranks.nemenyi(mean.to_numpy(), 30)
    np.testing.assert_allclose(p, expected[np.ix_(order, order)], atol=1e-6)
    groups = ranks.letters(mean.to_numpy(), ranks.critical_difference(6, 30))
    for i in range(6):
        for j in range(6):
            assert bool(set(groups[i]) & set(groups[j])) == (p[i, j] >= ranks.LEVEL)
    assert len(set(groups)) > 1


def test_letters_name_the_largest_groups() -> None:
    assert ranks.letters(np.array([1.0, 2.0, 3.0, 6.0]), 1.0) == ["a", "ab", "b", "c"]
    assert ranks.letters(np.array([1.0, 1.5, 2.0]), 5.0) == ["a", "a", "a"]


@pytest.fixture
def summary(make_scores: MakeScores) -> pd.DataFrame:
    """Seven sets of one collection: ridge wins on the first five, ols on one, nobody on one."""
    r2 = {}
    for i in range(7):
        sign = 1 if i < 5 else -1
        base = 0.05 if i == 6 else 0.5
        r2[f"lcbench/{i}", "ridge"] = base + 0.02 * sign
        r2[f"lcbench/{i}", "ols"] = base
    r2["baker/a", "ridge"], r2["baker/a", "ols"] = 0.4, 0.6
    return summary_of(make_scores, r2)


def test_ranks_are_averaged_over_the_sets_that_count(summary: pd.DataFrame) -> None:
    frame = ranks.average_ranks(summary, min_sets=5)
    mine = frame[(frame["collection"] == "lcbench") & (frame["metric"] == "R²")]
    assert list(mine["model"]) == ["ridge", "ols"]
    np.testing.assert_allclose(mine["average_rank"], [7 / 6, 11 / 6])
    assert set(mine["sets"]) == {6}
    # two models on six sets: 1.96 / sqrt(6)
    np.testing.assert_allclose(mine["critical_difference"], 0.8002, atol=1e-4)
    assert list(mine["group"]) == ["a", "a"]
    left_out = ranks.uncounted(summary)
    assert left_out[["dataset", "best_model"]].to_numpy().tolist() == [["lcbench/6", "ols"]]


def test_a_small_collection_has_ranks_but_no_critical_difference(summary: pd.DataFrame) -> None:
    frame = ranks.average_ranks(summary, min_sets=5)
    baker = frame[frame["collection"] == "baker"]
    assert list(baker["model"]) == ["ols", "ridge"] * 2
    assert baker["critical_difference"].isna().all()
    assert set(baker["group"]) == {""}
    text = ranks_text(frame, ranks.uncounted(summary))
    assert "data sets 1, no critical difference: too few data sets" in text
    assert "data sets 6, critical difference 0.80\n" in text
    assert "| lcbench/6 | 0.25 | 100 | ols | 0.05 |" in text


def test_a_collection_that_nobody_predicts_has_empty_ranks(make_scores: MakeScores) -> None:
    summary = summary_of(make_scores, {("x/a", "ols"): 0.01, ("x/a", "ridge"): np.nan})
    frame = ranks.average_ranks(summary, min_sets=1)
    assert set(frame["sets"]) == {0}
    assert frame["average_rank"].isna().all()
    assert list(ranks.uncounted(summary)["best_model"]) == [""]


def test_two_values_for_one_model_cannot_be_ranked(summary: pd.DataFrame) -> None:
    twice = pd.concat([summary, summary.assign(features="TS")])
    with pytest.raises(DataError, match="several values of ols on baker/a"):
        ranks.average_ranks(twice, min_sets=5)
