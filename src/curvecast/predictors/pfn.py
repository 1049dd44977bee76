"""pfn: a network that has seen other trainings answers from the runs of this task, from none on.

A prior-fitted network (Müller et al. 2022): it was trained to predict the ends of runs of other
tasks from their first epochs and from a context of finished runs, so that a prediction is one
forward pass and nothing is fitted. `training/prior.py` trains it, docs/prior.md says on what and
how good it is; the weights are shipped beside this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
from threadpoolctl import ThreadpoolController

from curvecast import features
from curvecast.curves import CurveSet, DataError
from curvecast.files import read_arrays
from curvecast.predictors._prior_features import (
    FALL,
    RISE,
    Context,
    Runs,
    View,
    is_log,
    to_gain,
    to_target,
)
from curvecast.predictors._prior_network import Network, NumpyOps, Sizes, middles_of, tails_of
from curvecast.predictors._prior_settings import KnownSettings, most_telling
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.scaling import Columns
from curvecast.protocol import grouped_folds

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
SHA256 = "49c8f1a3ff5c1e8dcf6ac3f85a740ffbef8a7dcbd9549164f7ad5d7e8d4cbe16"
# The network was trained on contexts of up to 100 runs, and more help: with 500 the error is .93 to
# .94 of that with 128 (embedded collections, five sets of LCBench). A run takes 90 ms then.
MAX_CONTEXT = 500
# Share of a distribution in each tail; chosen on the embedded collections.
TAIL = 0.01
# Fewer runs do not show the scale of a setting.
_FEWEST_FOR_SETTINGS = 3
_CHUNK = 256
_LARGEST = 700.0


class PriorFitted(Predictor):
    """Network trained on other trainings; `fit` stores its context, which may be empty.

    A context run without a finite end is unfinished: up to its last epoch seen it informs about
    the settings, its end is open. At tau it counts where it has a finite value at tau.
    Without a context the mean is a point prediction of its own, trained on absolute errors and
    ranks; with n finished runs it weighs 1 / (n + 1) beside the median. The standard deviation is
    half of the central 68 %, which heavy tails do not reach.

    Parameters
    ----------
    weights : a file that `training.adapted` or `training.prior` wrote, in place of the shipped
        ones. The former know settings by name, and read them without any finished run.

    Raises
    ------
    DataError : no such file, or not one of weights.
    """

    needs_training = needs_taus = False
    calibrated = True
    takes_unfinished = True
    warps_explosions = False  # the network has seen exploding values
    _adapted: FittedPrior | None = None
    _finished: CurveSet | None = None
    NOT_SAVED = ("_finished",)

    def __init__(self, *, seed: int = 0, weights: str | None = None) -> None:
        super().__init__(seed=seed)
        self.weights = weights
        self._values, self._epochs = np.zeros((0, 1)), np.zeros(1, dtype=np.int64)
        self._groups, self._sign = np.zeros(0, dtype=np.int64), 1.0
        self._settings: np.ndarray | None = None
        self._columns: Columns | None = None
        self._adapted = None if weights is None else read_weights(Path(weights))

    def _fit_curves(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        """Store the runs as context: at most MAX_CONTEXT, finished ones first, by the seed."""
        finished = np.isfinite(curves.final)
        self._finished = curves.take(finished)
        if len(curves) > MAX_CONTEXT:
            order = np.random.default_rng(self.seed).permutation(len(curves))
            order = order[np.argsort(~finished[order], kind="stable")]
            curves = curves.take(np.sort(order[:MAX_CONTEXT]))
            finished = np.isfinite(curves.final)
        self._values, self._epochs = curves.values, curves.epochs
        self._groups, self._sign = curves.groups, curves.sign
        self._columns = None
        if finished.sum() >= _FEWEST_FOR_SETTINGS:
            static = features.static(curves)
            columns = Columns.of(static.loc[finished])
            chosen = most_telling(columns.apply(static)[finished], curves.final[finished])
            names = [columns.names[i] for i in chosen]
            self._columns = Columns.of(static.loc[finished, names])
        self._settings = self._settings_of(curves)
        return self

    def _settings_of(self, curves: CurveSet) -> np.ndarray | None:
        """Settings as the network reads them, shape (n, <= SETTINGS); None where it reads none."""
        known = self._prior().known
        if known is not None and (settings := known(curves)) is not None:
            return settings
        return None if self._columns is None else self._columns.apply(features.static(curves))

    def predict_left_out(self, tau: int) -> Prediction | None:
        """Every finished run from the context without a tenth of it; None where that is no run."""
        runs = self._finished
        if runs is None or len(np.unique(runs.groups)) < 2:
            return None
        seen, usable = runs.seen(tau), self._usable(tau)
        settings = self._settings_of(runs)
        folds = grouped_folds(runs.groups, 10, self.seed)
        answers = self._unanswered(len(runs), self._sign)
        for fold in range(folds.max() + 1):
            out = np.flatnonzero(folds == fold)
            own = None if settings is None else settings[out]
            asked = Asked(runs.values[out][:, seen], runs.epochs[seen], own)
            context = usable[~np.isin(self._groups[usable], runs.groups[out])]
            self._answer(answers, out, asked, runs.last_epoch, context, tau)
        return HistogramPrediction.of(answers, self._prior().edges)

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        seen = curves.seen(tau)
        asked = Asked(curves.values[:, seen], curves.epochs[seen], self._settings_of(curves))
        answers = self._unanswered(len(curves), curves.sign)
        everyone = np.arange(len(curves))
        self._answer(answers, everyone, asked, curves.last_epoch, self._usable(tau), tau)
        return HistogramPrediction.of(answers, self._prior().edges)

    def _unanswered(self, n: int, sign: float) -> Answers:
        """Arrays to write the answers for n runs to."""
        point, lean, last, scale = np.zeros((4, n))
        masses = np.zeros((n, len(self._prior().edges) - 1))
        return Answers(masses, point, lean, last, scale + 1, np.zeros(n, bool), sign)

    def _prior(self) -> FittedPrior:
        return self._adapted or shipped()

    def _usable(self, tau: int) -> np.ndarray:
        """Rows of the context that have begun by tau, and have a finite end or one at tau."""
        seen = np.isfinite(self._values[:, self._epochs <= tau])
        if not seen.shape[1]:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(seen.any(axis=1) & (np.isfinite(self._values[:, -1]) | seen[:, -1]))

    def _answer(
        self,
        answers: Answers,
        places: np.ndarray,
        asked: Asked,
        last_epoch: int,
        rows: np.ndarray,
        tau: int,
    ) -> None:
        """Write the answers to what is asked, from the context's `rows`, to `places`."""
        model, sign = self._prior(), answers.sign
        shown = np.column_stack([self._values[:, self._epochs <= tau], self._values[:, -1]])[rows]
        log = is_log(-sign * asked.values) & is_log(-sign * shown).all()
        answers.log[places] = log
        with _pools().limit(limits=1):
            for kind in np.unique(log):
                view = View(sign, bool(kind))
                context, memory = self._remember(model, view, rows, tau)
                same = np.flatnonzero(log == kind)
                for part in np.array_split(same, -(-len(same) // _CHUNK)):
                    runs = Runs.of(view, asked.values[part], asked.epochs, last_epoch)
                    settings = None if asked.settings is None else asked.settings[part]
                    vectors = context.vectors(runs, settings)
                    at = places[part]
                    answers.last[at], answers.scale[at] = runs.last, context.scale(runs)
                    answers.masses[at], answers.point[at] = model.answer(vectors, memory)
                    answers.lean[at] = 1 / (1 + context.n)

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


@cache
def _pools() -> ThreadpoolController:
    """Which libraries have threads: to list them takes longer than to ask the network once."""
    return ThreadpoolController()


@dataclass(frozen=True)
class Asked:
    """Prefixes (n, T) at epochs (T,) with scaled settings (n, p) or None."""

    values: np.ndarray
    epochs: np.ndarray
    settings: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answers for n runs, to be filled in.

    Attributes
    ----------
    masses : of the bins, shape (n, bins). point : predicted targets, lean : their weights beside
        the medians, last and scale : of the runs, on the network's side, shape (n,).
        log : whether that is a logarithm, shape (n,). sign : of the direction.
    """

    masses: np.ndarray
    point: np.ndarray
    lean: np.ndarray
    last: np.ndarray
    scale: np.ndarray
    log: np.ndarray
    sign: float


@dataclass(frozen=True)
class FittedPrior:
    """A trained network, the edges of the bins that it answers with, settings that it knows."""

    network: Network
    edges: np.ndarray
    known: KnownSettings | None = None

    @property
    def n_inputs(self) -> int:
        return len(self.network.weights["in.w"])

    def answer(
        self, vectors: np.ndarray, memory: list[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the bins, shape (n, bins), and predicted targets, shape (n,)."""
        logits = np.stack(np.split(self.network.answer(vectors, memory), 2, axis=-1))
        masses, weights = self.network.ops.softmax(logits)
        return masses, weights @ middles_of(self.edges)


@cache
def shipped() -> FittedPrior:
    """The shipped weights. Raises DataError where their file is damaged."""
    if hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() != SHA256:
        raise DataError("the weights of the prior are damaged: another checksum", file=WEIGHTS)
    return read_weights(WEIGHTS)


def read_weights(path: Path) -> FittedPrior:
    """Read trained weights, in double precision.

    Raises
    ------
    DataError : no such file, a damaged one, or not one of weights.
    """
    if not path.is_file():
        raise DataError("no weights of the prior", file=path)
    tensors, meta = read_arrays(path)
    try:
        weights = {name: array.astype(np.float64) for name, array in tensors.items()}
        edges, sizes = weights.pop("edges"), Sizes(**meta["recipe"]["sizes"])
        known = KnownSettings.from_json(meta["settings"]) if "settings" in meta else None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"not weights of the prior ({error!r})", file=path) from error
    return FittedPrior(Network(weights, sizes, NumpyOps()), edges, known)


@dataclass(frozen=True, eq=False)
class HistogramPrediction(Prediction):
    """Distributions that are histograms of a run's target (see `_prior_features.to_target`).

    Between edges the density of the target is constant; the outermost bins have exponential tails
    in place of their outer edges. The bins resolve no probability below about a hundredth: what
    lies beyond the quantiles at TAIL and 1 - TAIL is exponential too, with the rate between TAIL
    and 5 TAIL (peaks over a threshold, Pickands 1975, with shape 0).

    Attributes
    ----------
    answers : the bins' masses and the runs' scales. edges : of the bins, shape (bins + 1,).
    """

    answers: Answers
    edges: np.ndarray

    @classmethod
    def of(cls, answers: Answers, edges: np.ndarray) -> Self:
        """With `mean` inside of the central 80 %, and half of the central 68 % as `std`."""
        blank = np.zeros(len(answers.last))
        made = cls(blank, blank, answers, edges)
        least, middle, most = made._target_at(np.array([0.1, 0.5, 0.9])).T
        point = answers.lean * np.clip(answers.point, least, most) + (1 - answers.lean) * middle
        low, high = made.quantile([0.16, 0.84]).T
        return replace(made, mean=made._values(point[:, None])[:, 0], std=(high - low) / 2)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        levels = np.asarray(levels, dtype=np.float64)
        return self._values(self._target_at(levels if self.answers.sign < 0 else 1 - levels))

    def _values(self, target: np.ndarray) -> np.ndarray:
        """Values of targets, both of shape (n, any)."""
        seen = self.answers.last[:, None] + to_gain(
            target, self.answers.scale[:, None], self.answers.log[:, None]
        )
        worse = np.where(
            self.answers.log[:, None], np.exp(np.clip(seen, -_LARGEST, _LARGEST)), seen
        )
        return -self.answers.sign * worse

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        worse = -self.answers.sign * np.asarray(value, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            seen = np.where(self.answers.log, np.log(np.maximum(worse, 0)), worse)
            below = self._below(
                to_target(seen - self.answers.last, self.answers.scale, self.answers.log)
            )
        below = np.where(self.answers.log & (seen - self.answers.last > RISE), 1.0, below)
        below = np.where(self.answers.log & (seen - self.answers.last < FALL), 0.0, below)
        return below if self.answers.sign < 0 else 1 - below

    def _target_at(self, levels: np.ndarray) -> np.ndarray:
        """Targets at levels, shape (n, n_levels)."""
        (low, high), widths = self._cuts()
        with np.errstate(divide="ignore"):
            below = low + widths[0] * np.log(levels / TAIL)
            above = high - widths[1] * np.log((1 - levels) / TAIL)
        out = self._inside(levels)
        out = np.where(levels < TAIL, below, out)
        return np.where(1 - levels < TAIL, above, out)

    def _below(self, target: np.ndarray) -> np.ndarray:
        """Share of each run's distribution below one target, shape (n,)."""
        inner, upper = self.edges[1:-1], np.cumsum(self.answers.masses, axis=1)[:, :-1]
        (low, high), widths = (pair[..., 0] for pair in self._cuts())
        inside = np.array([np.interp(t, inner, row) for t, row in zip(target, upper, strict=True)])
        below = TAIL * np.exp(np.minimum((target - low) / widths[0], 0))
        above = 1 - TAIL * np.exp(np.minimum((high - target) / widths[1], 0))
        inside = np.clip(inside, TAIL, 1 - TAIL)
        return np.where(target < low, below, np.where(target > high, above, inside))

    def _cuts(self) -> tuple[np.ndarray, np.ndarray]:
        """Targets where the lower and the upper tail begin, and their widths, (2, n, 1) each."""
        low, less, more, high = self._inside(np.array([TAIL, 5 * TAIL, 1 - 5 * TAIL, 1 - TAIL])).T
        widths = np.maximum(np.array([less - low, high - more]) / np.log(5), 1e-9)
        return np.array([low, high])[..., None], widths[..., None]

    def _inside(self, levels: np.ndarray) -> np.ndarray:
        """Targets at levels as the bins have them, shape (n, n_levels)."""
        inner, upper = self.edges[1:-1], np.cumsum(self.answers.masses, axis=1)[:, :-1]
        out = np.array([np.interp(levels, row, inner) for row in upper]).reshape(-1, len(levels))
        first, final = upper[:, :1], 1 - upper[:, -1:]
        width = tails_of(self.edges)
        with np.errstate(divide="ignore", invalid="ignore"):
            low = inner[0] + width[0] * np.log(levels / first)
            high = inner[-1] - width[1] * np.log((1 - levels) / final)
        out = np.where(levels < first, low, out)
        return np.where(1 - levels < final, high, out)
