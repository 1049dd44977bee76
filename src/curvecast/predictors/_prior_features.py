"""What the prior's network reads: one vector per run, the same in training and in use.

Values are turned so that lower is better and, where all are positive then, taken as logarithms
(losses, perplexities, error rates); accuracies and all else stay linear. Everything after that is
a ratio to a scale of the run or of its context, so that no unit matters. A vector holds the shape
of the prefix, its scales, the time, where the run stands among its context, and its settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.interpolate import PchipInterpolator

from curvecast.features import bridge, within

GRID, SETTINGS = 12, 10
# A target is asinh(SHARP (end - last) / scale): linear near the last value, logarithmic far off.
SHARP = 3.0
AHEAD = 8
# Whatever a tail says, the logarithm of a loss falls and rises by no more than this.
FALL, RISE = -50.0, 8.0
# Weight of the context's scale beside the run's own, at its most.
_SHARED = 0.5
_LARGEST = 700.0


def is_log(worse: np.ndarray) -> np.ndarray:
    """Which rows of values (lower is better) are read as logarithms: all finite ones positive."""
    return ((worse > 0) | ~np.isfinite(worse)).all(axis=-1)


@dataclass(frozen=True)
class View:
    """How values are read: `sign` of the direction, and whether as logarithms."""

    sign: float
    log: bool

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values on the network's side: lower is better."""
        worse = -self.sign * values
        if not self.log:
            return worse
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(worse)


