"""Runs the jobs of studies: searches, their curves as a collection, tuned predictors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError, concat, group_equal_rows
from curvecast.protocol import seed_from
from curvecast.studies import summary
from curvecast.studies.definitions import early_of, objective_of, settings_of, study_of
from curvecast.studies.early import EarlyEnd, label_of
from curvecast.studies.objectives.prediction import Prediction
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.samplers._base import budget_of_brackets
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings


def run_job(
    name: str,
    definition: Mapping[str, Any],
    optimizer: str,
    seed: int | str | None = None,
    folder: str | Path | None = None,
    curves: CurveSet | None = None,
    raw: Sequence[str | Path] = (),
    source: Mapping[str, Any] | None = None,
) -> dict[str, pd.DataFrame | CurveSet]:
    """Run one job of a study: a seed, or on recorded curves all seeds.

    What `folder` has logged of a seed is not computed again. The result has, by name,
    `evaluations` (see `summary.evaluations_frame`); for real training `curves`, the runs as the
    collection `trained/{name}` (ids begin with the seed and end with the optimizer); on recorded
    curves `regret` (see `summary.regrets`). For the others see `definitions.objective_of`.
    """
    objective = objective_of(name, definition, curves, raw, source)
    settings = settings_of(name, definition, optimizer, int(seed or 0))
    if curves is not None and isinstance(objective, Recorded):
        # The collection's name is the study column.
        settings = settings.model_copy(update={"name": curves.name})
        seeds = range(study_of(name, definition).seeds)
        frame = replay(curves, settings, seeds, early_of(definition), objective.space)
        # The optimizers are compared at one budget.
        total = settings.total_budget or budget_of_brackets(settings)
        if not math.isfinite(total):  # of a search that time ends; the earliest end counts
            total = frame.groupby("seed")["cost"].sum().min()
        return {"evaluations": frame, "regret": summary.regrets(frame, curves, float(total))}
    evaluations = run(settings, objective, folder)
    label = label_of(optimizer, early_of(definition))
    frame = summary.evaluations_frame(evaluations, name, label, settings.seed)
    made: dict[str, pd.DataFrame | CurveSet] = {"evaluations": frame}
    trained = objective.collect(evaluations)
    if trained is None:
        return made
    ids = [f"{seed}-{key}-{optimizer}" for key in trained.configs["id"]]
    trained = replace(trained, name=f"trained/{name}", configs=trained.configs.assign(id=ids))
    return {**made, "curves": trained}


def replay(
    curves: CurveSet,
    settings: Settings,
    seeds: Iterable[int],
    early: EarlyEnd | None = None,
    space: ConfigSpace.ConfigurationSpace | None = None,
) -> pd.DataFrame:
    """Run a study on recorded curves once per seed; `summary.evaluations_frame` of them all.

    `settings.seed` comes from the name of the data set and each seed, so that no two data sets
    share their luck; `settings.workers` is 0.
    """
    objective = Recorded(curves, space, early)
    frames = []
    for seed in seeds:
        own = seed_from(settings.name, seed)
        one = settings.model_copy(update={"seed": own, "workers": 0})
        label = label_of(settings.optimizer, early)
        frames.append(summary.evaluations_frame(run(one, objective), settings.name, label, seed))
    return pd.concat(frames, ignore_index=True)


def gather_curves(sets: Sequence[CurveSet]) -> CurveSet:
    """Runs of all seeds and optimizers as one collection; equal configurations share a group.

    A search in which every training broke has none.
    """
    together = concat([curves for curves in sets if len(curves)] or sets[:1])
    columns = together.configs.drop(columns=["id", "group"])
    configs = together.configs.assign(group=group_equal_rows(columns))
    return replace(together, configs=configs)


def incumbent(frame: pd.DataFrame) -> dict[str, Any]:
    """The best incumbent over all seeds of a study: `{config, budget, loss, seed}`."""
    best = summary.best_incumbent(frame)
    config, seed = json.loads(best["config"]), int(best["seed"])
    return {"config": config, "budget": best["budget"], "loss": best["loss"], "seed": seed}


def incumbent_config(frames: Sequence[pd.DataFrame]) -> dict[str, Any] | None:
    """The incumbent's configuration, from the evaluations of a study's jobs; None without any."""
    return incumbent(pd.concat(frames))["config"] if frames else None


def tuning_rows(
    name: str,
    definition: Mapping[str, Any],
    curves: CurveSet,
    options: Mapping[str, Any],
    repeats: int = 5,
) -> pd.DataFrame:
    """The tuned and the untuned predictor on the validation and the test split.

    Each is trained `repeats` times with seeds that the study did not use, for the model's own
    number of epochs and for that of the study. Columns: `study, model, dataset, variant, epochs,
    repeats, options` (JSON) and, for both splits, mean and standard error of mean squared error,
    mean absolute error and R². `options` are those of the tuned predictor.
    """
    objective = objective_of(name, definition, curves)
    if not isinstance(objective, Prediction):
        raise DataError(f"study {name!r} does not tune a predictor")
    own = vars(objective.predictor())["epochs"]
    variants = [
        (variant, {**chosen, "epochs": n})
        for n in dict.fromkeys((int(own), int(options["epochs"])))
        for variant, chosen in (("untuned", {}), ("tuned", options))
    ]
    rows = []
    for variant, chosen in variants:
        seeds = [seed_from(name, "repeat", k) for k in range(repeats)]
        scores = pd.DataFrame([objective.score(chosen, seed) for seed in seeds])
        row: dict[str, Any] = {
            **{"study": name, "model": objective.model, "dataset": curves.name},
            **{"variant": variant, "epochs": chosen["epochs"], "repeats": repeats},
            "options": json.dumps(chosen, sort_keys=True),
        }
        for column in map(str, scores):
            row[column] = scores[column].mean()
            row[f"{column}_se"] = scores[column].std(ddof=1) / np.sqrt(repeats)
        rows.append(row)
    return pd.DataFrame(rows)
