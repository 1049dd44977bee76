"""Tables of a user's own, through the workflow with the configuration of docs/your_own_data.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from .conftest import ROOT, Project

Fresh = Callable[[], Project]
# Fewer models, repeats and fractions than a user gets: these tests are about the tables.
LESS = {
    "models": ["ols", "last_value"],
    "protocol": {"fractions": [0.25, 0.5], "repeats": 2},
    "stopping": {
        "predictors": ["last_value"],
        "orderings": 2,
        "deltas": [0.9],
        "online": {"run": False},
        "hyperband": {
            "predictors": ["last_value"],
            "hyperbands": 12,
            "settled": 4,
            "repeats": 2,
            "deltas": [0.9],
            "settings": [{"kappa": 1}],
        },
    },
}


def documented() -> str:
    """The configuration that docs/your_own_data.md shows."""
    text = (ROOT / "docs/your_own_data.md").read_text(encoding="utf-8")
    return text.split("```yaml\n")[1].split("```")[0]


def runs(n: int, seed: int) -> pd.DataFrame:
    """Settings of n runs: numbers, one on a log scale, and two columns of categories."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "learning_rate": 10.0 ** rng.uniform(-4, -1, n),
            "batch_size": rng.choice([16, 32, 64], n),
            "optimizer": rng.choice(["adam", "sgd", "rmsprop"], n),
            "augment": rng.choice(["yes", "no"], n),
        }
    )


def curves_of(settings: pd.DataFrame, first: int, last: int, name: str) -> pd.DataFrame:
    """Losses that fall to a limit which the settings tell."""
    rng = np.random.default_rng(0)
    limit = 0.2 + 0.06 * np.abs(np.log10(settings["learning_rate"].to_numpy()) + 2.5)
    limit += 0.05 * (settings["optimizer"] == "sgd").to_numpy()
    epochs = np.arange(first, last + 1)
    values = limit[:, None] + np.exp(-rng.uniform(0.05, 0.2, len(settings))[:, None] * epochs)
    values += 0.01 * rng.standard_normal(values.shape)
    return pd.DataFrame(values, columns=[f"{name}_{epoch}" for epoch in epochs])


def test_the_documented_configuration_has_at_most_ten_lines() -> None:
    assert len(documented().splitlines()) <= 10
    assert set(yaml.safe_load(documented())) <= {
        "results",
        "datasets",
        "dataset_definitions",
        "stopping",
    }


@pytest.fixture(scope="module")
def results(fresh: Fresh) -> Path:
    """Results of two tables: `mine` in the documented form, `losses` with what else may occur."""
    project = fresh()
    settings = runs(60, seed=1)
    table = pd.concat([settings, curves_of(settings, 1, 40, "err")], axis=1)
    table.to_csv(project.folder / "mine.csv", index=False)
    settings = runs(300, seed=2)
    curves = curves_of(settings, 0, 50, "valid_loss")
    rng = np.random.default_rng(3)
    for row in range(0, 300, 15):
        curves.iloc[row, rng.integers(1, 50) :] = np.nan
    settings.insert(0, "run_id", [f"run-{i}" for i in range(300)])
    settings["comment"] = rng.choice(["", "ok", "restarted on node 7, see log"], 300)
    pd.concat([settings, curves], axis=1).to_csv(project.folder / "losses.csv", index=False)
    config = yaml.safe_load(documented())
    stanzas = config["dataset_definitions"]
    stanzas["mine"]["file"] = "mine.csv"
    stanzas["losses"] = {
        **stanzas["mine"],
        "file": "losses.csv",
        "curve_columns": "valid_loss_{epoch}",
        "id": "run_id",
        "ignore": ["comment"],
    }
    config["datasets"] = ["mine", "losses"]
    config["stopping"] |= LESS["stopping"]
    text = yaml.safe_dump({**LESS, **config})
    (project.folder / "tiny.yaml").write_text(text, encoding="utf-8")
    project.run()
    return project.folder / "results/mine"


def test_sixty_runs_with_errors_that_fall(results: Path) -> None:
    r2 = pd.read_csv(results / "tables/r2.csv").query("dataset == 'mine'")
    # At most half of the runs are trained on: there are fewer than 200.
    assert set(r2["n_train"]) == {0, 5, 10, 20, 30}
    assert set(r2.query("n_train == 30")["tau"]) == {10, 20}
    about = pd.read_csv(results / "tables/datasets.csv").set_index("dataset").loc["mine"]
    assert (about["runs"], about["direction"], about["last_epoch"]) == (60, "minimize", 40)


def test_speedups_come_out(results: Path) -> None:
    for search in ("sequential", "hyperband"):
        speedups = pd.read_csv(results / f"tables/speedup_{search}.csv")
        assert set(speedups["dataset"]) == {"mine"}
        # Nothing can be saved of the first 20 runs, which are trained to the end.
        assert (speedups["speedup"] >= 1).all()
        assert (speedups.query("predictor == 'last_value'")["speedup"] > 1).any()


def test_diverged_runs_labels_and_free_text(results: Path) -> None:
    about = pd.read_csv(results / "tables/datasets.csv").set_index("dataset").loc["losses"]
    assert (about["runs"], about["diverged"]) == (300, 20)
    assert (about["first_epoch"], about["last_epoch"]) == (0, 50)
    assert "20 runs without a finite final value" in about["notes"]
    r2 = pd.read_csv(results / "tables/r2.csv").query("dataset == 'losses'")
    assert set(r2["n_train"]) == {0, 5, 10, 20, 50, 100}
    assert set(r2.query("n_train == 100")["tau"]) == {13, 25}
    ols = r2.query("model == 'ols' and n_train == 100").set_index("fraction")["r2_mean"]
    assert 0 < ols[0.25] < ols[0.5] < 1


def test_the_report_is_of_these_tables(results: Path) -> None:
    text = (results / "report.html").read_text(encoding="utf-8")
    assert "after 25 % of a run" in text
    assert "<dd>mine, losses</dd>" in text
