"""Chooses the configurations that a search begins with, from earlier searches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import ConfigSpace
import numpy as np
import pandas as pd
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.hyperparameters import IntegerHyperparameter, NumericalHyperparameter
from ConfigSpace.util import deactivate_inactive_hyperparameters

from curvecast.curves import CurveSet, DataError
from curvecast.studies.evaluation import Config, native, ranked
from curvecast.studies.log import read_evaluations

# Chosen on the five LCBench collections of `samplers/freeze_thaw.py`, among 5, 20 and 40: a first
# look costs one pause, and more of them find a better start (`benchmarks/sources.py`).
SIZE = 20


def portfolio(
    sources: Sequence[str | Path | CurveSet],
    space: ConfigSpace.ConfigurationSpace,
    size: int = SIZE,
) -> list[Config]:
    """The best configurations of earlier searches: the best of each, then the second of each, ...

    Parameters
    ----------
    sources : folders with the logs of searches, or curves with settings. A configuration is the
        better, the higher the budget that it reached and the lower its loss there. In `space` a
        number outside of a range takes the nearer end; other parameters that the source lacks take
        their default.

    Raises
    ------
    DataError : a folder without a log, or a source without a parameter of the space.
    """
    chosen: list[Config] = []
    each = [_ranked(source, space) for source in sources]
    for config in chain.from_iterable(zip_longest(*each)):
        if len(chosen) < size and config is not None and config not in chosen:
            chosen.append(config)
    return chosen


def _ranked(
    source: str | Path | CurveSet, space: ConfigSpace.ConfigurationSpace
) -> Iterator[Config]:
    if isinstance(source, CurveSet):
        name, best = source.name, _of_curves(source)
    else:
        if not Path(source, "results.json").is_file():
            raise DataError("no log of a search there", file=source)
        name, best = str(source), [e.config for e in ranked(read_evaluations(source))]
    if best and not set(best[0]) & set(space):
        raise DataError("the runs there have no parameter of this search", file=name)
    moved = (_moved(config, space) for config in best)
    return (config for config in moved if config is not None)


def _of_curves(curves: CurveSet) -> list[Config]:
    """The settings of the runs, from the best one on; without those that diverged."""
    seen = np.isfinite(curves.values)
    last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    losses = -curves.sign * curves.values[np.arange(len(curves)), last]
    alive = np.isfinite(losses) & ~np.isinf(curves.values).any(axis=1)
    order = [row for row in np.lexsort((losses, -last)) if alive[row]]
    settings = curves.configs.filter(regex="^(hp|ap)_").rename(columns=lambda name: name[3:])
    rows = settings.astype(object).iloc[order].to_dict("records")
    return [{str(k): v for k, v in row.items() if not pd.isna(v)} for row in rows]


def _moved(config: Config, space: ConfigSpace.ConfigurationSpace) -> Config | None:
    """The configuration in another space; None where that forbids it."""
    values = {}
    for name, parameter in space.items():
        value = config.get(name, parameter.default_value)
        if isinstance(parameter, NumericalHyperparameter) and isinstance(value, int | float):
            value = min(max(value, parameter.lower), parameter.upper)
            value = round(value) if isinstance(parameter, IntegerHyperparameter) else value
        for choice in getattr(parameter, "choices", ()):  # logs have 32.0 for 32, "True" for True
            if choice == value or str(choice) == str(value):
                value = choice
        values[name] = value if parameter.legal_value(value) else parameter.default_value
    try:
        return native(dict(deactivate_inactive_hyperparameters(values, space)))
    except ForbiddenValueError:
        return None