@dataclass(frozen=True)
class Runs:
    """Prefixes of runs of one task, as far as they say something by themselves.

    Attributes
    ----------
    last : the last value, shape (n,). own : the run's scale, shape (n,).
    shape : of the prefix, its scales and the time, shape (n, n_shape). log : see `View`.
    """

    last: np.ndarray
    own: np.ndarray
    shape: np.ndarray
    log: bool

    @classmethod
    def of(cls, view: View, values: np.ndarray, epochs: np.ndarray, last_epoch: int) -> Self:
        """From values (n, T) at the epochs (T,) seen, with gaps; `last_epoch` is the planned one.

        Every row has a finite value.
        """
        broken = ~np.isfinite(view(within(values, epochs)))
        seen = _bridged(view(values), epochs)
        last, n_seen = seen[:, -1], seen.shape[1]
        unit = np.full(len(last), 0.3) if view.log else 0.3 * np.abs(last)
        unit[unit == 0] = 1.0
        tame = _tame(seen, unit)
        half = tame[:, min(n_seen // 2, max(n_seen - 2, 0)) :]
        full, late = (
            (unit, unit) if n_seen == 1 else (np.ptp(part, axis=1) for part in (tame, half))
        )
        full = np.maximum(full, 1e-4 * unit)
        late = np.maximum(late, 1e-2 * full)
        own = np.sqrt(full * late)
        gap, bounded = _to_bound(view, seen, last)
        scales = [
            0.5 * np.log(late / full),
            0.5 * np.log(full / unit),
            np.where(bounded, 0.5 * np.log(gap / own + 1e-6), 0.0),
            bounded,
            last / 5 if view.log else np.zeros(len(last)),
            broken.mean(axis=1),
        ]
        epoch = float(epochs[-1])
        time = [
            epoch / last_epoch,
            np.log(epoch + 1) / 3,
            np.log(last_epoch) / 3,
            np.log(n_seen) / 3,
            float(view.log),
            float(epochs[0] == 0),
        ]
        grid = np.clip((_on_grid(tame, epochs) - tame[:, -1:]) / full[:, None], -10, 10)
        ahead = _ahead(tame, epochs, last_epoch, own)
        columns = [
            grid,
            *_summaries(tame, full, own),
            *scales,
            np.tile(time, (len(last), 1)),
            ahead,
        ]
        return cls(last, own, np.arcsinh(np.column_stack(columns)), view.log)

    def take(self, rows: np.ndarray) -> Self:
        """Some of the runs."""
        return replace(self, last=self.last[rows], own=self.own[rows], shape=self.shape[rows])


def _bridged(seen: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Gaps filled along monotone cubics (Fritsch and Butland 1984), the ends with what is next.

    A line between two values would be a bend that no curve has.
    """
    finite = np.isfinite(seen)
    if finite.all():
        return seen
    out = bridge(bridge(seen, epochs)[:, ::-1], -epochs[::-1])[:, ::-1]
    patterns, of_row = np.unique(finite, axis=0, return_inverse=True)
    for nth, known in enumerate(patterns):
        rows, at = np.flatnonzero(of_row.ravel() == nth), np.flatnonzero(known)
        gaps = np.setdiff1d(np.arange(at[0], at[-1]), at)
        if len(gaps):
            curve = PchipInterpolator(epochs[at], seen[np.ix_(rows, at)], axis=1)
            out[np.ix_(rows, gaps)] = curve(epochs[gaps])
    return out


def _tame(seen: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Values without the outermost ones: at most 50 interquartile ranges off the median."""
    ranked, n_seen = np.sort(seen, axis=1), seen.shape[1]
    low, middle, high = (ranked[:, int(q * (n_seen - 1))] for q in (0.25, 0.5, 0.75))
    reach = 50 * np.maximum(high - low, 1e-3 * unit)[:, None]
    return np.clip(seen, middle[:, None] - reach, middle[:, None] + reach)


def _summaries(tame: np.ndarray, full: np.ndarray, own: np.ndarray) -> list[np.ndarray]:
    """Slope, extremes, late means and noise of prefixes (n, T), each of shape (n,)."""
    n, n_seen = tame.shape
    end, quarter = tame[:, -1], max(1, n_seen // 4)
    steps = np.diff(tame, axis=1)[:, -quarter:] if n_seen > 1 else np.zeros((n, 1))
    rough = np.abs(np.diff(tame, 2, axis=1)) if n_seen > 2 else np.zeros((n, 1))
    before = tame[:, -2 * quarter : -quarter] if n_seen >= 2 * quarter else tame
    return [
        steps[:, -1] / own,
        (tame.min(axis=1) - end) / full,
        (tame.max(axis=1) - end) / full,
        tame.argmin(axis=1) / max(1, n_seen - 1),
        (tame[:, -quarter:].mean(axis=1) - end) / own,
        (before.mean(axis=1) - end) / own,
        0.5 * np.log(_median(rough) / own + 1e-4),
        0.5 * np.log(rough[:, -quarter:].mean(axis=1) / own + 1e-4),
        (steps == 0).mean(axis=1),
    ]


def _ahead(tame: np.ndarray, epochs: np.ndarray, last_epoch: int, own: np.ndarray) -> np.ndarray:
    """What lines through the later half promise until the end, and the last steps: (n, AHEAD).

    Lines over the epochs and over their logarithms, by least squares: the gain that each promises,
    where the first is at tau beside the last value, how far values lie off it; then the four
    values before the last.
    """
    n, n_seen = tame.shape
    late = tame[:, min(n_seen // 2, max(n_seen - 3, 0)) :] - tame[:, -1:]
    at = epochs[n_seen - late.shape[1] :].astype(np.float64)
    out = np.zeros((n, AHEAD))
    for i, (x, end) in enumerate(((at, last_epoch), (np.log(at + 1), np.log(last_epoch + 1.0)))):
        off = x - x.mean()
        slope = late @ off / max(float(off @ off), 1e-12)
        out[:, i] = slope * (end - x[-1])
        if i == 0:
            fit = late.mean(axis=1)[:, None] + slope[:, None] * off
            out[:, 2] = fit[:, -1]
            out[:, 3] = np.sqrt(((late - fit) ** 2).mean(axis=1))
    before = tame[:, -5:-1] - tame[:, -1:]
    out[:, AHEAD - before.shape[1] :] = before
    return out / own[:, None]


def _to_bound(view: View, seen: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of the last value to 1 or 100 where a run's values look like shares or per cent."""
    if view.log:
        return np.ones(len(last)), np.zeros(len(last), dtype=bool)
    top, low = -seen.min(axis=1), -seen.max(axis=1)
    bound = np.where(top <= 1, 1.0, 100.0)
    return np.maximum(bound + last, 0), (low >= 0) & (top <= bound)


def _on_grid(seen: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Values at GRID times between the first and the last epoch, denser at the first."""
    at = epochs[0] + (epochs[-1] - epochs[0]) * np.linspace(0, 1, GRID) ** 1.5
    right = np.clip(np.searchsorted(epochs, at), 1, max(len(epochs) - 1, 1)) % len(epochs)
    left = np.maximum(right - 1, 0)
    gap = np.maximum(epochs[right] - epochs[left], 1)
    share = np.clip((at - epochs[left]) / gap, 0, 1)
    return seen[:, left] * (1 - share) + seen[:, right] * share


def _median(rows: np.ndarray) -> np.ndarray:
    """The lower median of every row."""
    middle = (rows.shape[1] - 1) // 2
    return np.partition(rows, middle, axis=1)[:, middle]


@dataclass(frozen=True)
class Context:
    """What the finished runs of a task say about its scales.

    Attributes
    ----------
    n : how many there are. last, end : medians. spread : of ends and of gains, None of no run.
    """

    n: int
    last: float = 0.0
    end: float = 0.0
    spread: float | None = None

    @classmethod
    def of(cls, runs: Runs, ends: np.ndarray) -> Self:
        """From runs and their ends on the network's side, shape (n,)."""
        n = len(ends)
        if not n:
            return cls(0)
        last, end, gain, own = np.sort([runs.last, ends, np.abs(ends - runs.last), runs.own])
        spread = gain[n // 2] + 0.74 * (end[(3 * n) // 4] - end[n // 4])
        return cls(n, last[n // 2], end[n // 2], float(max(spread, 1e-2 * own[n // 2])))

    def scale(self, runs: Runs) -> np.ndarray:
        """The unit of what a run still changes by, shape (n,)."""
        if self.spread is None:
            return runs.own
        weight = _SHARED * self.n / (self.n + 2)
        own = np.maximum(runs.own, 1e-2 * self.spread)
        return np.exp((1 - weight) * np.log(own) + weight * np.log(self.spread))

    def vectors(self, runs: Runs, settings: np.ndarray | None) -> np.ndarray:
        """Vectors of runs whose ends are not shown, shape (n, N_FEATURES).

        `settings` has shape (n, <= SETTINGS) and the context's mean 0 and deviation 1.
        """
        n = len(runs.last)
        place = np.zeros((n, 5))
        if self.spread is not None:
            place[:, 0] = (runs.last - self.last) / self.spread
            place[:, 1] = (runs.last - self.end) / self.spread
            place[:, 2] = np.log(self.scale(runs) / runs.own)
            place[:, 3] = (self.end - self.last) / self.spread
            place[:, 4] = np.log1p(self.n) / 2
        out = np.zeros((n, N_FEATURES), dtype=np.float64)
        out[:, : runs.shape.shape[1]] = runs.shape
        out[:, -SETTINGS - 9 : -SETTINGS - 4] = np.arcsinh(place)
        if settings is not None:
            out[:, -SETTINGS - 4] = 1.0
            out[:, -SETTINGS - 3 : -SETTINGS - 3 + settings.shape[1]] = np.clip(settings, -4, 4)
        return out

    def shown(
        self, vectors: np.ndarray, runs: Runs, ends: np.ndarray, known: np.ndarray
    ) -> np.ndarray:
        """The vectors of context runs, with the ends of those that have one (`known`)."""
        out = vectors.copy()
        target = np.where(known, self.target(runs, ends), 0.0)
        place = (ends - self.end) / (self.spread or 1.0)
        out[:, -3], out[:, -2] = known, target
        out[:, -1] = np.where(known, np.arcsinh(place), 0.0)
        return out

    def target(self, runs: Runs, ends: np.ndarray) -> np.ndarray:
        """What the network predicts, shape (n,)."""
        with np.errstate(invalid="ignore"):
            return to_target(ends - runs.last, self.scale(runs), runs.log)


def to_target(gain: np.ndarray, scale: np.ndarray, log: np.ndarray | bool) -> np.ndarray:
    """What the network predicts of changes after the last value, on its side."""
    return np.arcsinh(SHARP * _bounded(gain, log) / scale)


def to_gain(target: np.ndarray, scale: np.ndarray, log: np.ndarray) -> np.ndarray:
    """The inverse of `to_target`."""
    return _bounded(scale / SHARP * np.sinh(np.clip(target, -_LARGEST, _LARGEST)), log)


def _bounded(gain: np.ndarray, log: np.ndarray | bool) -> np.ndarray:
    return np.clip(gain, np.where(log, FALL, -np.inf), np.where(log, RISE, np.inf))


N_FEATURES = GRID + 15 + 6 + AHEAD + 5 + 1 + SETTINGS + 3
