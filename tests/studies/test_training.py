"""Real training inside a study: checkpoints, curves, divergence, and the network itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import pytest
import torch
from toys import conditional_space

from curvecast import CurveSet, DataError
from curvecast.protocol import seed_from
from curvecast.studies.early import EarlyEnd
from curvecast.studies.evaluation import Config
from curvecast.studies.log import read_evaluations
from curvecast.studies.objectives.digits import DigitsMLP
from curvecast.studies.objectives.task import Session, Task
from curvecast.studies.objectives.training import Subsets, Training
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@dataclass
class Decay(Task):
    """Loss 2 * exp(-lr * 30 * epoch) + (layers - 1); the state is the epoch. Counts its epochs."""

    diverge_at: int | None = None
    epochs_trained: list[int] = field(default_factory=list)
    name: str = "trained/decay"
    source: str = "made for a test"
    target: str = "loss"
    metric: str = "loss"
    direction: str = "minimize"
    n_epochs: int = 9
    architecture: tuple[str, ...] = ("layers",)

    def space(self) -> ConfigSpace.ConfigurationSpace:
        return conditional_space()

    def start(self, config: Config, seed: int) -> Session:
        return DecaySession(self, config)


class DecaySession(Session):
    def __init__(self, task: Decay, config: Config) -> None:
        self.task, self.config, self.epoch = task, config, 0

    def state(self) -> dict[str, np.ndarray]:
        return {"epoch": np.array(self.epoch)}

    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        assert int(state["epoch"]) == epoch
        self.epoch = epoch

    def train_epoch(self) -> None:
        self.epoch += 1
        self.task.epochs_trained.append(self.epoch)

    def evaluate(self) -> dict[str, float]:
        loss = 2 * math.exp(-30 * self.config["lr"] * self.epoch) + self.config["layers"] - 1
        if self.task.diverge_at is not None and self.epoch >= self.task.diverge_at:
            loss = math.inf if self.config["layers"] == 1 else loss
        return {"loss": loss, "twice": 2 * loss}

    def scores(self) -> dict[str, float]:
        return {"validation": 1.0, "test": float(self.epoch)}


def study(objective: Training, directory: Path | None, **settings: Any) -> list:
    return run(Settings("s", workers=0, **{"iterations": 2, **settings}), objective, directory)


def epochs_of(evaluations: list) -> float:
    return sum(e.info["cost"] for e in evaluations)


def test_a_task_has_defaults_and_a_class_that_is_none_is_named() -> None:
    task = Decay()
    assert task.possible({})
    assert (task.identity(), task.describe({}), task.all_training) == ({}, {}, False)
    with pytest.raises(DataError, match="cannot be trained on a share"):
        task.at_share(0.5)
    session = task.start({"lr": 0.1, "layers": 1}, 0)
    assert session.weights() == session.state()
    with pytest.raises(NotImplementedError, match="DecaySession does not start from"):
        session.transfer({})
    with pytest.raises(DataError, match=r"task int does not inherit from .*task\.Task"):
        Training(3)  # type: ignore[arg-type]


def test_a_task_without_its_facts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="task Decay: direction is 'min', not one of maximize"):
        Training(Decay(direction="min"))
    task = Decay()
    del task.n_epochs
    monkeypatch.delattr(Decay, "n_epochs")
    with pytest.raises(DataError, match="task Decay has no n_epochs"):
        Training(task)


def test_a_study_that_cannot_be_trained_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="max_budget 27 exceeds the task's 9 epochs"):
        study(Training(Decay()), tmp_path, max_budget=27)
    wrong = EarlyEnd(predictor="ridge", options={"alhpa": 1})
    with pytest.raises(DataError, match="'ridge' has no option 'alhpa'"):
        study(Training(Decay(), early=wrong), tmp_path)
    shares = {"min_budget": 50, "max_budget": 100}
    for objective, message in (
        (Subsets(Decay(), early=EarlyEnd()), "a stopping rule needs epochs"),
        (Subsets(Decay()), "cannot be trained on a share"),
    ):
        with pytest.raises(DataError, match=message):
            study(objective, tmp_path, **shares)
    with pytest.raises(DataError, match="max_budget 200 is above 100 percent"):
        study(Subsets(Decay()), tmp_path, max_budget=200)
    assert not list(tmp_path.glob("*.json"))


class Odd(Decay):
    """Reports what `reports` gives for an epoch and a loss."""

    def __init__(self, reports: Any) -> None:
        super().__init__()
        self.reports = reports

    def start(self, config: Config, seed: int) -> Session:
        session = super().start(config, seed)
        evaluate = session.evaluate

        def odd() -> dict[str, Any]:
            return self.reports(session.epoch, evaluate()["loss"])

        session.evaluate = odd  # type: ignore[method-assign]
        session.scores = lambda: {"test": np.array(1.5), "rest": torch.tensor([1, 2])}  # type: ignore[assignment, method-assign]
        return session


def test_a_session_may_report_tensors(tmp_path: Path) -> None:
    def reports(epoch: int, loss: float) -> dict[str, Any]:
        return {"loss": torch.tensor(loss, dtype=torch.float64, requires_grad=True)}

    done = study(Training(Odd(reports)), tmp_path)
    assert [e.loss for e in done] == [e.loss for e in study(Training(Decay()), None)]
    assert (done[0].info["test"], done[0].info["rest"]) == (1.5, [1, 2])
    assert course(read_evaluations(tmp_path)) == course(done)


def course(evaluations: list) -> list[tuple[Any, ...]]:
    return [(e.id, e.config, e.loss, dict(e.info)) for e in evaluations]


@pytest.mark.parametrize(
    ("reports", "problem"),
    [
        (lambda epoch, loss: {"los": loss}, "evaluate returns los, and not the target 'loss'"),
        (
            lambda epoch, loss: {"loss": loss} | ({"grad": 1.0} if epoch else {}),
            "other series after epoch 1: loss and grad, loss",
        ),
    ],
)
def test_series_that_are_not_those_of_the_first_epoch_are_named(reports: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        study(Training(Odd(reports)), None)


def test_constants_and_levels_of_several_types_become_columns(tmp_path: Path) -> None:
    space = conditional_space()
    space.add(
        ConfigSpace.Constant("tied", "yes"),
        ConfigSpace.Constant("clip", 0.5),
        ConfigSpace.OrdinalHyperparameter("size", ["small", "large"]),
        ConfigSpace.OrdinalHyperparameter("width", [16, 32]),
        ConfigSpace.Categorical("warm", ["none", 3]),
    )
    objective = Training(Decay(), space)
    curves = objective.collect(run(Settings("s", "random", workers=0), objective))
    curves.to_parquet(tmp_path / "curves.parquet")
    configs = CurveSet.from_parquet(tmp_path / "curves.parquet").configs
    assert set(configs["hp_tied"]) == {"yes"}
    assert set(configs["hp_clip"]) == {0.5}
    assert set(configs["hp_size"]) == {"small", "large"}
    assert set(configs["hp_width"]) == {16.0, 32.0}
    assert set(configs["hp_warm"]) == {"none", "3"}


def test_rungs_go_on_from_the_checkpoint_below(tmp_path: Path) -> None:
    with_files = study(Training(Decay()), tmp_path)
    without = study(Training(Decay()), None)
    assert [(e.config, e.loss) for e in with_files] == [(e.config, e.loss) for e in without]
    assert epochs_of(with_files) == 9 + 3 * 2 + 6 + 9 + 6
    assert epochs_of(without) == 9 + 3 * 3 + 9 + 9 + 9
    top = next(e for e in with_files if e.budget == 9)
    assert (top.info["trained"], top.info["cost"], top.info["test"]) == (9, 6, 9.0)
    assert top.info["epochs"] == list(range(10))
    assert top.info["series"]["twice"] == [2 * v for v in top.info["curve"]]
    assert not (tmp_path / "checkpoints").exists()


def test_a_checkpoint_ahead_of_the_log_gives_the_same_result(tmp_path: Path) -> None:
    """A kill after the checkpoint was written and before the evaluation was logged."""
    objective = Training(Decay())
    whole = study(objective, tmp_path / "whole", iterations=1)
    halted = tmp_path / "halted"

    class Killed(BaseException):
        pass

    class Halting(Training):
        def evaluate(self, config: Config, trial: Any) -> dict[str, Any]:
            result = super().evaluate(config, trial)
            if trial.budget == 9:
                raise Killed
            return result

    task = Halting(Decay())
    task.identity = objective.identity  # type: ignore[method-assign]
    with pytest.raises(Killed):
        study(task, halted, iterations=1)
    assert len(read_evaluations(halted)) == len(whole) - 1
    again = Training(Decay())
    resumed = study(again, halted, iterations=1)
    assert [(e.config, e.loss, e.info) for e in resumed] == [
        (e.config, e.loss, e.info) for e in whole
    ]


def test_a_diverged_run_keeps_its_curve(tmp_path: Path) -> None:
    objective = Training(Decay(diverge_at=2))
    evaluations = study(objective, tmp_path, iterations=6)
    failed = [e for e in evaluations if e.reason is not None]
    assert failed
    assert {e.config["layers"] for e in failed} == {1}
    assert {e.reason for e in failed} == {"diverged in epoch 2"}
    curves = objective.collect(evaluations)
    rows = curves.configs["ap_layers"].to_numpy() == 1
    diverged = rows & np.isinf(curves.values[:, 2])
    assert diverged.sum() == len({e.id for e in failed})
    assert np.isnan(curves.values[diverged][:, 3:]).all()


def test_the_runs_of_a_study_are_a_collection(tmp_path: Path) -> None:
    objective = Training(Decay())
    evaluations = study(objective, None)
    curves = objective.collect(evaluations)
    assert len(curves) == len({e.id for e in evaluations})
    assert curves.epochs.tolist() == list(range(10))
    assert set(curves.configs) == {
        "id",
        "group",
        "hp_lr",
        "hp_momentum",
        "hp_optimizer",
        "ap_layers",
    }
    assert curves.log_columns == ("hp_lr",)
    inactive = curves.configs["hp_optimizer"] == "adam"
    assert curves.configs["hp_momentum"].isna().equals(inactive)
    reached = np.isfinite(curves.values).sum(axis=1) - 1
    longest = {e.id: 0.0 for e in evaluations}
    for e in evaluations:
        longest[e.id] = max(longest[e.id], e.budget)
    assert sorted(reached) == sorted(longest.values())
    curves.to_parquet(tmp_path / "curves.parquet")
    again = CurveSet.from_parquet(tmp_path / "curves.parquet")
    np.testing.assert_array_equal(again.series["twice"], curves.series["twice"])


def test_a_rule_ends_real_training(tmp_path: Path) -> None:
    settings = {"iterations": 12}
    plain = study(Training(Decay()), tmp_path / "plain", **settings)
    rule = EarlyEnd(predictor="ridge", min_runs=5, Delta=0.8)
    early = study(Training(Decay(), early=rule), tmp_path / "early", **settings)
    stopped = [e for e in early if "stopped" in e.info]
    assert stopped
    for e in stopped:
        assert e.info["stopped"] < e.budget
        assert len(e.info["curve"]) >= e.info["stopped"] + 1
    assert epochs_of(early) < epochs_of(plain)


def test_the_network_resumes_exactly() -> None:
    """Digits: 2 + 1 epochs through a checkpoint against 3 epochs at once; dropout included."""
    task = DigitsMLP(n_epochs=3)
    config = {
        "batch_size": 16, "learning_rate": 0.05, "momentum": 0.5, "weight_decay": 1e-4,
        "num_layers": 3, "max_units": 64, "max_dropout": 0.3,
    }  # fmt: skip
    seed = seed_from("test")
    whole, first, second = (task.start(config, seed) for _ in range(3))
    untrained = whole.evaluate()
    for _ in range(3):
        whole.train_epoch()
    for _ in range(2):
        first.train_epoch()
    second.resume(2, {name: array.copy() for name, array in first.state().items()})
    second.train_epoch()
    assert whole.evaluate() == second.evaluate()
    assert whole.scores() == second.scores()
    assert whole.evaluate()["val_cross_entropy"] < 0.5 * untrained["val_cross_entropy"]
    assert whole.scores()["test"] > 0.8
    linear = {k: v for k, v in config.items() if not k.startswith("max_")} | {"num_layers": 1}
    session = task.start(linear, seed)
    session.train_epoch()
    assert session.scores()["test"] > 0.7


def test_a_study_on_digits_in_processes(tmp_path: Path) -> None:
    objective = Training(DigitsMLP(n_epochs=4))
    settings = Settings("digits", max_budget=4, eta=4, iterations=1, workers=2, time_limit=120)
    evaluations = run(settings, objective, tmp_path)
    assert [e.reason for e in evaluations] == [None] * 5
    top = next(e for e in evaluations if e.budget == 4)
    assert top.info["cost"] == 3
    assert np.isfinite(top.info["curve"]).all()
    assert 0 < top.info["test"] <= 1
