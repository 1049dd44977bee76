"""pfn: a network that has seen other trainings answers from the runs of this task, from none on.

A prior-fitted network (Müller et al. 2022): it was trained to predict the ends of runs of other
tasks from their first epochs and from a context of finished runs, so that a prediction is one
forward pass and nothing is fitted. `training/prior.py` trains it, docs/prior.md says on what and
how good it is; the weights are shipped beside this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load
from threadpoolctl import threadpool_limits

from curvecast import features
from curvecast.curves import CurveSet, DataError
from curvecast.predictors._prior_features import (
    FALL,
    RISE,
    SETTINGS,
    Context,
    Runs,
    View,
    is_log,
    to_gain,
    to_target,
)
from curvecast.predictors._prior_network import Network, NumpyOps, Sizes
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.scaling import Columns

MODELS = {
    "pfn": {
        "class": "PriorFitted",
        "label": "Network trained on other trainings; reads the finished runs of this task.",
        "cite": "Adriaensen et al. (2023); Rakotoarison et al. (2024)",
        "order": 155,
        "look": ("purple", "D", "solid"),
    }
}

WEIGHTS = Path(__file__).with_suffix(".safetensors")
# Of the file WEIGHTS: other weights are other numbers, and whatever depends on them runs again.
SHA256 = "25ce2334be4d22a3fc806571967011801e931871786d9838e3b472bfc1c8fbcb"
MAX_CONTEXT = 200
# From fewer runs the scale of a setting cannot be told.
_FEWEST_FOR_SETTINGS = 3
_CHUNK = 256
_LARGEST = 700.0
# Widest tail of a target: less than that of a distribution with a finite variance.
_TAIL = 0.5


class PriorFitted(Predictor):
    """Network trained on other trainings; `fit` stores its context, which may be empty.

    A context run without a finite end is unfinished: up to its last epoch seen it informs about
    the settings, its end is open. At tau it counts where it has a finite value at tau.
    The mean is the median of the distribution and the standard deviation half of its central
    68 %, which heavy tails do not reach.

    Parameters
    ----------
    weights : a file that `training.prior` wrote, in place of the shipped ones.
    """

    needs_training = False

    def __init__(self, *, seed: int = 0, weights: str | None = None) -> None:
        super().__init__(seed=seed)
        self.weights = weights
        self._values, self._epochs = np.zeros((0, 1)), np.zeros(1, dtype=np.int64)
        self._settings: np.ndarray | None = None
        self._columns: Columns | None = None

    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        """Store the runs as context; at most MAX_CONTEXT, drawn with the seed."""
        if len(curves) > MAX_CONTEXT:
            rng = np.random.default_rng(self.seed)
            curves = curves.take(np.sort(rng.permutation(len(curves))[:MAX_CONTEXT]))
        self._values, self._epochs = curves.values, curves.epochs
        self._columns = self._settings = None
        finished = np.isfinite(curves.final)
        if finished.sum() >= _FEWEST_FOR_SETTINGS:
            static = features.static(curves)
            columns = Columns.of(static.loc[finished])
            told = _most_telling(columns.apply(static)[finished], curves.final[finished])
            self._columns = columns = Columns.of(
                static.loc[finished, [columns.names[i] for i in told]]
            )
            self._settings = columns.apply(static)
        return self

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        values = curves.values[:, curves.seen(tau)]
        rows = self._usable(tau)
        shown = np.column_stack([self._values[:, self._epochs <= tau], self._values[:, -1]])[rows]
        log = is_log(-curves.sign * values) & is_log(-curves.sign * shown).all()
        settings = None if self._columns is None else self._columns.apply(features.static(curves))
        model = prior(Path(self.weights) if self.weights else WEIGHTS)
        last, scale = np.zeros(len(curves)), np.zeros(len(curves))
        masses = np.zeros((len(curves), len(model.edges) - 1))
        with threadpool_limits(1):
            for kind in np.unique(log):
                view = View(curves.sign, bool(kind))
                asked = np.flatnonzero(log == kind)
                context, memory = self._remember(model, view, rows, tau)
                for part in np.array_split(asked, -(-len(asked) // _CHUNK)):
                    runs = Runs.of(
                        view, values[part], curves.epochs[curves.seen(tau)], curves.last_epoch
                    )
                    vectors = context.vectors(runs, None if settings is None else settings[part])
                    last[part], scale[part] = runs.last, context.scale(runs)
                    masses[part] = model.masses(vectors, memory)
        return HistogramPrediction.of(masses, model.edges, last, scale, log, curves.sign)

    def _usable(self, tau: int) -> np.ndarray:
        """Rows of the context that have begun by tau, and have a finite end or one at tau."""
        seen = np.isfinite(self._values[:, self._epochs <= tau])
        if not seen.shape[1]:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(seen.any(axis=1) & (np.isfinite(self._values[:, -1]) | seen[:, -1]))

    def _remember(
        self, model: FittedPrior, view: View, rows: np.ndarray, tau: int
    ) -> tuple[Context, list[tuple[np.ndarray, np.ndarray]]]:
        """The context's scales, and what the network remembers of its runs."""
        seen = self._epochs <= tau
        if not len(rows):
            return Context(0), model.network.remember(np.zeros((0, model.n_inputs)))
        runs = Runs.of(view, self._values[rows][:, seen], self._epochs[seen], int(self._epochs[-1]))
        ends = view(self._values[rows, -1])
        known = np.isfinite(ends)
        context = Context.of(runs.take(known), ends[known])
        settings = None if self._settings is None else self._settings[rows]
        vectors = context.shown(context.vectors(runs, settings), runs, ends, known)
        return context, model.network.remember(vectors)


