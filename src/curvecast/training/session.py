"""The contract of one training under way, and its form for torch networks in torch_session.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np


class Session(ABC):
    """One training under way."""

    @abstractmethod
    def train_epoch(self) -> None:
        """Train for one more epoch."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """The series of the task at this moment; a target that is not finite ends the run."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Scores of the network as it is: `validation`, `test` and others."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Everything that the training continues from (weights, momenta, ...)."""

    @abstractmethod
    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Continue after `epoch` with the `state()` of that time."""

    def weights(self) -> dict[str, np.ndarray]:
        """Weights of the network by name, for other networks to start from."""
        return self.state()

    def transfer(self, weights: Mapping[str, np.ndarray]) -> list[str]:
        """Start from the weights of another network; returns the names of those that fit."""
        raise NotImplementedError(f"{type(self).__name__} does not start from other weights")
