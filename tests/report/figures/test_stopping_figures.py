"""Figures of early stopping: what they show, worked out from small searches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from curvecast.report.figures import stopping
from curvecast.report.tables import speedups as tables
from curvecast.stopping.replay import run

RULES = {"n_full": 20, "orderings": 2}
PLAN = {**RULES, "deltas": [0.8, 0.95], "settings": [{}, {"offset": 0.01}, {"top_n": 10}]}


@pytest.fixture
def curves(make_curves):
    return make_curves(60, 9, noise=0.01, seed=8, name="mine/a")


@pytest.fixture
def studies(curves):
    return [run("sequential", curves, PLAN, "last_value"), run("rules", curves, RULES)]


def table_of(studies, **columns):
    outcomes = pd.concat([study["outcomes"] for study in studies]).assign(**columns)
    return tables.speedup_sequential(outcomes)


def test_tradeoff_has_a_line_over_delta_and_the_bound(studies):
    table = table_of(studies)
    traces = pd.concat([study["traces"] for study in studies])
    figure = stopping.tradeoff(table, traces, "mine")
    (axis,) = [axis for axis in figure.axes if axis.get_visible()]
    rows = table[(table["predictor"] == "last_value") & (table["setting"] == "baker")]
    drawn = [line.get_xydata().tolist() for line in axis.lines]
    assert rows[["regret_mean", "speedup"]].to_numpy().tolist() in drawn
    bound = table.loc[table["predictor"] == "oracle", "speedup"].item()
    assert list(axis.lines[0].get_ydata()) == [bound, bound]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["last_value", "median", "successive halving", "patience", "bound"]
    assert axis.get_yscale() == "log"  # the bound of the online search is several times the other
    assert axis.get_xlim()[0] < 0 <= rows["regret_mean"].max() < axis.get_xlim()[1]


def test_an_infinite_regret_has_no_place_on_the_axis(studies):
    traces = pd.DataFrame({"setting": ["baker", "limit"]})
    figure = stopping.tradeoff(table_of(studies).assign(regret_mean=np.inf), traces, "mine")
    assert np.isfinite(figure.axes[0].get_xlim()).all()


def test_every_data_set_has_a_panel(studies):
    table = pd.concat([table_of(studies, dataset=f"mine/{i}") for i in range(10)])
    figure = stopping.tradeoff(table, pd.DataFrame({"setting": ["baker", "limit"]}), "mine")
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]
    assert titles == ["mean over 10 data sets", *(str(i) for i in range(10))]
    mean, first = (axis.lines[1].get_xydata() for axis in figure.axes[:2])
    np.testing.assert_allclose(mean, first)


def test_mean_course_worked_out_by_hand():
    traces = pd.DataFrame(
        {
            "ordering": [0, 0, 0, 1, 1],
            "epochs": [10, 20, 100, 10, 80],
            "best": [0.1, 0.5, 0.5, 0.3, 0.3],
        }
    )
    used, best = stopping.course(traces, n_points=50)
    assert (used[0], used[-1]) == (pytest.approx(10), pytest.approx(90))
    assert best[0] == pytest.approx(0.2)
    assert best[-1] == pytest.approx(0.4)
    assert set(np.round(best, 3)) == {0.2, 0.4}


def test_a_course_starts_where_every_search_has_a_finished_run():
    traces = pd.DataFrame(
        {"ordering": [0, 1, 1], "epochs": [10, 5, 30], "best": [1.0, -np.inf, 2.0]}
    )
    used, best = stopping.course(traces)
    assert used[0] == pytest.approx(30)
    assert (best == 1.5).all()


def test_best_value_ends_at_the_share_of_epochs_that_was_used(studies):
    traces = pd.concat([study["traces"] for study in studies])
    figure = stopping.best_value(traces)
    ends = [line.get_xdata()[-1] for line in figure.axes[0].lines if line.get_marker() != "None"]
    assert len(ends) == 6
    assert max(ends) == pytest.approx(1)
    assert min(ends) > 0.1


def test_reliability_draws_probability_against_what_came_true(studies):
    frame = studies[0]["reliability"]
    figure = stopping.reliability(frame)
    line = figure.axes[0].lines[1]
    assert line.get_xydata().tolist() == frame[["probability", "worse"]].to_numpy().tolist()


def test_hyperband_marks_the_fixed_setting(curves):
    plan = {"budget": 9, "hyperbands": 12, "settled": 8, "repeats": 2, "deltas": [0.8]}
    plan["settings"] = [{"kappa": 1}]
    outcomes = run("hyperband", curves, plan, "last_value")["outcomes"]
    outcomes = outcomes[outcomes["setting"] == "kappa=1"]
    fixed = outcomes.assign(default=True, setting="fixed")
    table = tables.speedup_hyperband(pd.concat([outcomes, fixed]))
    figure = stopping.hyperband(table, "mine")
    star = figure.axes[0].lines[-1]
    assert star.get_marker() == "*"
    settled = table[table["window"] == "settled"]
    assert star.get_ydata().tolist() == settled.loc[settled["default"], "speedup"].tolist()
    assert star.get_ydata()[0] < settled["oracle_bound"].iloc[0] <= figure.axes[0].get_ylim()[1]


def test_fates_of_runs():
    ends = pd.DataFrame(
        {
            "decided": [False, True, True, True, True, False],
            "finished": [True, True, False, False, True, False],
            "beats": [True, False, False, True, True, False],
        }
    )
    lost = "stopped, would have been the new best"
    whole = ["not stopped", "not stopped"]
    assert stopping.fate(ends).tolist() == [*whole, "stopped", lost, *whole]


def test_curves_are_drawn_as_far_as_they_were_trained(curves, studies):
    ends = studies[0]["ends"]
    figure = stopping.stopped(curves, ends)
    left, right = figure.axes[:2]
    lengths = [
        len(path.vertices)
        for found in left.collections
        if isinstance(found, LineCollection)
        for path in found.get_paths()
    ]
    assert sorted(lengths) == sorted(ends["epoch"])
    assert sum(len(line.get_xdata()) for line in right.lines) == 60
    assert left.get_title(loc="left") == "last_value, Delta 0.95"
