"""The contract of a task: a network and the data that it is trained on, as studies use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from curvecast.curves import DataError
from curvecast.training.session import Session

if TYPE_CHECKING:
    import ConfigSpace

    from curvecast.studies.evaluation import Config

__all__ = ["Session", "Task"]


class Task(ABC):
    """A network to train on some data.

    Attributes
    ----------
    name, source : of the curve collection that its runs make.
    target : the series that is the learning curve.
    metric, direction : quantity that the target measures, and whether it is to rise.
    score : quantity that `Session.scores` measures, as a heading.
    n_epochs : length of a complete training (schedules depend on it).
    architecture : parameters that are `ap_` columns; the others are `hp_`.
    all_training : whether the validation data are trained on, so that scores on them mean nothing.
    task_options : the arguments that a definition gave (files as a digest); set after `__init__`.
    """

    name: str
    source: str
    target: str
    metric: str
    direction: str
    n_epochs: int
    score: str = "Score"
    architecture: tuple[str, ...] = ()
    all_training: bool = False
    task_options: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def space(self) -> ConfigSpace.ConfigurationSpace:
        """The search space of a study."""

    @abstractmethod
    def start(self, config: Config, seed: int) -> Session:
        """A training before its first epoch."""

    def identity(self) -> dict[str, Any]:
        """JSON of the options and data that change the result of a training: the task's options."""
        return dict(self.task_options)

    def possible(self, config: Config) -> bool:
        """Whether the configuration can be trained; a study draws another one if not."""
        return True

    def describe(self, config: Config) -> dict[str, float]:
        """Further `ap_` columns of a run, such as the number of weights."""
        return {}

    def at_share(self, share: float) -> Task:
        """The same task with this share of its training data; DataError where it cannot."""
        raise DataError(f"task {self.name} cannot be trained on a share of its data")
