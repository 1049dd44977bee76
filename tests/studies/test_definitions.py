"""Studies as written in a config, and a predictor's own error as their objective."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from curvecast import CurveSet, DataError
from curvecast.predictors.base import Prediction as Predicted
from curvecast.studies.definitions import Parts, objective_of, settings_of, task_of
from curvecast.studies.evaluation import Trial
from curvecast.studies.objectives import prediction
from curvecast.studies.objectives.prediction import Prediction, split
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.objectives.training import Training
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import kuzushiji, load_space

Make = Callable[..., CurveSet]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
ROOT = Path(__file__).resolve().parents[2]

TRAINING = {
    "objective": "training", "task": "digits_mlp", "task_options": {"n_epochs": 9},
    "eta": 3, "min_budget": 1, "max_budget": 9, "iterations": 2, "workers": 1, "seeds": 2,
    "stopping": {"predictor": "ridge", "Delta": 0.9},
}  # fmt: skip
PREDICTION = {
    "objective": "prediction", "model": "ridge", "dataset": "x", "space": "predictors.lstm",
    "parts": {"n_train": 10, "n_validation": 5, "n_test": 5, "tau": 3},
}  # fmt: skip
RECORDED = {"objective": "recorded", "datasets": ["x"], "total_budget": 50, "max_budget": 9}


def test_a_definition_becomes_settings_and_an_objective(make_curves: Make) -> None:
    settings = settings_of("digits", TRAINING, "hyperband", 3)
    assert settings == Settings(
        "digits", "hyperband", eta=3, min_budget=1, max_budget=9, iterations=2, workers=1, seed=3
    )
    objective = objective_of("digits", TRAINING)
    assert isinstance(objective, Training)
    assert (objective.early.predictor, objective.early.Delta) == ("ridge", 0.9)
    settings = settings_of("tab", RECORDED)
    assert (settings.workers, settings.iterations, settings.total_budget) == (0, None, 50)
    assert isinstance(objective_of("tab", RECORDED, make_curves(20)), Recorded)
    assert isinstance(objective_of("tune", PREDICTION, make_curves(30)), Prediction)


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"objective": "guess"}, "objective 'guess' is not one of"),
        ({**TRAINING, "modle": 1}, "unknown key 'modle'"),
        ({**PREDICTION, "dataset": None}, "dataset: input should be a valid string, not None"),
        ({**PREDICTION, "parts": {"n_trian": 1}}, "parts: unknown key 'n_trian', .* is 'n_train'"),
        ({"objective": "prediction", "model": "cnn", "space": "x"}, "key 'dataset' is missing"),
        ({**TRAINING, "min_budget": 10}, "study 's': min_budget is above max_budget"),
        ({**TRAINING, "eta": "3"}, "eta: input should be a valid integer or a valid number"),
        ({**TRAINING, "task": "nonsense"}, "unknown task 'nonsense'"),
        ({**TRAINING, "task": "curvecast.curves:Nothing"}, "no such task"),
        ({**TRAINING, "task": "nowhere.py:Net"}, "nowhere.py: no such file with a task"),
        ({**TRAINING, "task": "tests/studies/toys.py:Nothing"}, "no such task"),
        (
            {**TRAINING, "stopping": {"delta": 1}},
            "unknown key 'delta', the nearest",
        ),
        ({**TRAINING, "task": "no.thing:Net"}, "there is no module no"),
        ({**TRAINING, "task_options": {"n_epoch": 9}}, "does not take its options: .*'n_epoch'"),
        (RECORDED, "objective recorded needs a collection"),
    ],
)
def test_mistakes_are_named(definition: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        objective_of("s", definition)


def test_other_options_of_a_task_are_another_study(tmp_path: Path, own_modules: None) -> None:
    """A log of the one is not continued as that of the other."""
    made = []
    for collection in ("digits_mlp", "digits_small_mlp"):
        options = {"n_epochs": 9, "collection": f"embedded/{collection}"}
        made.append(objective_of("s", {**TRAINING, "task_options": options}).identity())
    assert made[0] != made[1]
    own = tmp_path / "net_with_options.py"
    own.write_text(
        "from dataclasses import dataclass\n"
        "from curvecast.studies.objectives.digits import DigitsMLP\n\n\n"
        "@dataclass(frozen=True)\nclass Frozen:\n    depth: int = 1\n\n\n"
        "class Broken(DigitsMLP):\n    def __init__(self):\n        None.none\n"
    )
    frozen = task_of({"task": f"{own}:Frozen", "task_options": {"depth": 3}})
    assert frozen.task_options == {"depth": 3}
    with pytest.raises(AttributeError, match="none"):
        task_of({"task": f"{own}:Broken"})


def test_a_task_in_a_file_may_not_hide_behind_a_module(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("class Net: pass\n")
    with pytest.raises(DataError, match="another module is called json"):
        objective_of("s", {**TRAINING, "task": f"{tmp_path}/json.py:Net"})
    assert str(tmp_path) not in sys.path


def parts_of(train: int, validation: int, test: int, **options: Any) -> Parts:
    return Parts(n_train=train, n_validation=validation, n_test=test, **options)


def test_splits_share_no_configuration_and_can_follow_the_file(make_curves: Make) -> None:
    curves = make_curves(40)
    parts = split(curves, parts_of(20, 10, 10, tau=3, in_file_order=True))
    assert [p.configs["id"].iloc[0] for p in parts] == ["run0", "run20", "run30"]
    drawn = split(curves, parts_of(20, 10, 10, tau=3))
    ids = [set(p.configs["id"]) for p in drawn]
    assert [len(i) for i in ids] == [20, 10, 10]
    assert len(set.union(*ids)) == 40
    assert list(drawn[0].configs["id"]) != list(parts[0].configs["id"])
    twice = replace(curves, configs=curves.configs.assign(group=np.arange(40) // 2))
    groups = [set(p.groups) for p in split(twice, parts_of(19, 9, 8, tau=3))]
    assert [len(g) for g in groups] == [10, 5, 4]
    assert len(set.union(*groups)) == 19
    with pytest.raises(DataError, match="40 usable runs, the splits need 41"):
        split(curves, parts_of(20, 10, 11, tau=3))


class LineFit:
    """Predicts final = last + slope, best at slope = the mean gain; better with more epochs."""

    def __init__(self, *, seed: int, lr: float, epochs: int = 27, **other: Any) -> None:
        self.gain, self.noise = lr, 0.1 / epochs

    def fit(self, curves: CurveSet, taus: list[int]) -> LineFit:
        return self

    def predict(self, curves: CurveSet, tau: int) -> Predicted:
        last = curves.values[:, curves.seen(tau)][:, -1]
        mean = last + 5 * self.gain + self.noise
        return Predicted(mean, np.ones(len(mean)))


def test_tuning_beats_the_untuned_predictor(
    make_curves: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "make_predictor", lambda model, **options: LineFit(**options))
    objective = Prediction(
        "ridge", make_curves(60), parts_of(30, 15, 15, tau=5), load_space("predictors.lstm")
    )
    evaluations = run(Settings("s", max_budget=27, iterations=8, workers=0), objective)
    best = min((e for e in evaluations if e.budget == 27), key=lambda e: e.loss)
    untuned = objective.score({"lr": 0.01}, seed=0)
    assert best.info["validation_mse"] == best.loss < untuned["validation_mse"]
    assert best.info["test"] == best.info["test_mse"] < untuned["test_mse"]
    assert best.info["cost"] == 27
    robust = Prediction("ridge", make_curves(60), objective.parts, objective.space, metric="mae")
    trial = Trial((0, 0, 0), 0, 27, 0, 1, 1, 27, None, ())
    result = robust.evaluate(best.config, trial)
    assert result["loss"] == result["info"]["validation"] == result["info"]["validation_mae"]
    by_hand = objective.score({**best.config, "epochs": 27}, seed=0)
    assert by_hand["validation_mse"] == pytest.approx(best.loss)
    truth = objective._validation.final
    guess = LineFit(seed=0, **{**best.config, "epochs": 27}).predict(objective._validation, 5).mean
    assert by_hand["validation_r2"] == pytest.approx(
        1 - np.sum((guess - truth) ** 2) / np.sum((truth - truth.mean()) ** 2)
    )


def shipped(key: str, *values: str) -> dict[str, dict[str, Any]]:
    """Every study of the repository's configurations that has one of these values."""
    studies: dict[str, dict[str, Any]] = {}
    for path in [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))]:
        studies |= yaml.safe_load(path.read_text(encoding="utf-8")).get("study_definitions", {})
    return {name: study for name, study in studies.items() if study.get(key) in values}


