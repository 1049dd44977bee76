from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from curvecast import DataError
from curvecast.benchmark import comparisons
from curvecast.report.figures import accuracy, style

MakeScores = Callable[..., pd.DataFrame]
FRACTIONS = (0.1, 0.25, 0.5)


@pytest.fixture
def scores(make_scores: MakeScores) -> pd.DataFrame:
    return pd.concat(
        [
            make_scores(
                {
                    ("baker/a", "ols"): [f, f + 0.2],
                    ("baker/a", "last_value"): [-5.0, -5.0 + 11 * f],
                    ("baker/b", "ols"): [0.9, 0.9],
                },
                fraction=f,
                tau=int(20 * f),
            )
            for f in FRACTIONS
        ],
        ignore_index=True,
    )


def published_at(dataset: str, model: str, value: float) -> pd.DataFrame:
    row = {"dataset": dataset, "model": model, "features": "TS+AP+HP", "fraction": 0.25}
    return pd.DataFrame([{**row, "depth": np.nan, "n_train": 100, "r2": value}])


NONE = published_at("", "", 0.0)[:0]


def legend_texts(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_panel_per_data_set_and_a_line_of_means_per_model(scores: pd.DataFrame) -> None:
    figure = accuracy.r2(scores, NONE)
    first, second = (axis for axis in figure.axes if axis.get_visible())
    assert [first.get_title(loc="left"), second.get_title(loc="left")] == ["a", "b"]
    lines = {line.get_color(): line for line in first.lines if line.get_linestyle() != "None"}
    ols = lines[style.ORANGE]
    assert ols.get_xdata().tolist() == list(FRACTIONS)
    np.testing.assert_allclose(ols.get_ydata(), [0.2, 0.35, 0.6])
    assert second.get_xlabel() == "fraction of the curve seen"


def test_heavy_tails_are_marked_and_explained(scores: pd.DataFrame) -> None:
    figure = accuracy.r2(scores, NONE)
    assert "below the axis" in legend_texts(figure)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "v"]
    assert [x for line in marks for x in line.get_xdata()] == list(FRACTIONS)
    assert figure.axes[0].get_ylim()[0] > -0.5
    calm = scores[scores["model"] == "ols"]
    assert "below the axis" not in legend_texts(accuracy.r2(calm, NONE))


