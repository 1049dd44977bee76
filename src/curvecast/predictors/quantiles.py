"""The quantiles in prediction files, by column: apart from what trains, for those who only read."""

from __future__ import annotations

from collections.abc import Mapping

LEVELS: Mapping[str, float] = {
    "q005": 0.005,
    "q025": 0.025,
    "q05": 0.05,
    "q10": 0.10,
    "q25": 0.25,
    "q75": 0.75,
    "q90": 0.90,
    "q95": 0.95,
    "q975": 0.975,
    "q995": 0.995,
}
# The column of (quantile - y_mean) / y_std beside that of each quantile.
SHAPES: Mapping[str, str] = {name: f"u{name[1:]}" for name in LEVELS}