def studies_on_images() -> dict[str, dict[str, Any]]:
    return shipped("task", "images", "digits_mlp")


@pytest.mark.parametrize("name", studies_on_images())
def test_workers_receive_the_objective_of_every_shipped_study(name: str) -> None:
    definition = studies_on_images()[name]
    definition.pop("data", None)  # scikit-learn's digits in place of downloads
    source = kuzushiji.DEFAULT if "configuration_of" in definition else None
    objective = objective_of(name, definition, source=source)
    sent = pickle.loads(pickle.dumps(objective))
    assert sent.identity() == objective.identity()
    objective.space.seed(0)
    drawn = [dict(config) for config in objective.space.sample_configuration(20)]
    assert [sent.possible(c) for c in drawn] == [objective.possible(c) for c in drawn]


@pytest.mark.parametrize("name", shipped("objective", "prediction"))
def test_a_predictor_has_the_options_that_a_shipped_study_tunes(
    name: str, make_curves: Make
) -> None:
    definition = shipped("objective", "prediction")[name]
    parts = {"n_train": 20, "n_validation": 10, "n_test": 10, "tau": 3}
    objective = objective_of(name, {**definition, "parts": parts}, make_curves(60))
    assert isinstance(objective, Prediction)
    objective.space.seed(0)
    for config in objective.space.sample_configuration(5):
        objective.predictor(seed=0, **{**config, "epochs": 1})
