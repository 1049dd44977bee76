"""Tasks that the prior learns from: recorded trainings of a corpus, and invented curves.

An invented task has settings, and a smooth random map from these to the parameters of its curves:
one of the eleven families of Domhan et al. (2015) or a mixture of two, noise, jumps at drops of
the learning rate, late gains of annealing, plateaus, overfitting, restarts, runs that explode,
collapse to chance or never learn. Adriaensen et al. (2023) train on such curves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from curvecast import features
from curvecast.curves import CurveSet, DataError, collection_of
from curvecast.protocol import seed_from

# Collections on which results are reported: nothing of them is ever learnt from.
REPORTED = ("baker", "lcbench", "lcbench_full", "taskset", "embedded")
_MOST_POINTS = 60
_HELD_OUT = 10  # one task in so many is for validation
# Series that are better when they are larger; all others but _NOT_LEARNT are losses.
_RISING = ("accuracy", "r2", "auc", "f1", "score")
_NOT_LEARNT = ("seconds", "learning_rate", "gradient_norm")


@dataclass(frozen=True)
class Task:
    """Curves of one task and one metric.

    Attributes
    ----------
    values : shape (n, T), may hold NaN and inf. epochs : shape (T,). sign : of the direction.
    settings : shape (n, p), mean 0 and deviation 1.
    known : whether the columns of the settings mean the same in all tasks.
    """

    name: str
    values: np.ndarray
    epochs: np.ndarray
    sign: float
    settings: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    known: bool = False


def read_corpus(folder: str | Path) -> tuple[list[Task], list[Task]]:
    """Tasks of the Parquet files of a folder to train on, and those held out by their name's hash.

    Every metric of a file is a task of its own.

    Raises
    ------
    DataError : a file of a collection on which results are reported, or no file at all.
    """
    paths = sorted(Path(folder).glob("**/*.parquet"))
    if not paths:
        raise DataError("no Parquet file to learn from", file=folder)
    train: list[Task] = []
    held_out: list[Task] = []
    for path in paths:
        curves = CurveSet.from_parquet(path)
        if collection_of(curves.name) in REPORTED:
            raise DataError(
                "results are reported on this collection, it teaches no prior", file=path
            )
        held = seed_from("held out", curves.name) % _HELD_OUT == 0
        (held_out if held else train).extend(tasks_of(curves))
    return train, held_out


def tasks_of(curves: CurveSet) -> Iterator[Task]:
    """One task per metric of a curve set that varies; runs without a finite value are left out."""
    settings = features.static(curves).to_numpy(dtype=np.float64)
    for name, values in {"": curves.values, **curves.series}.items():
        if name in _NOT_LEARNT:
            continue
        sign = curves.sign
        if name:
            sign = 1.0 if any(word in name for word in _RISING) else -1.0
        begun = np.isfinite(values[:, :2]).any(axis=1)
        if begun.sum() >= 10:
            label = f"{curves.name}:{name or curves.metric}"
            yield Task(label, values[begun], curves.epochs, sign, standardised(settings[begun]))


def standardised(settings: np.ndarray) -> np.ndarray:
    """Columns that vary, with mean 0 and deviation 1; shape (n, <= p)."""
    settings = np.where(np.isfinite(settings), settings, 0.0)
    scale = settings.std(axis=0)
    varies = scale > 1e-9 * np.maximum(1, np.abs(settings).max(axis=0, initial=0))
    return (settings[:, varies] - settings[:, varies].mean(axis=0)) / scale[varies]


# --- invented curves ------------------------------------------------------------------------------

_Shape = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
# What a curve has yet to fall, 1 at its first epoch and less later: x epochs as a share of E (or
# epochs), k a rate, b an exponent, each of shape (n, 1).
_FAMILIES: tuple[_Shape, ...] = (
    lambda x, e, k, b: (1 + k * x) ** -b,  # pow3, pow4
    lambda x, e, k, b: np.exp(-((k * x) ** b)),  # Janoschek, exp4
    lambda x, e, k, b: np.exp(-k * x),
    lambda x, e, k, b: 1 / (1 + (k * x) ** (2 * b)),  # Hill3, MMF
    lambda x, e, k, b: 1 - (1 - np.exp(-k * x)) ** (3 * b),  # Weibull
    lambda x, e, k, b: np.log(2) / np.log(e * k + 2),  # ilog2
    lambda x, e, k, b: 1 / (1 + (e * k / np.exp(1)) ** b),  # logpower
    lambda x, e, k, b: 1 - np.log1p(k * x) / np.log1p(k),  # log log linear
    lambda x, e, k, b: np.exp(-k * (1 - 1 / (1 + b * x)) * 2),  # vapour pressure
    lambda x, e, k, b: 1 / (1 + np.exp(np.clip((x - 0.3 / b) * k, -50, 50))),  # logistic
    lambda x, e, k, b: (1 + e) ** (-0.5 * b),
)


class _Inventor:
    """Draws what varies over the runs of one invented task."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n, self.rng = n, rng
        self.settings = rng.uniform(-1.7, 1.7, (n, rng.integers(1, 10)))
        self._told = rng.uniform(0.3, 1.0) if rng.random() < 0.85 else 0.0

    def varied(self) -> np.ndarray:
        """Standard numbers per run, in part a smooth function of the settings; shape (n,)."""
        rng, x = self.rng, self.settings
        p = x.shape[1]
        strength = np.square(rng.exponential(1.0, p))
        way = x @ (strength * rng.choice([-1, 1], p))
        way = way - np.abs(rng.uniform(0, 1.5)) * ((x - rng.uniform(-1.5, 1.5, p)) ** 2 @ strength)
        if rng.random() < 0.4:
            i, j = rng.integers(p, size=2)
            way = way + rng.uniform(-2, 2) * x[:, i] * x[:, j] * strength.mean()
        if rng.random() < 0.3:
            way = np.sin(way / (way.std() + 1e-9) * rng.uniform(0.5, 2))
        way = (way - way.mean()) / (way.std() + 1e-9)
        own = rng.standard_normal(self.n)
        return np.sqrt(self._told) * way + np.sqrt(1 - self._told) * own

    def share(self, most: float) -> np.ndarray:
        """Some runs, those with a high `varied` number; shape (n,) of bool."""
        x = self.varied()
        return x > np.quantile(x, 1 - self.rng.uniform(0, most))


