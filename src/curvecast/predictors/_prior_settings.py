"""Which settings the prior's network reads, and on what scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from curvecast import features
from curvecast.curves import CurveSet
from curvecast.predictors._prior_features import SETTINGS
from curvecast.predictors.scaling import Columns, Scaling


def most_telling(settings: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Up to SETTINGS columns, those whose ranks go most with those of the ends; in their order."""
    if settings.shape[1] <= SETTINGS:
        return np.arange(settings.shape[1])
    ranks = [np.argsort(np.argsort(column, kind="stable")) for column in (*settings.T, ends)]
    strength = np.abs(np.atleast_2d(np.corrcoef(ranks))[-1, :-1])
    return np.sort(np.argsort(-strength, kind="stable")[:SETTINGS])


@dataclass(frozen=True)
class KnownSettings:
    """Settings that adapted weights know by name, on the scale of the sources.

    Attributes
    ----------
    columns : of `features.static`, at most SETTINGS, with their scale.
    log : those of which the logarithm is read.
    """

    columns: Columns
    log: tuple[str, ...]

    @classmethod
    def of(cls, sources: Sequence[CurveSet]) -> Self:
        """The settings that vary and that most sources have; logarithms where a source says so and
        every value is positive."""
        plain = [_plain(curves) for curves in sources]
        counts = Counter(name for frame in plain for name in frame)
        both = pd.concat(plain, ignore_index=True)
        declared = {name for curves in sources for name in curves.log_columns}
        log = tuple(name for name in both if name in declared and not (both[name] <= 0).any())
        every = Columns.of(_logarithms(both, log))
        chosen = sorted(every.names, key=lambda name: -counts[name])[:SETTINGS]
        return cls(Columns.of(_logarithms(both, log)[chosen]), log)

    def __call__(self, curves: CurveSet) -> np.ndarray | None:
        """Scaled settings, shape (n, n_known), at their mean where one is missing.

        None where the curves have none of them.
        """
        frame = _logarithms(_plain(curves), self.log)
        names = [str(name) for name in self.columns.names]
        if not any(name in frame for name in names):
            return None
        absent = {n: np.nan for n in names if n not in frame and "=" not in n}
        return self.columns.apply(frame.assign(**absent))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and names, for the metadata of the weights."""
        scaling = self.columns.scaling
        numbers = {key: getattr(scaling, key).tolist() for key in ("medians", "center", "scale")}
        return {"names": list(self.columns.names), "log": list(self.log), **numbers}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        medians, center, scale = (
            np.array(content[key], dtype=np.float64) for key in ("medians", "center", "scale")
        )
        scaling = Scaling(np.ones(len(medians), dtype=bool), medians, center, scale)
        return cls(Columns(tuple(content["names"]), scaling), tuple(content["log"]))


def _plain(curves: CurveSet) -> pd.DataFrame:
    return features.static(replace(curves, log_columns=()))


def _logarithms(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The frame with logarithms of these columns, NaN of what is not positive."""
    return frame.assign(**{n: np.log(frame[n].where(frame[n] > 0)) for n in names if n in frame})