def test_published_points_are_drawn_where_they_belong(scores: pd.DataFrame) -> None:
    figure = accuracy.r2(scores, published_at("baker/b", "ols", 0.77))
    assert "published (hollow, larger)" in legend_texts(figure)
    hollow = [line for line in figure.axes[1].lines if line.get_markerfacecolor() == "none"]
    assert [list(line.get_ydata()) for line in hollow] == [[0.77]]
    assert not [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    others = accuracy.r2(scores, published_at("baker/b", "lcnet", 0.77))
    assert "published (hollow, larger)" not in legend_texts(others)


def test_many_data_sets_become_small_multiples(make_scores: MakeScores) -> None:
    many = make_scores({(f"lcbench/{i:02d}", "ols"): [0.1, 0.2] for i in range(35)})
    figure = accuracy.r2(many, NONE)
    assert sum(axis.get_visible() for axis in figure.axes) == 35
    assert figure.get_size_inches()[1] < 12


def test_one_figure_shows_one_protocol(scores: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"two values for ols on baker/a at fraction 0\.1"):
        accuracy.r2(pd.concat([scores, scores.assign(n_train=50)]), NONE)


def test_training_sizes() -> None:
    rows = [
        (name, model, n, ratio * scale)
        for name, scale in (("x/a", 1.0), ("x/b", 0.5), ("y", 1.0))
        for model, n, ratio in (("gp", 10, 0.8), ("gp", 100, 0.4), ("ensemble", 0, 0.9))
    ]
    sizes = pd.DataFrame(rows, columns=["dataset", "model", "n_train", "mae_ratio"])
    sizes = sizes.assign(fraction=0.25, mae_ratio_se=0.1)
    figure = accuracy.training_size(sizes, 0.25)
    first, second = (axis for axis in figure.axes if axis.get_visible())
    assert [t.get_text() for t in first.get_xticklabels()] == ["0", "10", "100"]
    np.testing.assert_allclose(first.lines[1].get_ydata(), [0.6, 0.3])
    bars = [[y for _, y in segment] for segment in second.collections[0].get_segments()]
    np.testing.assert_allclose(bars, [[0.7, 0.9], [0.3, 0.5]])
    assert legend_texts(figure) == ["gp", "ensemble"]


def test_sizes_without_last_value_have_nothing_to_compare_with(make_scores: MakeScores) -> None:
    scores = make_scores({("mine", "ols"): [0.5, 0.6]})
    draws = pd.DataFrame(columns=["dataset", "fraction", "tau", "n_train"])
    figure = accuracy.training_size(comparisons.over_last_value(scores, draws), 0.25)
    assert figure.axes[0].get_title(loc="left") == "nothing to compare with: no model last_value"


def test_ablation_bars(make_scores: MakeScores) -> None:
    scores = pd.concat(
        [
            make_scores({("baker/a", "nusvr_rbf"): [v, v], ("baker/a", "ols"): [-9.0, -9.0]})
            .assign(features=f)
            .reset_index(drop=True)
            for f, v in (("HP", 0.1), ("TS", 0.5), ("TS+AP+HP", 0.7))
        ]
    )
    theirs = published_at("baker/a", "nusvr", 0.66).assign(features="TS")
    figure = accuracy.ablation(scores, theirs, 0.25)
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["TS", "HP", "TS+AP+HP"]
    heights = [bar.get_height() for bar in axis.patches]
    assert heights == pytest.approx([-0.25, -0.25, -0.25, 0.5, 0.1, 0.7])
    diamond = next(line for line in axis.lines if line.get_marker() == "D")
    assert (list(diamond.get_xdata()), list(diamond.get_ydata())) == ([0], [0.66])
    assert legend_texts(figure) == ["ols", "nusvr_rbf", "published", "below the axis"]


def test_distribution_counts_what_is_below_the_axis(make_scores: MakeScores) -> None:
    values = {(f"lcbench/{i}", "ols"): [v, v] for i, v in enumerate((-3.0, 0.2, 0.4, 0.6, 0.8))}
    figure = accuracy.spread(make_scores(values))
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["1 ◂"]
    points = next(line for line in axis.lines if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_xdata(), [0.2, 0.4, 0.6, 0.8])
    median = next(line for line in axis.lines if line.get_marker() == "None")
    np.testing.assert_allclose(median.get_xdata(), [0.4, 0.4])


def test_coverage_is_the_mean_over_data_sets(make_scores: MakeScores) -> None:
    scores = pd.concat(
        [
            make_scores({("baker/a", "ols"): [0.5, 0.5]}, cover50=0.4, cover80=0.7, cover95=0.9),
            make_scores({("baker/b", "ols"): [0.5, 0.5]}, cover50=0.6, cover80=0.9, cover95=1.0),
        ]
    )
    figure = accuracy.coverage(comparisons.summarise(scores))
    observed = [list(axis.lines[1].get_ydata()) for axis in figure.axes]
    np.testing.assert_allclose(observed, [[0.5], [0.8], [0.95]])
    nominal = [axis.lines[0].get_ydata()[0] for axis in figure.axes]
    assert nominal == [0.5, 0.8, 0.95]


def test_reliability_has_the_nominal_levels_against_what_was_covered(
    make_scores: MakeScores,
) -> None:
    covers = {"cover50": 0.4, "cover80": 0.8, "cover90": 0.9, "cover95": 0.97, "cover99": 1.0}
    scores = make_scores({("a", "ols"): [0.5, 0.6], ("b", "ols"): [0.5, 0.6]}, **covers)
    scores.loc[scores["dataset"] == "b", "cover50"] = 0.6
    figure = accuracy.reliability(scores)
    (axis,) = [a for a in figure.axes if a.get_visible()]
    line = axis.lines[1]
    np.testing.assert_allclose(2 * ndtr(line.get_xdata()) - 1, [0.5, 0.8, 0.9, 0.95, 0.99])
    # what covers everything is drawn at 99.9 %
    np.testing.assert_allclose(2 * ndtr(line.get_ydata()) - 1, [0.5, 0.8, 0.9, 0.97, 0.999])


COLUMNS = "collection fraction n_train metric model average_rank sets critical_difference group"


def ranks(gap: float) -> pd.DataFrame:
    rows = [
        ("lcbench", fraction, 100, metric, model, rank, 35, gap, group)
        for fraction in (0.25, 0.5)
        for metric in ("R²", "MAE")
        for model, rank, group in (("ols", 1.2, "a"), ("ridge", 1.3, "a"), ("mean", 3.0, "b"))
    ]
    return pd.DataFrame(rows, columns=COLUMNS.split())


def test_every_model_stands_at_its_rank_in_every_panel() -> None:
    figure = accuracy.ranks(ranks(0.56), "lcbench")
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in axes] == [
        "R² at 25 %, 35 data sets",
        "MAE at 25 %, 35 data sets",
        "R² at 50 %, 35 data sets",
        "MAE at 50 %, 35 data sets",
    ]
    for axis in axes:
        texts = {text.get_text() for text in axis.texts}
        assert {"ols (1.2)", "ridge (1.3)", "(3.0) mean"} <= texts
        drawn = np.sort(np.concatenate([c.get_offsets()[:, 0] for c in axis.collections]))
        np.testing.assert_allclose(drawn, [1.2, 1.3, 3.0])


def test_data_sets_with_fewer_training_runs_have_panels_of_their_own() -> None:
    frame = pd.concat([ranks(0.56), ranks(0.9).assign(n_train=40, sets=5)])
    figure = accuracy.ranks(frame[frame["fraction"] == 0.25], "lcbench")
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in axes] == [
        "R² at 25 %, 40 training runs, 5 data sets",
        "MAE at 25 %, 40 training runs, 5 data sets",
        "R² at 25 %, 100 training runs, 35 data sets",
        "MAE at 25 %, 100 training runs, 35 data sets",
    ]
    assert all(len(axis.collections) == 3 for axis in axes)


def test_a_panel_with_too_few_sets_says_so() -> None:
    figure = accuracy.ranks(ranks(np.nan), "lcbench")
    texts = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert texts == {"too few data sets"}


def test_axis_of_r2_ignores_heavy_tails() -> None:
    y = np.array([-5.0, 0.4, 0.9, np.nan])
    assert accuracy.r2_end(y) == -0.25
    assert accuracy.r2_end(np.array([0.9, 0.95])) == pytest.approx(0.895)
    assert accuracy.r2_end(y[3:]) == pytest.approx(-0.05)
    _, (axis,) = style.panels([""], columns=1)
    assert accuracy.below_axis(axis, np.arange(4.0), y, -0.25, style.BLUE)
    (markers,) = axis.lines
    assert markers.get_xydata().tolist() == [[0, -0.25]]
    assert not accuracy.below_axis(axis, np.arange(2.0), y[1:3], -0.25, style.BLUE)
