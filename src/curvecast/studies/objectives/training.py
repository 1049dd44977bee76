"""Real training as an objective: epochs as budget, each rung going on where the last one ended."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError, group_equal_rows
from curvecast.studies import identity
from curvecast.studies.early import EarlyEnd, Ended
from curvecast.studies.evaluation import Config, Evaluation, Trial, trained_of
from curvecast.studies.objectives.task import Session, Task


class Training:
    """Loss of a configuration after `budget` epochs of real training.

    A run leaves a checkpoint, from which the next rung goes on; without one (a study that keeps
    no files) it is trained again from the start and costs all its epochs. Its whole curve and all
    series are reported with every evaluation. A value that is not finite ends the run.

    Parameters
    ----------
    early : ends evaluations before their budget; default: none is ended.
    """

    def __init__(
        self,
        task: Task,
        space: ConfigSpace.ConfigurationSpace | None = None,
        early: EarlyEnd | None = None,
    ) -> None:
        if not isinstance(task, Task):
            raise DataError(
                f"task {type(task).__name__} does not inherit from "
                "curvecast.studies.objectives.task.Task"
            )
        self.task, self.early = task, early
        self.space = task.space() if space is None else space
        self._sign = 1.0 if task.direction == "maximize" else -1.0

    def identity(self) -> dict[str, Any]:
        """The task with its code, and the rule."""
        return {
            "training": self.task.name,
            "code": identity.of_class(type(self.task)),
            "n_epochs": self.task.n_epochs,
            "task": self.task.identity(),
            "early": None if self.early is None else self.early.identity(),
        }

    def possible(self, config: Config) -> bool:
        """Whether the task can train this configuration."""
        return self.task.possible(config)

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Train up to the budget; see `evaluation.Objective` for what comes with the loss."""
        budget = round(trial.budget)
        if budget > self.task.n_epochs:
            raise DataError(f"budget {budget} exceeds the task's {self.task.n_epochs} epochs")
        session = self.task.start(config, trial.seed)
        checkpoint = _checkpoint(trial)
        logs = {} if checkpoint is None else _load(checkpoint, session)
        if not logs:
            logs = {name: [value] for name, value in session.evaluate().items()}
        curve = logs[self.task.target]
        ended = self._train(session, logs, budget, config, trial)
        if checkpoint is not None:
            _save(checkpoint, session, logs)
        trained = len(curve) - 1 if ended is None else ended.epoch
        # What the log knows, not the checkpoint: after a kill that may be a rung ahead.
        begun = 0 if checkpoint is None else trial.trained
        info: dict[str, Any] = {
            "trained": trained,
            "cost": max(trained - begun, 0),
            "epochs": list(range(len(curve))),
            "curve": curve,
            "series": {name: log for name, log in logs.items() if name != self.task.target},
            **session.scores(),
        }
        if ended is not None:
            return {"loss": ended.loss, "info": {**info, "stopped": ended.epoch}}
        loss = -self._sign * curve[min(budget, trained)]
        if not np.isfinite(loss):
            info["reason"] = f"diverged in epoch {trained}"
        return {"loss": loss, "info": info}

    def _train(
        self,
        session: Session,
        logs: dict[str, list[float]],
        budget: int,
        config: Config,
        trial: Trial,
    ) -> Ended | None:
        curve = logs[self.task.target]
        judge = None if self.early is None else self.early.judge(trial, self.collect)
        while len(curve) - 1 < budget and np.isfinite(curve[-1]):
            if judge is not None and len(curve) - 1 in judge.looks:
                ended = judge.ends(self._curves([(str(trial.id), config, logs)]), len(curve) - 1)
                if ended is not None:
                    return ended
            session.train_epoch()
            for name, value in session.evaluate().items():
                logs[name].append(value)
        return None

    def collect(self, evaluations: Sequence[Evaluation]) -> CurveSet:
        """The runs of a study as a curve collection: one row per configuration, in order.

        A run that was not trained to the end is not observed there (NaN).
        """
        longest: dict[tuple[int, int, int], Evaluation] = {}
        for evaluation in evaluations:
            if "curve" in evaluation.info and (
                evaluation.id not in longest
                or trained_of(evaluation) >= trained_of(longest[evaluation.id])
            ):
                longest[evaluation.id] = evaluation
        return self._curves(
            [
                (
                    "-".join(map(str, key)),
                    e.config,
                    {self.task.target: e.info["curve"]} | {**e.info["series"]},
                )
                for key, e in longest.items()
            ]
        )

    def _curves(
        self, runs: Sequence[tuple[str, Config, Mapping[str, Sequence[float]]]]
    ) -> CurveSet:
        epochs = np.arange(self.task.n_epochs + 1)

        def matrix(name: str) -> np.ndarray:
            values = np.full((len(runs), len(epochs)), np.nan)
            for row, (_, _, logs) in enumerate(runs):
                values[row, : len(logs[name])] = logs[name]
            return values

        columns = {
            name: ("ap_" if name in self.task.architecture else "hp_") + name for name in self.space
        }
        table: dict[str, Any] = {"id": [key for key, _, _ in runs]}
        log_columns = []
        for name, parameter in self.space.items():
            values = [config.get(name) for _, config, _ in runs]
            if isinstance(parameter, ConfigSpace.CategoricalHyperparameter):
                table[columns[name]] = pd.Categorical(values, categories=sorted(parameter.choices))
            else:
                table[columns[name]] = np.array(values, dtype=np.float64)
                if getattr(parameter, "log", False):
                    log_columns.append(columns[name])
        described = pd.DataFrame([self.task.describe(config) for _, config, _ in runs])
        configs = pd.concat([pd.DataFrame(table), described.add_prefix("ap_")], axis=1)
        configs.insert(1, "group", group_equal_rows(configs.drop(columns="id")))
        series = [name for name in (runs[0][2] if runs else {}) if name != self.task.target]
        return CurveSet(
            configs=configs,
            values=matrix(self.task.target),
            epochs=epochs,
            metric=self.task.metric,
            direction=self.task.direction,
            name=self.task.name,
            source=self.task.source,
            log_columns=tuple(log_columns),
            series={name: matrix(name) for name in series},
        )


def _checkpoint(trial: Trial) -> Path | None:
    if trial.directory is None:
        return None
    return trial.directory / "checkpoints" / f"{'-'.join(map(str, trial.id))}.npz"


def _load(path: Path, session: Session) -> dict[str, list[float]]:
    """Put a checkpoint into the session; its logs, empty where there is no checkpoint."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    logs = {k.removeprefix("log:"): v.tolist() for k, v in arrays.items() if k.startswith("log:")}
    state = {k: v for k, v in arrays.items() if not k.startswith("log:")}
    session.resume(len(next(iter(logs.values()))) - 1, state)
    return logs


def _save(path: Path, session: Session, logs: Mapping[str, Sequence[float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    arrays: dict[str, Any] = {f"log:{name}": np.array(log) for name, log in logs.items()}
    arrays |= session.state()
    np.savez(temporary, **arrays)
    temporary.replace(path)
