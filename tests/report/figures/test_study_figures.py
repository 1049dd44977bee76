from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet
from curvecast.files import write_parquet
from curvecast.report.figures import studies
from curvecast.report.making import make
from curvecast.report.tables import studies as markdown


def evaluations(n: int = 40) -> pd.DataFrame:
    """Loss |log lr + 3| on two budgets, one second each, one after the other; two seeds."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(2):
        for i in range(n):
            lr, noise = 10 ** rng.uniform(-5, -1), float(rng.uniform())
            config = {"lr": lr, "noise": noise, "kind": "ab"[i % 2]}
            config |= {"momentum": noise} if i % 2 else {}
            for budget in (1.0, 3.0) if i % 2 else (1.0,):
                t = float(len(rows))
                rows.append(
                    {
                        "study": "s", "optimizer": "bohb", "seed": seed,
                        "configuration": f"0-0-{i}", "bracket": 0, "budget": budget,
                        "loss": abs(np.log10(lr) + 3) / budget,
                        "reason": None, "model_based": i >= n // 2, "cost": budget,
                        "trained": budget, "started": 100 + t, "finished": 101 + t,
                        "stopped": np.nan, "validation": 0.9, "test": 0.8, "row": np.nan,
                        "distance": np.nan, "config": json.dumps(config),
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["used"] = frame.groupby("seed")["cost"].cumsum()
    return frame


def test_all_figures_of_a_study_are_drawn(tmp_path: Path) -> None:
    frame = evaluations()
    frame.loc[2, "loss"] = np.inf
    names = [
        "origin",
        "losses_over_time",
        "incumbent",
        "concurrency",
        "rank_correlation",
        "importance",
    ]
    write_parquet(frame, tmp_path / "0.parquet")
    figures = make(
        "figure", "study", names, {"evaluations": [tmp_path / "0.parquet"], "code": "-"}, {}
    )
    assert list(figures) == names
    texts = [(a.get_title(loc="left"), a.texts[0].get_text()) for a in figures["origin"].axes]
    assert texts == [
        ("budget 1", "40 model-based\n40 random"),
        ("budget 3", "20 model-based\n20 random"),
    ]
    random = figures["origin"].axes[1].lines[1]
    # One of the 20 random ones failed, and counts.
    assert len(random.get_ydata()) == 19
    assert max(random.get_ydata()) == pytest.approx(19 / 20)
    lines = figures["incumbent"].axes[0].lines
    assert len(lines) == 2
    assert all(line.get_xdata()[-1] == 40 * 1 + 20 * 3 for line in lines)


def test_every_run_is_a_line_and_the_best_one_another(make_curves: Callable[..., CurveSet]) -> None:
    assert len(studies.learning_curves([make_curves(12)]).axes[0].lines) == 12 + 1


def test_evaluations_at_once_are_averaged_over_time() -> None:
    frame = pd.DataFrame({"started": [0.0, 1.0, 2.5], "finished": [2.0, 4.0, 3.0]})
    running = studies.mean_running(frame, np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    assert running.tolist() == [1, 2, 1.5, 1, 0]


def test_rank_correlations_are_over_configurations_with_both_budgets() -> None:
    frame = evaluations()
    budgets, rho, counts = studies.rank_correlations(frame)
    assert budgets == [1, 3]
    assert counts.tolist() == [[80, 40], [40, 40]]
    np.testing.assert_allclose(rho, 1)
    reverse = frame["budget"] == 3
    frame.loc[reverse, "loss"] *= -1
    assert studies.rank_correlations(frame)[1][0, 1] == pytest.approx(-1)
    # What a rule ended has no loss of its budget.
    frame.loc[reverse, "stopped"] = 2
    budgets, _, counts = studies.rank_correlations(frame)
    assert (budgets, counts.tolist()) == ([1], [[80]])


def test_the_parameter_that_matters_is_the_important_one() -> None:
    found = studies.importances(evaluations())
    assert set(found["budget"]) == {1, 3}
    assert set(found.loc[found["budget"] == 1, "evaluations"]) == {80}
    low = found[found["budget"] == 1].set_index("parameter")
    assert set(low.index) == {"lr", "noise", "kind", "momentum"}
    assert low.loc["lr", "importance"] > 1
    assert low["importance"].drop("lr").abs().max() < 0.1
    assert low["r2"].iloc[0] > 0.8
    assert studies.importances(evaluations(3)).empty


def regrets(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"study": name, "optimizer": optimizer, "seed": seed, "share": share,
             "used": share, "regret": (worst + 0.1 * seed + 0.2 * i) * (1.1 - share)}
            for i, name in enumerate(names)
            for optimizer, worst in (("bohb", 0.5), ("random", 1.0))
            for seed in range(3)
            for share in (0.5, 1.0)
        ]
    )  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 10])
def test_regret_is_drawn_per_data_set_and_over_all(n: int) -> None:
    figure = studies.regret(regrets([f"lcbench/{i}" for i in range(n)]))
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert len(axes) == (n if n == 1 else n + 1)
    first = axes[0].lines[0].get_ydata()
    over_sets = 0.2 * (n - 1) / 2
    np.testing.assert_allclose(first, [(0.6 + over_sets) * 0.6, (0.6 + over_sets) * 0.1])


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_a_collection_whose_median_run_is_its_best_has_an_axis(unknown: float) -> None:
    figure = studies.regret(regrets(["mine"]).assign(regret=unknown))
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_markdown_of_studies() -> None:
    _, text = markdown.studies_tables(evaluations())["studies"]
    assert "| s | bohb | 2 | 40 | 60 |" in text
    assert "| 0.9 | 0.8 | 0.5 |" in text
    assert "| lr 0.000999, noise 0.4252, kind b, momentum 0.4252 |" in text
    frame = regrets(["lcbench/a", "lcbench/b"])
    _, text = markdown.study_comparison_tables(frame)["study_comparison"]
    assert "| lcbench/a | 0.06 [0.03516, 0.08484] |" in text
    assert "| bohb | random | 2 | 3 | -0.05 [-0.05, -0.05] | 2 |" in text
    alone = frame[frame["optimizer"] == "random"]
    paired, text = markdown.study_comparison_tables(alone)["study_comparison"]
    assert paired.empty
    assert "Paired" not in text


def test_every_budget_has_a_colour_of_its_own() -> None:
    for n in (2, 6, 9):
        colours = studies._of_budgets(pd.DataFrame({"budget": [*range(1, n + 1), 1]}))
        assert list(colours) == list(range(1, n + 1))
        assert len(set(colours.values())) == n
