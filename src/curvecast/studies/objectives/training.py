"""Real training as an objective, with epochs or a share of the training data as budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import pandas as pd
from ConfigSpace.hyperparameters import Hyperparameter

from curvecast import files
from curvecast.curves import DIRECTIONS, CurveSet, DataError, group_equal_rows
from curvecast.studies import identity
from curvecast.studies.early import EarlyEnd
from curvecast.studies.evaluation import Config, Evaluation, Objective, Trial, native
from curvecast.studies.objectives.task import Session, Task
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import layers

WHOLE = 100.0
_FACTS = ("name", "source", "target", "metric", "direction", "n_epochs")
# Values of epochs 0, 1, ... by the name of their series.
Logs = dict[str, list[float]]


class Training(Objective):
    """Loss of a configuration after `budget` epochs of real training.

    A run leaves a checkpoint, which the next rung continues; without one (a study without files)
    it is trained again from the start and costs all its epochs. Its whole curve and all series are
    reported with every evaluation. A value that is not finite ends the run.

    Parameters
    ----------
    early : ends evaluations before their budget; default: none is ended.

    Raises
    ------
    DataError : the task is none, or lacks one of its facts.
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
        for fact in _FACTS:
            if not hasattr(task, fact):
                raise DataError(f"task {type(task).__name__} has no {fact}")
        if task.direction not in DIRECTIONS:
            problem = f"direction is {task.direction!r}, not one of {', '.join(DIRECTIONS)}"
            raise DataError(f"task {type(task).__name__}: {problem}")
        self.task, self.early = task, early
        self.space = task.space() if space is None else space
        self._holds = layers.possible(self.space)
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

    def check(self, settings: Settings) -> None:
        """The task trains long enough, and the rule has a predictor."""
        if settings.max_budget > self.task.n_epochs:
            raise DataError(
                f"max_budget {settings.max_budget:g} exceeds the task's {self.task.n_epochs} epochs"
            )
        if self.early is not None:
            self.early.make()

    def possible(self, config: Config) -> bool:
        """Whether the task can train this configuration, and the space holds it."""
        return (self._holds is None or self._holds(config)) and self.task.possible(config)

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Train up to the budget; `evaluation.Objective` describes the result."""
        budget = round(trial.budget)
        session = self.task.start(config, trial.seed)
        checkpoint = _checkpoint(trial)
        logs: Logs = {}
        if checkpoint is not None and checkpoint.exists():
            logs = _load(checkpoint, session)
        rule = None if self.early is None else self.early.rule(trial, self.collect)
        ended = None
        for epoch in epochs_of(session, logs, self.task.target, budget):
            if rule is not None and epoch in rule.needed:
                run = curves_of(self.task, self.space, [(str(trial.id), config, logs)])
                ended = rule.ends(run, epoch)
                if ended is not None:
                    break
        if checkpoint is not None:
            written = {f"log:{name}": np.array(log) for name, log in logs.items()}
            files.write_arrays(written | session.state(), checkpoint)
        curve = logs[self.task.target]
        trained = len(curve) - 1 if ended is None else ended.epoch
        # By the log of the study: after a kill the checkpoint may be a rung ahead of it.
        begun = 0 if checkpoint is None else trial.trained
        info: dict[str, Any] = {
            "trained": trained,
            "cost": max(trained - begun, 0),
            "epochs": list(range(len(curve))),
            "curve": curve,
            "series": {name: log for name, log in logs.items() if name != self.task.target},
            **native(session.scores()),
        }
        if ended is not None:
            return {"loss": ended.loss, "info": {**info, "stopped": ended.epoch}}
        loss = -self._sign * curve[min(budget, trained)]
        if not np.isfinite(loss):
            info["reason"] = f"diverged in epoch {trained}"
        return {"loss": loss, "info": info}

    def collect(self, evaluations: Sequence[Evaluation]) -> CurveSet:
        """The runs of a study as a curve collection: one row per configuration, in order.

        A run that was not trained to the end is not observed there (NaN). One that diverged on a
        higher rung has the curve of that.
        """
        reported = [e for e in evaluations if "curve" in e.info]
        longest = {e.id: e for e in reported}
        longest |= {e.id: e for e in sorted(reported, key=lambda e: len(e.info["curve"]))}
        target = self.task.target
        runs = [
            ("-".join(map(str, key)), e.config, {target: e.info["curve"], **e.info["series"]})
            for key, e in longest.items()
        ]
        return curves_of(self.task, self.space, runs)


class Subsets(Training):
    """Loss of a configuration after a complete training on `budget` percent of the data.

    A larger share contains the smaller ones. Every rung trains from the start, because a network
    that was trained long on few images is a bad start for more of them. The cost of an evaluation
    is in percent too: 100 is one complete training. The task needs `at_share`.
    """

    def identity(self) -> dict[str, Any]:
        """The identity of the training, with the kind of budget."""
        return {**super().identity(), "fidelity": "data"}

    def check(self, settings: Settings) -> None:
        """Budgets are shares, of which the task is capable, and no rule ends an evaluation."""
        if self.early is not None:
            raise DataError("a stopping rule needs epochs as the budget of a study")
        if settings.max_budget > WHOLE:
            raise DataError(f"max_budget {settings.max_budget:g} is above {WHOLE:g} percent")
        self.task.at_share(settings.min_budget / WHOLE)

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Train on the share; `evaluation.Objective` describes the result."""
        inner = Training(self.task.at_share(trial.budget / WHOLE), self.space)
        whole = replace(trial, budget=self.task.n_epochs, trained=0, directory=None)
        result = inner.evaluate(config, whole)
        used = {"trained": trial.budget, "cost": trial.budget}
        return {**result, "info": {**result["info"], **used}}

    def collect(self, evaluations: Sequence[Evaluation]) -> CurveSet:
        """The runs on all data as a curve collection; curves on less data are others."""
        return super().collect([e for e in evaluations if e.budget == WHOLE])


