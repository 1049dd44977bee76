"""Chooses the configurations that a search begins with, from earlier searches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import ConfigSpace
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.hyperparameters import NumericalHyperparameter
from ConfigSpace.util import deactivate_inactive_hyperparameters

from curvecast.curves import DataError
from curvecast.studies.evaluation import Config, native, ranked
from curvecast.studies.log import read_evaluations

SIZE = 5


def portfolio(
    sources: Sequence[str | Path], space: ConfigSpace.ConfigurationSpace, size: int = SIZE
) -> list[Config]:
    """The best configurations of earlier searches: the best of each, then the second of each, ...

    Parameters
    ----------
    sources : folders with the logs of searches. A configuration is the better, the higher the
        budget that it reached and the lower its loss there. In `space` a number outside of a
        range takes the nearer end; other parameters that the source lacks take their default.

    Raises
    ------
    DataError : a folder without a log, or without a parameter of the space.
    """
    chosen: list[Config] = []
    ranked = [_ranked(Path(source), space) for source in sources]
    for config in chain.from_iterable(zip_longest(*ranked)):
        if len(chosen) < size and config is not None and config not in chosen:
            chosen.append(config)
    return chosen


def _ranked(folder: Path, space: ConfigSpace.ConfigurationSpace) -> Iterator[Config]:
    if not (folder / "results.json").is_file():
        raise DataError("no log of a search there", file=folder)
    best = ranked(read_evaluations(folder))
    if best and not set(best[0].config) & set(space):
        raise DataError("the search there has no parameter of this one", file=folder)
    moved = (_moved(e.config, space) for e in best)
    return (config for config in moved if config is not None)


def _moved(config: Config, space: ConfigSpace.ConfigurationSpace) -> Config | None:
    """The configuration in another space; None where that forbids it."""
    values = {}
    for name, parameter in space.items():
        value = config.get(name, parameter.default_value)
        if isinstance(parameter, NumericalHyperparameter) and isinstance(value, int | float):
            value = min(max(value, parameter.lower), parameter.upper)
        values[name] = value if parameter.legal_value(value) else parameter.default_value
    try:
        return native(dict(deactivate_inactive_hyperparameters(values, space)))
    except ForbiddenValueError:
        return None