def invent(n: int, rng: np.random.Generator) -> Task:
    """A task of n invented runs."""
    inventor = _Inventor(n, rng)
    last = round(10 ** rng.uniform(0.7, 2.7))
    epochs = np.arange(rng.integers(2), last + 1)
    if len(epochs) > _MOST_POINTS or rng.random() < 0.15:
        epochs = epochs[:: int(np.ceil(len(epochs) / _MOST_POINTS))] if len(epochs) > 12 else epochs
        epochs = np.unique(np.r_[epochs, last])
    x = epochs / last
    fall = _fall(inventor, x, epochs.astype(np.float64), rng)
    loss = rng.random() < 0.6
    end = inventor.varied() * rng.uniform(0.05, 1.0)
    height = np.exp(rng.uniform(0.1, 1.0) * inventor.varied())
    noise = _noise(inventor, x, rng)
    if loss:
        curve = rng.normal(-1.0, 1.5) + end[:, None] + rng.exponential(1.5) * height[:, None] * fall
        curve += 10 ** rng.uniform(-3, -0.7) * noise
        curve = _spoilt(curve, inventor, x, rng)
        values, sign = np.exp(np.clip(curve, -30, 45)), -1.0
    else:
        chance = rng.choice([0.5, 0.1, 0.1, 0.2, 0.01, 0.3])
        top = 1 / (
            1 + np.exp(-(rng.normal(0.8, 1.2) + rng.uniform(0.2, 1) * end / (end.std() + 0.1)))
        )
        start = chance * np.exp(rng.uniform(0, 0.3) * inventor.varied())
        gap = np.maximum(top - start, -0.02)
        curve = -(top[:, None] - gap[:, None] * fall) + 10 ** rng.uniform(-3, -1.2) * noise
        curve = _spoilt(curve, inventor, x, rng, chance)
        if rng.random() < 0.5:
            count = rng.choice([100, 200, 500, 1000, 10000])
            curve = np.round(curve * count) / count
        values, sign = np.clip(-curve, 0, 1), 1.0
        if rng.random() < 0.25:
            values, sign = 1 - values, -1.0
    return Task("invented", values, epochs, sign, standardised(inventor.settings))


