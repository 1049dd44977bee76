"""What the jobs of the workflow do: run a study, gather its seeds, and use what it found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError, concat, group_equal_rows
from curvecast.protocol import seed_from
from curvecast.studies import replay, summary
from curvecast.studies.bohb import run
from curvecast.studies.definitions import early_of, objective_of, settings_of
from curvecast.studies.objectives.prediction import Prediction


def label(optimizer: str, definition: Mapping[str, Any]) -> str:
    """Name of a search in tables: `f-bohb` is BOHB with a stopping rule (after f-Hyperband)."""
    return f"f-{optimizer}" if definition.get("stopping") else optimizer


def run_study(
    name: str,
    definition: Mapping[str, Any],
    optimizer: str,
    seed: int,
    folder: str | Path,
    curves: CurveSet | None = None,
    raw: Sequence[str | Path] = (),
    taken: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, CurveSet | None]:
    """Run one seed of a study; what `folder` has logged of it is not computed again.

    Returns `summary.evaluations_frame` and, for real training, the runs as the collection
    `trained/{name}` (ids begin with the seed and end with the optimiser), otherwise None.

    Parameters
    ----------
    curves, raw, taken : see `definitions.objective_of`.
    """
    objective = objective_of(name, definition, curves, raw, taken)
    evaluations = run(settings_of(name, definition, optimizer, seed), objective, folder)
    frame = summary.evaluations_frame(evaluations, name, label(optimizer, definition), seed)
    collect = getattr(objective, "collect", None)
    if collect is None:
        return frame, None
    trained = collect(evaluations)
    ids = [f"{seed}-{key}-{optimizer}" for key in trained.configs["id"]]
    return frame, replace(trained, name=f"trained/{name}", configs=trained.configs.assign(id=ids))


def run_replays(
    name: str, definition: Mapping[str, Any], optimizer: str, curves: CurveSet
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All seeds of a study on recorded curves: evaluations, and the regret over the budget.

    The study column of both is the collection's name. Without `total_budget` every seed has its
    own end, and the regret is given up to the earliest of them.
    """
    settings = settings_of(name, definition, optimizer).model_copy(update={"name": curves.name})
    seeds = range(int(definition.get("seeds", 1)))
    frame = replay.replay(curves, settings, seeds, early_of(definition))
    total = definition.get("total_budget", frame.groupby("seed")["cost"].sum().min())
    return frame, replay.regrets(frame, curves, float(total))


def gather_curves(sets: Sequence[CurveSet]) -> CurveSet:
    """Runs of all seeds and optimisers as one collection; equal configurations share a group."""
    together = concat(sets)
    columns = together.configs.drop(columns=["id", "group"])
    configs = together.configs.assign(group=group_equal_rows(columns))
    return replace(together, configs=configs)


def incumbent(frame: pd.DataFrame) -> dict[str, Any]:
    """The best incumbent over all seeds of a study: `{config, budget, loss, seed}`."""
    last = [summary.incumbents(part).iloc[-1] for _, part in frame.groupby("seed")]
    best = min(last, key=lambda row: row["loss"])
    return {
        "config": json.loads(best["config"]),
        "budget": best["budget"],
        "loss": best["loss"],
        "seed": int(best["seed"]),
    }


def found_by(frames: Sequence[pd.DataFrame]) -> dict[str, Any] | None:
    """The configuration that a study found, from the evaluations of its jobs; None without any."""
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
    mean absolute error and R².

    Parameters
    ----------
    options : of the tuned predictor, see `studies.incumbent`.
    """
    objective = objective_of(name, definition, curves)
    if not isinstance(objective, Prediction):
        raise DataError(f"study {name!r} does not tune a predictor")
    lengths = dict.fromkeys((objective.default_epochs(), int(options["epochs"])))
    variants = [
        (variant, {**found, "epochs": n})
        for n in lengths
        for variant, found in (("untuned", {}), ("tuned", options))
    ]
    rows = []
    for variant, chosen in variants:
        scores = pd.DataFrame(
            [objective.score(chosen, seed_from(name, "repeat", k)) for k in range(repeats)]
        )
        row: dict[str, Any] = {
            "study": name,
            "model": objective.model,
            "dataset": curves.name,
            "variant": variant,
            "epochs": chosen["epochs"],
            "repeats": repeats,
            "options": json.dumps(chosen, sort_keys=True),
        }
        for column in map(str, scores):
            row[column] = scores[column].mean()
            row[f"{column}_se"] = scores[column].std(ddof=1) / np.sqrt(repeats)
        rows.append(row)
    return pd.DataFrame(rows)


def tables(
    evaluations: Iterable[pd.DataFrame], regrets: Iterable[pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Tables from the frames of all studies.

    `studies`, its column of seconds apart as `study_timings` (no two runs share it), and with
    recorded curves `study_regret` and `study_comparison`.
    """
    rows = summary.study_rows(pd.concat(evaluations, ignore_index=True))
    result = {
        "studies": rows.drop(columns="seconds"),
        "study_timings": rows[[*summary.KEYS, "seeds", "seconds"]],
    }
    regrets = list(regrets)
    if regrets:
        together = pd.concat(regrets, ignore_index=True)
        result["study_regret"] = summary.regret_rows(together)
        result["study_comparison"] = summary.paired_rows(together)
    return result
