"""Trained ensembles of networks, in the causal form and in Singh's, and what they are trained on.

Both have `members`: final values by member, shape (members, n_configs), in the unit of the curve.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from curvecast.curves import CurveSet
from curvecast.features import forward_fill
from curvecast.predictors._batched_layers import evaluate, seeded, train
from curvecast.predictors._network_inputs import Steps, static_frame, thin
from curvecast.predictors.scaling import Columns, center_and_scale

MAX_STEPS = 12


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained: a class of `_network_shapes` with its sizes, and more."""

    shape: type[nn.Module]
    sizes: tuple[Any, ...]
    epochs: int
    lr: float
    optimizer: str
    seed: int

    def train(self, static: Tensor, second: Tensor, target: np.ndarray, sees: np.ndarray) -> Any:
        """A network trained on settings (runs, p) and its second input (runs, ..., n).

        `target` has shape (members, runs, steps), `sees` (members, runs), 1 where a member trains
        on a run, else 0.
        """
        with seeded(self.seed):
            network = self.shape(len(sees), static.shape[-1], second.shape[-1], *self.sizes)
            train(
                network,
                (static, second),
                as_tensor(target),
                as_tensor(sees),
                epochs=self.epochs,
                lr=self.lr,
                optimizer=self.optimizer,
            )
        return network


def as_tensor(array: np.ndarray) -> Tensor:
    """In single precision."""
    return torch.from_numpy(array.astype(np.float32))


def settings(columns: Columns, curves: CurveSet) -> Tensor:
    """Scaled settings of the runs, shape (n_configs, p)."""
    return as_tensor(columns.apply(static_frame(curves)))


@dataclass(frozen=True)
class Lines:
    """The lines that the outputs of a causal network are measured from.

    Attributes
    ----------
    slope, shift, scale : by member and step, shape (members, n_steps).
    """

    slope: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, y: np.ndarray, sees: np.ndarray) -> Self:
        """Least squares over the training runs that a member sees.

        Parameters
        ----------
        values : at the steps, shape (n_runs, n_steps).
        y : final values, shape (n_runs,).
        sees : 1 where a member trains on a run, else 0, shape (members, n_runs).
        """
        w = sees / sees.sum(axis=1, keepdims=True)
        mean_x, mean_y = w @ values, (w @ y)[:, None]
        dx = values - mean_x[:, None, :]
        dy = np.broadcast_to((y - mean_y)[:, :, None], dx.shape)
        variance = np.einsum("mn,mnt->mt", w, dx**2)
        flat = variance <= 1e-24 * np.maximum(mean_x**2, 1e-300)
        slope = np.einsum("mn,mnt->mt", w, dx * dy) / np.where(flat, 1.0, variance)
        slope = np.where(flat, 0.0, slope)
        error = np.einsum("mn,mnt->mt", w, (dy - slope[:, None, :] * dx) ** 2)
        # where the line is exact nothing is left to learn; the floor only keeps numbers finite
        scale = np.maximum(np.sqrt(error), 1e-6 * y.std())
        return cls(slope, mean_y - slope * mean_x, scale)

    def targets(self, values: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What the network should output, shape (members, n_runs, n_steps)."""
        line = self.shift[:, None, :] + self.slope[:, None, :] * values
        return (y[:, None] - line) / self.scale[:, None, :]

    def level(self, out: np.ndarray, values: np.ndarray, step: int) -> np.ndarray:
        """Final values from outputs (members, n_runs) and values (n_runs,) at one step."""
        line = self.shift[:, step, None] + self.slope[:, step, None] * values
        return line + self.scale[:, step, None] * out


@dataclass(frozen=True)
class CausalEnsemble:
    """Members that predict at every step.

    Attributes
    ----------
    step : by tau, the last step that it sees.
    """

    network: nn.Module
    columns: Columns
    steps: Steps
    step: dict[int, int]
    lines: Lines

    @classmethod
    def fit(
        cls, recipe: Recipe, curves: CurveSet, positions: dict[int, int], sees: np.ndarray
    ) -> Self:
        """Train on complete curves; `positions` of the taus among the epochs."""
        columns = Columns.of(static_frame(curves))
        last = max(positions.values())
        steps = Steps.of(curves, thin(last, MAX_STEPS, positions.values()))
        n_steps = len(steps.positions)
        channels = torch.from_numpy(steps.channels(curves, n_steps))
        values = steps.values(curves, n_steps)
        lines = Lines.of(values, curves.final, sees)
        wanted = lines.targets(values, curves.final)
        network = recipe.train(settings(columns, curves), channels, wanted, sees)
        step = {tau: steps.step_of(position) for tau, position in positions.items()}
        return cls(network, columns, steps, step, lines)

    def members(self, curves: CurveSet, tau: int) -> np.ndarray:
        s = self.step[tau]
        channels = torch.from_numpy(self.steps.channels(curves, s + 1))
        out = evaluate(self.network, settings(self.columns, curves), channels)
        return self.lines.level(out[:, :, s], self.steps.values(curves, s + 1)[:, s], s)


@dataclass(frozen=True)
class FixedEnsembles:
    """One network per tau in Singh's form.

    Attributes
    ----------
    networks, values : by tau, the network and the scaling of the values up to it.
    center, scale : of the training runs' final values.
    """

    networks: dict[int, nn.Module]
    columns: Columns
    values: dict[int, Columns]
    center: float
    scale: float

    @classmethod
    def fit(
        cls, recipe: Recipe, curves: CurveSet, taus: Iterable[int], sees: np.ndarray, scaling: str
    ) -> Self:
        """Train a network per tau; `scaling` of inputs and target is one of `SCALINGS`."""
        columns = Columns.of(static_frame(curves), scaling)
        static = settings(columns, curves)
        y = curves.final
        center, scale = (float(x[0]) for x in center_and_scale(y[:, None], scaling))
        target = np.broadcast_to(((y - center) / scale)[:, None], (len(sees), len(y), 1))
        networks, values = {}, {}
        for tau in taus:
            frame = value_frame(curves, tau)
            values[tau] = Columns.of(frame, scaling)
            second = as_tensor(values[tau].apply(frame))
            networks[tau] = recipe.train(static, second, target, sees)
        return cls(networks, columns, values, center, scale)

    def members(self, curves: CurveSet, tau: int) -> np.ndarray:
        second = as_tensor(self.values[tau].apply(value_frame(curves, tau)))
        out = evaluate(self.networks[tau], settings(self.columns, curves), second)
        return self.center + self.scale * out[:, :, 0]


def value_frame(curves: CurveSet, tau: int) -> pd.DataFrame:
    """Forward-filled values up to tau, a column per epoch."""
    seen = curves.seen(tau)
    names = [f"y_{epoch}" for epoch in curves.epochs[seen]]
    return pd.DataFrame(forward_fill(curves.values[:, seen]), columns=names)