def _fall(
    inventor: _Inventor, x: np.ndarray, epochs: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What every run has yet to fall, from 1 downwards, shape (n, T)."""

    def one() -> np.ndarray:
        k = 10 ** (rng.uniform(-0.7, 2.0) + rng.uniform(0.05, 0.6) * inventor.varied())
        b = np.exp(rng.uniform(-0.9, 0.6) + rng.uniform(0, 0.4) * inventor.varied())
        start = np.zeros(inventor.n)
        if rng.random() < 0.25:
            start = np.clip(rng.uniform(-0.2, 0.4) + 0.2 * inventor.varied(), 0, 0.9)
        since = np.maximum(x - start[:, None], 0)
        scaled = np.maximum(epochs - start[:, None] * epochs[-1], 0)
        with np.errstate(over="ignore"):
            return _FAMILIES[rng.integers(len(_FAMILIES))](since, scaled, k[:, None], b[:, None])

    fall = one()
    if rng.random() < 0.4:
        weight = rng.uniform(0.1, 0.9)
        fall = weight * fall + (1 - weight) * one()
    if rng.random() < 0.4:  # annealing: what noise of the steps holds up goes at the end
        rate = 0.5 * (1 + np.cos(np.pi * x)) if rng.random() < 0.6 else 1 - x
        held = rng.uniform(0.02, 0.5) * np.exp(0.6 * inventor.varied())
        fall = fall + held[:, None] * (rate - 1)
    if rng.random() < 0.3:  # drops of the learning rate
        at = rng.uniform(0.15, 0.95)
        for _ in range(rng.integers(1, 4)):
            per_run = at + (0.15 * inventor.varied() if rng.random() < 0.3 else 0.0)
            size = rng.uniform(0.02, 0.5) * np.exp(0.4 * inventor.varied())
            late = np.maximum(x - np.broadcast_to(per_run, (inventor.n,))[:, None], 0)
            fall = fall - size[:, None] * (1 - np.exp(-late * 10 ** rng.uniform(0.7, 2.5)))
            at = at + rng.uniform(0.1, 0.4)
    if rng.random() < 0.06:  # warm restarts
        period = rng.uniform(0.1, 0.4)
        fall = fall + rng.uniform(0.02, 0.3) * (1 - (x / period) % 1)
    return fall


def _noise(inventor: _Inventor, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of deviation about 1, shape (n, T)."""
    n, t = inventor.n, len(x)
    noise = rng.standard_normal((n, t))
    if rng.random() < 0.3:
        noise = noise + np.cumsum(rng.standard_normal((n, t)), axis=1) / np.sqrt(t)
    if rng.random() < 0.3:
        noise = noise * (1 + rng.uniform(1, 8) * (rng.random((n, t)) < 0.05))
    if rng.random() < 0.2:
        noise = np.abs(noise)
    if rng.random() < 0.35:
        noise = noise * (1.05 - x)
    return np.exp(rng.uniform(0, 0.9) * inventor.varied())[:, None] * noise


def _spoilt(
    curve: np.ndarray,
    inventor: _Inventor,
    x: np.ndarray,
    rng: np.random.Generator,
    chance: float | None = None,
) -> np.ndarray:
    """Curves with overfitting, collapses, explosions and runs that never learn, shape (n, T).

    `chance` is the accuracy of guessing, for accuracies (as negative values).
    """
    if rng.random() < 0.3:
        rise = rng.uniform(0, 0.8 if chance is None else 0.2) * np.exp(inventor.varied() - 0.5)
        late = np.maximum(
            0, x - np.clip(rng.uniform(0, 0.6) + 0.2 * inventor.varied(), 0, 1)[:, None]
        )
        curve = curve + rise[:, None] * late ** rng.uniform(0.5, 2)
    level = np.median(curve[:, 0]) if chance is None else -chance
    if rng.random() < 0.3:  # never learns
        dead = inventor.share(0.4)
        jitter = 10 ** rng.uniform(-4, -1.5) * (rng.random() < 0.7)
        curve[dead] = level + jitter * rng.standard_normal((int(dead.sum()), len(x)))
    if rng.random() < 0.3:  # collapses to chance, for good or for a while
        for i in np.flatnonzero(inventor.share(0.3)):
            at = rng.uniform(0.02, 1.0)
            until = 2.0 if rng.random() < 0.7 else at + rng.exponential(0.1)
            gone = (x >= at) & (x < until)
            curve[i, gone] = level + 0.02 * rng.random() * rng.standard_normal(int(gone.sum()))
    if chance is None and rng.random() < 0.15:  # explodes, and stays or comes back
        for i in np.flatnonzero(inventor.share(0.2)):
            at, size = rng.uniform(0, 1.0) ** 2, 10 ** rng.uniform(-0.5, 1.6)
            back = rng.exponential(0.3) if rng.random() < 0.5 else 50.0
            late = np.maximum(x - at, 0)
            curve[i] += (
                (x >= at) * size * np.exp(-late / back) * np.exp(0.2 * rng.standard_normal(len(x)))
            )
    gaps = rng.random(curve.shape) < (0.03 if rng.random() < 0.03 else 0.0)
    gaps[:, -1] = False
    return np.where(gaps, np.nan, curve)
