"""Teach the network of `pfn` a user's own earlier trainings.

The shipped weights go on learning, from the runs of the sources and from a few invented curves, so
that what they know of other tasks is not lost. Settings keep their names, order and scale over all
sources: the network learns what a high learning rate does here, and knows it without any finished
run of the new task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.files import read_arrays
from curvecast.predictors._batched_layers import one_thread
from curvecast.predictors._prior_settings import KnownSettings
from curvecast.predictors.pfn import WEIGHTS
from curvecast.training.prior import Recipe, train, write
from curvecast.training.prior_tasks import Task

# Finished runs that a source needs: some to ask about, and some as context.
FEWEST = 10
# Three tasks of a hundred runs taught nothing on the development sets (see docs/prior.md), in 400
# steps or in 1,000; in 5,000 the network learnt them by heart, and its errors elsewhere grew.
FEWEST_TASKS = 5
STEPS_PER_RUN, MOST_STEPS = 1.5, 5000
RECIPE = Recipe(invented=0.1, pool=100, rate=5e-4)


def adapt(
    sources: Sequence[CurveSet],
    path: str | Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    show: Callable[[str], None] = print,
) -> None:
    """Write weights for `make_predictor("pfn", weights=path)` and `"ensemble"`.

    The same on any number of cores. 1,000 steps take about 40 s of one.

    Parameters
    ----------
    sources : finished runs of at least FEWEST_TASKS other tasks; settings that mean the same have
        the same names. Where results are reported, leave out the runs and their configurations.
    steps : default: STEPS_PER_RUN for every finished run, at most MOST_STEPS.
    show : gets a line every so many steps.

    Raises
    ------
    DataError : fewer sources, one with fewer than FEWEST finished runs, or fewer than one step.
    """
    if len(sources) < FEWEST_TASKS:
        problem = f"{len(sources)} earlier tasks teach the network nothing that holds for others"
        raise DataError(f"{problem}: at least {FEWEST_TASKS} are needed")
    finished = [int(np.isfinite(curves.final).sum()) for curves in sources]
    for curves, n in zip(sources, finished, strict=True):
        if n < FEWEST:
            raise DataError(f"{n} finished runs, at least {FEWEST} are needed", file=curves.name)
    if steps is None:
        steps = min(MOST_STEPS, int(STEPS_PER_RUN * sum(finished)))
    show(f"{sum(finished)} finished runs of {len(sources)} tasks, {steps} steps")
    known = KnownSettings.of(sources)
    tasks = [_task(curves, known) for curves in sources]
    recipe = replace(RECIPE, steps=steps, seed=seed)
    with one_thread():
        weights, losses = train(recipe, tasks, read_arrays(WEIGHTS)[0], show)
    names = [curves.name for curves in sources]
    write(weights, path, recipe, losses=losses, tasks=names, settings=known.to_json())


def _task(curves: CurveSet, known: KnownSettings) -> Task:
    begun = curves.take(np.flatnonzero(np.isfinite(curves.values[:, :2]).any(axis=1)))
    settings = known(begun)
    settings = np.zeros((len(begun), 0)) if settings is None else settings
    return Task(begun.name, begun.values, begun.epochs, begun.sign, settings, known=True)