def _most_telling(settings: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Up to SETTINGS columns, those whose ranks go most with those of the ends; in their order."""
    if settings.shape[1] <= SETTINGS:
        return np.arange(settings.shape[1])
    ranks = [np.argsort(np.argsort(column, kind="stable")) for column in (*settings.T, ends)]
    strength = np.abs(np.atleast_2d(np.corrcoef(ranks))[-1, :-1])
    return np.sort(np.argsort(-strength, kind="stable")[:SETTINGS])


@dataclass(frozen=True)
class FittedPrior:
    """A trained network, and the edges of the bins that it answers with."""

    network: Network
    edges: np.ndarray

    @property
    def n_inputs(self) -> int:
        return len(self.network.weights["in.w"])

    def masses(
        self, vectors: np.ndarray, memory: list[tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """Probabilities of the bins, shape (n, bins)."""
        return self.network.ops.softmax(self.network.answer(vectors, memory))


@cache
def prior(path: Path) -> FittedPrior:
    """Read trained weights, in double precision.

    Raises
    ------
    DataError : no such file, not one of weights, or the shipped one is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"no weights of the prior ({error.strerror})", file=path) from error
    if path == WEIGHTS and hashlib.sha256(content).hexdigest() != SHA256:
        raise DataError("the weights of the prior are damaged: another checksum", file=path)
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        recipe = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["recipe"])
        sizes = Sizes(**recipe["sizes"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"not weights of the prior ({error!r})", file=path) from error
    weights = {name: array.astype(np.float64) for name, array in tensors.items()}
    return FittedPrior(Network(weights, sizes, NumpyOps()), weights.pop("edges"))


@dataclass(frozen=True, eq=False)
class HistogramPrediction(Prediction):
    """Distributions that are histograms of a run's target (see `_prior_features.to_target`).

    Between edges the density of the target is constant; the outermost bins have exponential tails
    in place of their outer edges.

    Attributes
    ----------
    masses : of the bins, shape (n, bins). edges : shape (bins + 1,).
    last, scale : of the runs, on the network's side, shape (n,). log : whether that is a
        logarithm, shape (n,). sign : of the direction. shift, slope : of `affine`.
    """

    masses: np.ndarray
    edges: np.ndarray
    last: np.ndarray
    scale: np.ndarray
    log: np.ndarray
    sign: float
    shift: np.ndarray | float = 0.0
    slope: float = 1.0

    @classmethod
    def of(
        cls,
        masses: np.ndarray,
        edges: np.ndarray,
        last: np.ndarray,
        scale: np.ndarray,
        log: np.ndarray,
        sign: float,
    ) -> Self:
        """With the median and half of the central 68 % as `mean` and `std`."""
        blank = np.zeros(len(last))
        made = cls(blank, blank, masses, edges, last, scale, log, sign)
        low, middle, high = made.quantile([0.16, 0.5, 0.84]).T
        return replace(made, mean=middle, std=(high - low) / 2)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        levels = np.asarray(levels, dtype=np.float64)
        target = self._target_at(levels if self.sign < 0 else 1 - levels)
        seen = self.last[:, None] + to_gain(target, self.scale[:, None], self.log[:, None])
        worse = np.where(self.log[:, None], np.exp(np.clip(seen, -_LARGEST, _LARGEST)), seen)
        return np.reshape(self.shift, (-1, 1)) - self.sign * self.slope * worse

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        worse = -self.sign * (np.asarray(value, dtype=np.float64) - self.shift) / self.slope
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            seen = np.where(self.log, np.log(np.maximum(worse, 0)), worse)
            below = self._below(to_target(seen - self.last, self.scale, self.log))
        below = np.where(self.log & (seen - self.last > RISE), 1.0, below)
        below = np.where(self.log & (seen - self.last < FALL), 0.0, below)
        return below if self.sign < 0 else 1 - below

    def affine(self, shift: np.ndarray | float, scale: float) -> HistogramPrediction:
        return replace(
            self,
            mean=shift + scale * self.mean,
            std=scale * self.std,
            shift=shift + scale * np.asarray(self.shift),
            slope=scale * self.slope,
        )

    def _tails(self) -> np.ndarray:
        """Widths of the exponential tails below and above."""
        return np.minimum(np.diff(self.edges)[[0, -1]], _TAIL)

    def _target_at(self, levels: np.ndarray) -> np.ndarray:
        """Targets at levels, shape (n, n_levels)."""
        inner, upper = self.edges[1:-1], np.cumsum(self.masses, axis=1)[:, :-1]
        out = np.array([np.interp(levels, row, inner) for row in upper]).reshape(-1, len(levels))
        first, final = upper[:, :1], 1 - upper[:, -1:]
        width = self._tails()
        with np.errstate(divide="ignore", invalid="ignore"):
            low = inner[0] + width[0] * np.log(levels / first)
            high = inner[-1] - width[1] * np.log((1 - levels) / final)
        out = np.where(levels < first, low, out)
        return np.where(1 - levels < final, high, out)

    def _below(self, target: np.ndarray) -> np.ndarray:
        """Share of each run's distribution below one target, shape (n,)."""
        inner, upper = self.edges[1:-1], np.cumsum(self.masses, axis=1)[:, :-1]
        inside = np.array([np.interp(t, inner, row) for t, row in zip(target, upper, strict=True)])
        width = self._tails()
        low = upper[:, 0] * np.exp(np.minimum((target - inner[0]) / width[0], 0))
        high = 1 - (1 - upper[:, -1]) * np.exp(np.minimum((inner[-1] - target) / width[1], 0))
        return np.where(target < inner[0], low, np.where(target > inner[-1], high, inside))
