"""House prices from a few numbers (Ames), really trained: mean squared error or likelihood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ConfigSpace
import torch

from curvecast.curves import DataError
from curvecast.protocol import seed_from
from curvecast.studies import identity
from curvecast.studies.evaluation import Config
from curvecast.studies.objectives.task import Task
from curvecast.studies.spaces import houses
from curvecast.training import regression
from curvecast.training.images import source

_NARROWEST = 8
# Target and metric by loss.
_SERIES = {
    "mse": ("val_mse", "validation squared error"),
    "gaussian": ("val_nll", "validation negative log-likelihood"),
}


@dataclass
class HouseTask(Task):
    """Validation error of a perceptron on sale prices.

    Attributes
    ----------
    data : stanza of a data set of kind `task` in the format csv, with its `name`.
    raw : its file.
    loss : mse, or gaussian: the network predicts a mean and a log variance per house.
    n_epochs : length of a complete training.
    divisions : random divisions into training, validation and test rows. One run of each is
        trained, all together, and series and scores are means over them: a few expensive houses
        change the error of a single division by half.
    fixed : parameters that are not searched.
    """

    data: Mapping[str, Any]
    raw: Sequence[str | Path]
    loss: str = "mse"
    n_epochs: int = 800
    divisions: int = 1
    fixed: Mapping[str, Any] = field(default_factory=dict)
    direction: str = "minimize"
    architecture: tuple[str, ...] = ("depth", "width", "activation")
    score = "Mean squared error"

    def __post_init__(self) -> None:
        self.name = f"trained/{self.data['name'].rpartition('/')[2]}"
        self.source = source(self.data)
        if self.loss not in _SERIES:
            raise DataError(f"loss {self.loss!r} is not one of {', '.join(_SERIES)}")
        self.target, self.metric = _SERIES[self.loss]
        self._tables = [
            regression.load(self.data["name"], self.data, self.raw[0], division=k)
            for k in range(self.divisions)
        ]

    def identity(self) -> dict[str, Any]:
        """All options that change the result of a training, with a digest of the file."""
        options = {name: getattr(self, name) for name in ("loss", "n_epochs", "divisions", "fixed")}
        facts = {name: self.data[name] for name in ("name", "features", "target", "split")}
        return {**options, "data": facts, "files": identity.of_files(self.raw)}

    def space(self) -> ConfigSpace.ConfigurationSpace:
        """Depth, width, activation, optimiser, batch size and learning rate."""
        return houses.perceptron()

    def describe(self, config: Config) -> dict[str, float]:
        """Number of weights."""
        return {"num_params": self.start(config, 0).n_parameters}

    def start(self, config: Config, seed: int) -> regression.Stack:
        """Networks before their first epoch, one per division."""
        torch.set_num_threads(1)
        recipe = recipe_of({**config, **self.fixed}, self.loss)
        seeds = [seed_from(seed, k) for k in range(self.divisions)]
        return regression.Stack(self._tables, recipe, seeds)


def recipe_of(config: Config, loss: str) -> regression.Recipe:
    """The training of a configuration; `widths` may stand for `depth` and `width`."""
    widths = config.get("widths") or [
        max(_NARROWEST, config["width"] // 2**i) for i in range(config["depth"])
    ]
    names = ("batch_size", "learning_rate", "activation", "optimizer")
    return regression.Recipe(tuple(widths), **{name: config[name] for name in names}, loss=loss)