def epochs_of(session: Session, logs: Logs, target: str, last: int) -> Iterator[int]:
    """Train up to epoch `last` or until the target is not finite, and append to the logs.

    Yields every epoch that is followed by another one, the last one trained before included. A
    caller that stops at one trains no further.

    Raises
    ------
    DataError : the target is not among the series, or these are not the same after every epoch.
    """
    if not logs:
        logs |= {name: [value] for name, value in native(session.evaluate()).items()}
    if target not in logs:
        raise DataError(f"evaluate returns {', '.join(logs)}, and not the target {target!r}")
    curve = logs[target]
    while len(curve) <= last and np.isfinite(curve[-1]):
        yield len(curve) - 1
        session.train_epoch()
        values = native(session.evaluate())
        if values.keys() != logs.keys():
            names = " and ".join(", ".join(sorted(series)) for series in (logs, values))
            raise DataError(f"evaluate returns other series after epoch {len(curve)}: {names}")
        for name, value in values.items():
            logs[name].append(value)


def curves_of(
    task: Task,
    space: ConfigSpace.ConfigurationSpace,
    runs: Sequence[tuple[str, Config, Mapping[str, Sequence[float]]]],
) -> CurveSet:
    """Runs of a task (id, configuration, logs by name) as a collection, NaN after their ends."""
    epochs = np.arange(task.n_epochs + 1)

    def matrix(name: str) -> np.ndarray:
        values = np.full((len(runs), len(epochs)), np.nan)
        for row, (_, _, logs) in enumerate(runs):
            log = logs.get(name, ())
            values[row, : len(log)] = log
        return values

    table: dict[str, Any] = {"id": [key for key, _, _ in runs]}
    log_columns = []
    # The size of a network tells a predictor more than the list of its layers.
    listed = layers.rules_of(space) is not None
    for name, parameter in space.items():
        kind = "info" if listed else "ap" if name in task.architecture else "hp"
        column = f"{kind}_{name}"
        values = [config.get(name) for _, config, _ in runs]
        table[column] = _column(values, parameter)
        if getattr(parameter, "log", False):
            log_columns.append(column)
    described = pd.DataFrame([task.describe(config) for _, config, _ in runs])
    configs = pd.concat([pd.DataFrame(table), described.add_prefix("ap_")], axis=1)
    configs.insert(1, "group", group_equal_rows(configs.drop(columns="id")))
    series = dict.fromkeys(name for _, _, logs in runs for name in logs if name != task.target)
    return CurveSet(
        configs=configs,
        values=matrix(task.target),
        epochs=epochs,
        metric=task.metric,
        direction=task.direction,
        name=task.name,
        source=task.source,
        log_columns=tuple(log_columns),
        series={name: matrix(name) for name in series},
    )


def _column(values: list[Any], parameter: Hyperparameter) -> np.ndarray | pd.Categorical:
    """Numbers, or categories; those that have no order, being of several types, become texts."""
    levels = getattr(parameter, "choices", None)
    if levels is None:  # a range; or numbers or texts that are ordered, or constant
        levels = getattr(parameter, "sequence", None) or [getattr(parameter, "value", 0.0)]
        if not any(isinstance(level, str) for level in levels):
            return np.array(values, dtype=np.float64)
    try:
        return pd.Categorical(values, categories=sorted(levels))
    except TypeError:
        texts = [None if value is None else str(value) for value in values]
        return pd.Categorical(texts, categories=sorted(map(str, levels)))


def _checkpoint(trial: Trial) -> Path | None:
    if trial.directory is None:
        return None
    return trial.directory / "checkpoints" / f"{'-'.join(map(str, trial.id))}.safetensors"


def _load(path: Path, session: Session) -> Logs:
    """Continue the session from a checkpoint; returns the logs up to there."""
    arrays, _ = files.read_arrays(path)
    logs = {k.removeprefix("log:"): v.tolist() for k, v in arrays.items() if k.startswith("log:")}
    state = {k: v for k, v in arrays.items() if not k.startswith("log:")}
    session.resume(len(next(iter(logs.values()))) - 1, state)
    return logs
