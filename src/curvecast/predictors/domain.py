"""What a fitted model may be asked: how far a run must have come, and what it was fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError

# Fewer training runs than this say too little about the range of curves.
MIN_RUNS = 10
_GUESSES = (
    ("percent where the model knows fractions", lambda v: v / 100),
    ("fractions where the model knows percent", lambda v: v * 100),
    ("1 - value of what the model knows", lambda v: 1 - v),
    ("what the model knows with the other sign", lambda v: -v),
)


def reached(curves: CurveSet, tau: int) -> np.ndarray:
    """Whether a run has come far enough to be predicted at `tau`; boolean, shape (n_configs,).

    It has where its value at tau is recorded, or where the next one is not due yet: where the
    recorded epochs of `curves` after its last value are fewer than the longest stretch between
    two of its values (the start counts as one). A run that overflowed (inf) needs no later value.
    """
    values = curves.values[:, curves.seen(tau)]
    observed, position = ~np.isnan(values), np.arange(values.shape[1])
    last = np.maximum.accumulate(np.where(observed, position, -1), axis=1)
    before = np.concatenate([np.full((len(values), 1), -1), last[:, :-1]], axis=1)
    stretch = np.where(observed, position - before, 0).max(axis=1, initial=0)
    late = len(position) - 1 - last[:, -1] if len(position) else np.zeros(len(values))
    overflowed = np.isinf(values).any(axis=1)
    return np.isfinite(values).any(axis=1) & ((late == 0) | (late < stretch) | overflowed)


def ended(curves: CurveSet, tau: int) -> np.ndarray:
    """Whether a run has ended by `tau`: no later value will differ; boolean, shape (n_configs,).

    It has where its last values, at least 5 and a tenth of the recorded epochs, are exactly equal.
    """
    values = curves.values[:, curves.seen(tau)][:, ::-1]
    if not values.size:
        return np.zeros(len(values), dtype=bool)
    observed = ~np.isnan(values)
    last = np.take_along_axis(values, np.argmax(observed, axis=1)[:, None], axis=1)
    differs = np.logical_or.accumulate(observed & (values != last), axis=1)
    equal = (observed & ~differs).sum(axis=1)
    return (equal >= max(5, -(-(curves.epochs >= 1).sum() // 10))) & np.isfinite(last).all(axis=1)


@dataclass(frozen=True)
class Domain:
    """The ranges of the training runs: of their epochs, values and settings.

    Attributes
    ----------
    epochs : shape (n_epochs,).
    levels, changes : smallest and largest value per epoch, and change since the first epoch, each
        of shape (2, n_epochs); NaN where the runs are too few to tell.
    numbers : lowest and highest value by numeric setting, logarithms of `log_columns`.
    texts : the values by setting of text.
    direction : of the metric; "" of no run.
    """

    epochs: np.ndarray
    levels: np.ndarray
    changes: np.ndarray
    numbers: dict[str, tuple[float, float]]
    texts: dict[str, tuple[str, ...]]
    log_columns: tuple[str, ...]
    direction: str

    @classmethod
    def of(cls, curves: CurveSet) -> Self:
        """Learn from training runs."""
        values = np.where(np.isfinite(curves.values), curves.values, np.nan)
        numbers, texts = {}, {}
        for name in _settings(curves):
            column = curves.configs[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                if len(seen := column.dropna().unique()):
                    texts[name] = tuple(map(str, seen))
            elif len(known := _numeric(column, name in curves.log_columns).dropna()):
                numbers[name] = (float(known.min()), float(known.max()))
        levels, changes = _ranges(values), _ranges(values - values[:, :1])
        direction = curves.direction if len(curves) else ""
        return cls(curves.epochs, levels, changes, numbers, texts, curves.log_columns, direction)

    def check_direction(self, curves: CurveSet) -> None:
        """Raises DataError where the metric of the training runs was to go the other way."""
        if self.direction not in ("", curves.direction):
            problem = f"fitted on a metric to {self.direction}, asked about one to"
            raise DataError(f"{problem} {curves.direction}", file=curves.name)

    def on_its_epochs(self, curves: CurveSet) -> CurveSet:
        """The runs at the epochs of the training runs, NaN at those that they do not have."""
        if np.array_equal(curves.epochs, self.epochs):
            return curves
        _, own, places = np.intersect1d(curves.epochs, self.epochs, return_indices=True)

        def moved(array: np.ndarray) -> np.ndarray:
            out = np.full((len(array), len(self.epochs)), np.nan)
            out[:, places] = array[:, own]
            return out

        series = {name: moved(array) for name, array in curves.series.items()}
        return replace(curves, values=moved(curves.values), epochs=self.epochs, series=series)

    def on_its_scales(self, curves: CurveSet) -> CurveSet:
        """The runs with the logarithmic settings of the training runs, NaN where there is no log.

        A few runs do not tell on which scale a setting was drawn.
        """
        log = tuple(name for name in self.log_columns if name in curves.configs)
        numbers = {name: _numeric(curves.configs[name], logarithm=False) for name in log}
        known = {name: column.where(column > 0) for name, column in numbers.items()}
        return replace(curves, configs=curves.configs.assign(**known), log_columns=log)

    def notes(self, curves: CurveSet, tau: int) -> list[str]:
        """What is unusual about each run up to `tau`, "" for one like the training runs."""
        notes: list[list[str]] = [[] for _ in range(len(curves))]
        self._note_settings(curves, notes)
        common = curves.seen(tau) & np.isin(curves.epochs, self.epochs)
        values = np.where(np.isfinite(curves.values), curves.values, np.nan)[:, common]
        at = np.searchsorted(self.epochs, curves.epochs[common])
        gaps = np.isnan(curves.values[:, common]).sum(axis=1)
        inside = self._inside(values, at)
        guesses = [(text, self._inside(change(values), at)) for text, change in _GUESSES]
        for row in np.flatnonzero(~inside):
            guess = next((text for text, fits in guesses if fits[row]), "")
            text = "the curve lies far from those of the training runs"
            notes[row].append(f"{text}; it may be {guess}" if guess else text)
        for row in np.flatnonzero(gaps):
            notes[row].append(f"{gaps[row]} of {len(at)} epochs have no value and are bridged")
        return ["; ".join(several) for several in notes]

    def _note_settings(self, curves: CurveSet, notes: list[list[str]]) -> None:
        for name in _settings(curves):
            column = curves.configs[name]
            if name in self.texts:
                known = ", ".join(self.texts[name])
                odd = column.isna() | ~column.astype(str).isin(self.texts[name])
                text = f"is none of those of the training runs ({known})"
            elif name in self.numbers:
                numbers = _numeric(column, name in self.log_columns)
                low, high = self.numbers[name]
                reach = max(high - low, 1e-9 * max(abs(low), abs(high)))
                odd = ~numbers.between(low - reach, high + reach)
                ends = np.exp([low, high]) if name in self.log_columns else (low, high)
                text = f"is far outside of {ends[0]:g} to {ends[1]:g}"
            else:
                continue
            for row in np.flatnonzero(odd):
                value = column.iloc[row]
                problem = "is missing" if pd.isna(value) else f"= {value} {text}"
                notes[row].append(f"{name[3:]} {problem}")

    def _inside(self, values: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Whether most values and changes of a run lie within half a range of the ranges."""
        moved = values
        if values.size:
            first = np.argmax(np.isfinite(values), axis=1)[:, None]
            moved = values - np.take_along_axis(values, first, axis=1)
        fits = np.ones(len(values), dtype=bool)
        for array, (low, high) in ((values, self.levels[:, at]), (moved, self.changes[:, at])):
            reach = np.maximum(0.5 * (high - low), 1e-9 * np.abs(high))
            outside = (array < low - reach) | (array > high + reach)
            fits &= outside.sum(axis=1) <= 0.5 * np.isfinite(array).sum(axis=1)
        return fits


def _settings(curves: CurveSet) -> list[str]:
    return [str(name) for name in curves.configs if str(name).startswith(("hp_", "ap_"))]


def _numeric(column: pd.Series, logarithm: bool) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return numbers.apply(np.log) if logarithm else numbers


def _ranges(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(known.sum(axis=0) >= MIN_RUNS, [low, high], np.nan)
