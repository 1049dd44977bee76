"""The workflow's jobs: seeds of a study, their collection, the incumbent, and the tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError
from curvecast.files import write_json
from curvecast.predictors.base import Prediction as Predicted
from curvecast.report.tables.studies import studies_tables
from curvecast.studies import incumbent, jobs, summary
from curvecast.studies.objectives import prediction

Make = Callable[..., CurveSet]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
DIGITS = {
    "objective": "training", "task": "digits_mlp", "task_options": {"n_epochs": 3},
    "min_budget": 1, "max_budget": 3, "iterations": 2, "workers": 0, "seeds": 2,
}  # fmt: skip
RECORDED = {
    "objective": "recorded", "datasets": ["x"], "total_budget": 60, "max_budget": 9, "seeds": 2,
}  # fmt: skip
TUNING = {
    "objective": "prediction", "model": "ridge", "dataset": "x", "space": "predictors.lstm",
    "parts": {"n_train": 30, "n_validation": 15, "n_test": 15, "tau": 5}, "workers": 0,
    "max_budget": 9, "iterations": 3, "seeds": 1,
}  # fmt: skip


def test_a_study_of_real_training_becomes_a_collection(tmp_path: Path) -> None:
    done = [jobs.run_job("d", DIGITS, "bohb", k, tmp_path / str(k)) for k in range(2)]
    again = jobs.run_job("d", DIGITS, "bohb", 0, tmp_path / "0")
    pd.testing.assert_frame_equal(again["evaluations"], done[0]["evaluations"])
    together = jobs.gather_curves([made["curves"] for made in done])
    assert together.name == "trained/d"
    assert len(together) == len(done[0]["curves"]) + len(done[1]["curves"])
    assert {key.split("-")[0] for key in together.configs["id"]} == {"0", "1"}
    assert together.configs["group"].nunique() == len(together)
    assert together.epochs.tolist() == [0, 1, 2, 3]
    frame = pd.concat([made["evaluations"] for made in done])
    found = jobs.incumbent(frame)
    whole = frame[(frame["budget"] == 3) & frame["stopped"].isna()]
    assert found["loss"] == whole["loss"].min()
    assert json.dumps(found["config"], sort_keys=True) in set(whole["config"])
    tables = studies_tables(frame)
    assert list(tables) == ["studies", "study_timings"]
    assert tables["study_timings"][0]["seconds"].iloc[0] > 0
    assert "seconds" not in tables["studies"][0]
    row = tables["studies"][0].iloc[0]
    assert (row["study"], row["optimizer"], row["seeds"]) == ("d", "bohb", 2)
    assert 0 < row["test"] <= 1
    assert row["loss_low"] < row["loss"] < row["loss_high"]


def test_a_seed_whose_trainings_all_broke_has_no_curves() -> None:
    whole = jobs.run_job("d", {**DIGITS, "iterations": 1}, "random", 0)["curves"]
    assert isinstance(whole, CurveSet)
    assert len(whole.series)
    empty = replace(whole.take([]), series={})
    for sets in ([empty, whole], [whole, empty]):
        together = jobs.gather_curves(sets)
        assert together.series.keys() == whole.series.keys()
        assert len(together) == len(whole)
    assert len(jobs.gather_curves([empty])) == 0


def test_replays_of_several_optimisers_make_the_comparison(make_curves: Make) -> None:
    curves = make_curves(60)
    done = [jobs.run_job("tab", RECORDED, o, curves=curves) for o in ("bohb", "random")]
    rows = summary.study_rows(pd.concat([d["evaluations"] for d in done]))
    assert rows["study"].unique().tolist() == [curves.name]
    assert (rows["budget_used"] >= 60).all()
    regret = pd.concat([d["regret"] for d in done])
    paired = summary.paired_rows(regret)
    assert paired["other"].tolist() == ["random"]
    final = summary.regret_rows(regret).query("share == 1").set_index("optimizer")["regret"]
    assert paired["difference"].iloc[0] == pytest.approx(final["bohb"] - final["random"])
    ended = {**RECORDED, "seeds": 1, "stopping": {"predictor": "last_value", "Delta": 0.9}}
    made = jobs.run_job("tab", ended, "bohb", curves=curves)
    assert (
        set(made["evaluations"]["optimizer"])
        == set(made["regret"]["optimizer"])
        == {"f-bohb:last_value"}
    )


def test_optimisers_without_a_total_are_compared_at_one_budget(make_curves: Make) -> None:
    definition = {k: v for k, v in RECORDED.items() if k != "total_budget"} | {"iterations": 3}
    done = [
        jobs.run_job("tab", definition, o, curves=make_curves(60))
        for o in ("bohb", "random", "freeze_thaw")
    ]
    costs = [d["evaluations"].groupby("seed")["cost"].sum().iloc[0] for d in done]
    assert costs[1] > costs[0]
    assert {d["regret"]["used"].max() for d in done} == {costs[0]}


class Shift:
    """Predicts the last value plus 5 lr; the seed adds noise that more epochs take away."""

    def __init__(self, *, seed: int = 0, lr: float = 0.01, epochs: int = 1, **other: Any) -> None:
        self.epochs = epochs
        self.shift = 5 * lr + 1e-3 * np.random.default_rng(seed).standard_normal() / epochs

    def fit(self, curves: CurveSet, taus: list[int]) -> Shift:
        return self

    def predict(self, curves: CurveSet, tau: int) -> Predicted:
        mean = curves.values[:, curves.seen(tau)][:, -1] + self.shift
        return Predicted(mean, np.ones(len(mean)))


def test_the_tuned_predictor_is_compared_with_the_untuned_one(
    make_curves: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prediction, "make_predictor", lambda model, **options: Shift(**options))
    curves = make_curves(60)
    made = jobs.run_job("tune", TUNING, "bohb", 0, tmp_path, curves)
    assert list(made) == ["evaluations"]
    frame = made["evaluations"]
    incumbent.write(jobs.incumbent(frame), {**TUNING, "fixed": {"lr": 9}}, tmp_path / "found.json")
    found = incumbent.read(tmp_path / "found.json")
    assert (found["model"], found["dataset"], found["seed"]) == ("ridge", "x", 0)
    options = incumbent.options_of([tmp_path / "found.json"], {})
    assert options == {**found["config"], "epochs": 9}
    assert incumbent.options_of([tmp_path / "found.json"], {"lr": 1})["lr"] == 1
    rows = jobs.tuning_rows("tune", TUNING, curves, options, repeats=3)
    assert rows[["variant", "epochs"]].to_numpy().tolist() == [
        ["untuned", 1], ["tuned", 1], ["untuned", 9], ["tuned", 9],
    ]  # fmt: skip
    errors = rows["validation_mse"].to_numpy()
    assert errors[3] < errors[2]
    assert (rows["validation_mse_se"] > 0).all()
    assert set(rows["repeats"]) == {3}
    assert json.loads(rows["options"].iloc[3]) == options
    monkeypatch.undo()
    with pytest.raises(DataError, match="model 'ridge' has no option"):
        jobs.run_job("tune", TUNING, "bohb", 0, None, curves)
    with pytest.raises(DataError, match="does not tune a predictor"):
        jobs.tuning_rows("tab", RECORDED, curves, options)


def test_options_that_are_no_incumbent_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match="not written by this version of curvecast"):
        incumbent.read(tmp_path / "x.json")
    write_json({"options": []}, tmp_path / "x.json")
    with pytest.raises(DataError, match="not the incumbent of a study"):
        incumbent.read(tmp_path / "x.json")
