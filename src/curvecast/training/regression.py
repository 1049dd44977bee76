"""Small perceptrons for regression from a table (house prices), runs of one shape at once.

The weights of R runs are stacked, so that one `baddbmm` per layer serves all of them: a step costs
its calls, not its arithmetic. Losses are summed over the runs, and optimisers work by element, so
no run influences another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from curvecast.curves import DataError
from curvecast.protocol import seed_from
from curvecast.training.torch_session import TorchSession, check_choices, optimizer_of

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
# A run whose validation error is so many times the variance of the target does not come back.
_DIVERGED = 1e4
# log sigma² of the standardised target stays within what float32 can divide by.
_LOG_VARIANCE = (-12.0, 12.0)


@dataclass(frozen=True)
class Table:
    """Features (n, p) and targets (n,) of three parts, float64, in the units of the file."""

    name: str
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def load(name: str, stanza: Mapping[str, Any], path: str | Path, division: int = 0) -> Table:
    """Read the CSV of a stanza of kind `task`; the parts are drawn from (name, division).

    Raises
    ------
    DataError : no CSV, a missing column, a cell that is no number, or too few rows for the `split`.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise DataError(f"not a CSV ({str(error).strip()})", file=path) from error
    columns = [*stanza["features"], stanza["target"]]
    numbers = np.empty((len(frame), len(columns)))
    for j, column in enumerate(columns):
        if column not in frame:
            raise DataError("missing column", file=path, column=column)
        parsed = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(parsed))
        if len(bad):
            cell = frame[column].iloc[bad[0]]
            raise DataError(f"{cell!r} is not a number", file=path, row=bad[0] + 2, column=column)
        numbers[:, j] = parsed
    sizes = stanza["split"]
    if sum(sizes) > len(numbers):
        raise DataError(f"{len(numbers)} rows cannot be divided into {sizes}", file=path)
    rng = np.random.default_rng(seed_from(name, "split", division))
    ends = np.cumsum(sizes)
    rows = np.split(rng.permutation(len(numbers))[: ends[-1]], ends[:-1])
    train, validation, test = ((numbers[part, :-1], numbers[part, -1]) for part in rows)
    return Table(name, train, validation, test)


@dataclass(frozen=True)
class Recipe:
    """A perceptron and how it is trained; `loss` is mse or gaussian (mean and log variance)."""

    widths: tuple[int, ...]
    batch_size: int
    learning_rate: float
    activation: str = "relu"
    optimizer: str = "adam"
    loss: str = "mse"

    def __post_init__(self) -> None:
        check_choices(
            self,
            activation=tuple(ACTIVATIONS),
            optimizer=("adam", "sgd"),
            loss=("mse", "gaussian"),
        )


