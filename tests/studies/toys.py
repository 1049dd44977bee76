"""Objectives with a known answer, importable by the evaluating processes of a study."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ConfigSpace

from curvecast.studies.evaluation import Config, EvaluationError, Objective, Trial


def conditional_space() -> ConfigSpace.ConfigurationSpace:
    """Log, integer, categorical and conditional parameters."""
    space = ConfigSpace.ConfigurationSpace()
    optimizer = ConfigSpace.Categorical("optimizer", ["adam", "sgd"])
    momentum = ConfigSpace.Float("momentum", (0.0, 0.99))
    space.add(
        ConfigSpace.Float("lr", (1e-5, 1e-1), log=True),
        ConfigSpace.Integer("layers", (1, 4)),
        optimizer,
        momentum,
        ConfigSpace.EqualsCondition(momentum, optimizer, "sgd"),
    )
    return space


@dataclass
class Bowl(Objective):
    """Loss 0 at lr = 1e-3 with one layer; `slow` seconds per evaluation, a line per call."""

    calls: Path | None = None
    slow: float = 0.0

    def __post_init__(self) -> None:
        self.space = conditional_space()

    def identity(self) -> dict[str, Any]:
        return {"objective": "bowl"}

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        if self.calls is not None:
            with open(self.calls, "a", encoding="utf-8") as file:
                file.write(f"{list(trial.id)} {trial.budget}\n")
        time.sleep(self.slow)
        loss = (math.log10(config["lr"]) + 3) ** 2 + (config["layers"] - 1) + 1 / trial.budget
        info = {"trained": trial.budget, "cost": trial.budget - trial.trained}
        return {"loss": loss, "info": info}


class TwoArguments(Exception):
    """Cannot be read by another process: its copy is made with one argument."""

    def __init__(self, layer: int, problem: str) -> None:
        super().__init__(f"layer {layer}: {problem}")


class Troubled(Bowl):
    """Raises, hangs, returns NaN, dies or returns nothing, by the number of the configuration."""

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        number = trial.id[2]
        if number == 0:
            raise ZeroDivisionError("boom\nCompile with TORCH_USE_CUDA_DSA for more.")
        if number == 1:
            time.sleep(3600)
        if number == 2:
            return {"loss": float("nan"), "info": {}}
        if number == 3:
            os._exit(7)
        if number == 4:
            return {"info": {}}
        if number == 5:
            raise TwoArguments(3, "no weights")
        return super().evaluate(config, trial)


@dataclass
class Diverging(Bowl):
    """Has no result for configurations with four layers."""

    reason: str = "the run diverged"

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        if config["layers"] == 4:
            raise EvaluationError(self.reason)
        return super().evaluate(config, trial)


@dataclass
class Needing(Bowl):
    """After seven evaluations it needs a file."""

    needed: Path = Path()

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        if len(trial.history) >= 7 and not self.needed.exists():
            raise FileNotFoundError(f"{self.needed.name} is not there")
        return super().evaluate(config, trial)


class Unloadable(Bowl):
    """Cannot be loaded by another process."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Unloadable:
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise ImportError("no such library there")


class Watching(Bowl):
    """Loss 1 where a process would end with Snakemake, and not with the job that started it."""

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Loss 0 or 1."""
        return {"loss": float("CURVECAST_SCHEDULER" in os.environ), "info": {}}