class Stack(TorchSession):
    """R runs of one recipe, differing in their seeds and possibly in their tables.

    Features and target are standardised by the training rows; errors are reported in the unit of
    the target, log-likelihoods per row in that unit too.

    Parameters
    ----------
    tables : one per run, with parts of equal sizes.
    """

    def __init__(self, tables: Sequence[Table], recipe: Recipe, seeds: Sequence[int]) -> None:
        self.recipe, self.seeds = recipe, list(seeds)
        self._centre, self._scale = (
            np.array([statistic(t.train[1]) for t in tables]) for statistic in (np.mean, np.std)
        )
        self.targets = {n: np.stack([getattr(t, n)[1] for t in tables]) for n in _PARTS}
        self._x = {n: torch.from_numpy(_standardised(tables, n)).float() for n in _PARTS}
        y = (self.targets["train"] - self._centre[:, None]) / self._scale[:, None]
        self._y = torch.from_numpy(y).float()
        outputs = 2 if recipe.loss == "gaussian" else 1
        units = [self._x["train"].shape[2], *recipe.widths, outputs]
        parameters = [
            tensor
            for number, sizes in enumerate(itertools.pairwise(units))
            for tensor in _initial(self.seeds, number, *sizes)
        ]
        self.network = nn.ParameterList(parameters)
        self.optimizer = optimizer_of(self.network, recipe.optimizer, recipe.learning_rate)
        self.n_parameters = sum(t[0].numel() for t in parameters)

    def train_epoch(self) -> None:
        """One pass over the training rows, every run in an order of its own."""
        self.epoch += 1
        n = self._y.shape[1]
        orders = [
            np.random.default_rng(seed_from(seed, "epoch", self.epoch)).permutation(n)
            for seed in self.seeds
        ]
        order = torch.from_numpy(np.stack(orders))
        x = self._x["train"].gather(1, order[..., None].expand(-1, -1, self._x["train"].shape[2]))
        y = self._y.gather(1, order)
        size = self.recipe.batch_size
        for rows, targets in zip(x.split(size, dim=1), y.split(size, dim=1), strict=True):
            self.optimizer.zero_grad()
            self._losses(self._forward(rows), targets).mean(dim=1).sum().backward()
            self.optimizer.step()

    def evaluate(self) -> dict[str, float]:
        """Means of `errors` over the runs."""
        return {name: float(values.mean()) for name, values in self.errors().items()}

    def errors(self) -> dict[str, np.ndarray]:
        """`{train,val}_mse`, and `{train,val}_nll` of the Gaussian likelihood; arrays (R,).

        A run that has diverged is inf in all of them.
        """
        log = {}
        for part, short in (("train", "train"), ("validation", "val")):
            mean, std = self.predict(part)
            errors = self.targets[part] - mean
            log[f"{short}_mse"] = np.mean(errors**2, axis=1)
            if self.recipe.loss == "gaussian":
                log[f"{short}_nll"] = -stats.norm.logpdf(errors, scale=std).mean(axis=1)
        limit = _DIVERGED * self._scale**2
        good = np.all([np.isfinite(v) for v in log.values()], axis=0) & (log["val_mse"] < limit)
        return {name: np.where(good, values, np.inf) for name, values in log.items()}

    def scores(self) -> dict[str, float]:
        """Mean squared errors, their standard deviation over the runs where there are several.

        With the likelihood also the coverage of the 80 % interval of the test rows.
        """
        result = {}
        for part in _PARTS:
            mean, _ = self.predict(part)
            errors = np.mean((self.targets[part] - mean) ** 2, axis=1)
            result[part] = float(errors.mean())
            if len(errors) > 1:
                result[f"{part}_division_sd"] = float(errors.std(ddof=1))
        if self.recipe.loss == "gaussian":
            covered = self.coverage("test")
            result |= {f"test_{name}": float(values.mean()) for name, values in covered.items()}
        return result

    @torch.no_grad()
    def predict(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations (1 without the likelihood), both (R, n)."""
        outputs = self._forward(self._x[part]).double().numpy()
        scale = self._scale[:, None]
        mean = outputs[..., 0] * scale + self._centre[:, None]
        if self.recipe.loss == "mse":
            return mean, np.ones_like(mean)
        return mean, np.exp(0.5 * np.clip(outputs[..., 1], *_LOG_VARIANCE)) * scale

    def coverage(self, part: str, level: float = 0.8) -> dict[str, np.ndarray]:
        """Share of targets in the central interval, as trained and calibrated; arrays (R,).

        Calibrated: the standard deviations are multiplied by the factor that makes the interval
        cover `level` of the validation rows (split conformal prediction with normalised
        residuals, Lei et al. 2018). It is meant for another part than the validation's.
        """
        half = stats.norm.ppf(0.5 + level / 2)
        ratios = {}
        for name in ("validation", part):
            mean, std = self.predict(name)
            ratios[name] = np.abs(self.targets[name] - mean) / std
        n = ratios["validation"].shape[1]
        rank = min(n, math.ceil((n + 1) * level)) - 1
        widths = np.sort(ratios["validation"], axis=1)[:, rank]
        return {
            "coverage": (ratios[part] <= half).mean(axis=1),
            "calibrated_coverage": (ratios[part] <= widths[:, None]).mean(axis=1),
            "factor": widths / half,
        }

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        activation = ACTIVATIONS[self.recipe.activation]
        parameters = list(self.network.parameters())
        layers = zip(parameters[::2], parameters[1::2], strict=True)
        *hidden, (weight, bias) = layers
        for inner_weight, inner_bias in hidden:
            x = activation(torch.baddbmm(inner_bias, x, inner_weight))
        return torch.baddbmm(bias, x, weight)

    def _losses(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        errors = (outputs[..., 0] - y).square()
        if self.recipe.loss == "mse":
            return errors
        log_variance = outputs[..., 1].clamp(*_LOG_VARIANCE)
        return 0.5 * (log_variance + errors * torch.exp(-log_variance))


_PARTS = ("train", "validation", "test")


def _standardised(tables: Sequence[Table], part: str) -> np.ndarray:
    return np.stack(
        [(getattr(t, part)[0] - t.train[0].mean(0)) / t.train[0].std(0) for t in tables]
    )


def _initial(seeds: Sequence[int], layer: int, n_in: int, n_out: int) -> list[nn.Parameter]:
    """Weights (R, n_in, n_out) and biases (R, 1, n_out), uniform in ±1/sqrt(n_in) (torch's)."""
    draws = np.stack(
        [
            np.random.default_rng(seed_from(seed, "layer", layer)).uniform(-1, 1, (n_in + 1, n_out))
            for seed in seeds
        ]
    )
    values = torch.from_numpy(draws / math.sqrt(n_in)).float()
    return [nn.Parameter(values[:, :-1].clone()), nn.Parameter(values[:, -1:].clone())]
