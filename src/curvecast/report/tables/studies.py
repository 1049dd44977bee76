"""Tables of studies: what each used and reached, optimisers compared, tuned predictors, effects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import DataError
from curvecast.report.tables.markdown import Cell, Columns, Table, document, sections, show, table
from curvecast.report.tables.published import read_columns
from curvecast.studies import layer_search, summary

READERS = {"published": lambda files: published_tuning(files[0])}
PUBLISHED_ON = "LCBench task A, validation accuracy in percent"
_TUNED = " tuned by BOHB"
# Numbers of so few values are levels themselves.
_FEW = 5


# Studies and optimisers


def studies_tables(evaluations: pd.DataFrame) -> dict[str, Table]:
    """One row per study and optimiser, and their seconds apart, which no two runs share."""
    rows = summary.study_rows(evaluations)
    seconds = rows[[*summary.KEYS, "seeds", "seconds"]]
    rows = rows.drop(columns="seconds")
    columns: dict[str, Cell] = {
        **{"study": "study", "optimiser": "optimizer", "seeds": "seeds"},
        **{"configurations": "unique_configurations", "evaluations": "evaluations"},
        **{"failed": "failed", "ended early": "stopped", "budget used": "budget_used"},
        **{"loss": ("loss", "loss_low", "loss_high"), "best loss": "best_loss"},
        **{"validation": "validation", "test": "test", "model-based": "model_based_share"},
    }
    text = document(
        "Studies",
        "Means over seeds. Loss: of the incumbents, with the 95 % interval of its mean over seeds "
        "(Student's t). Best loss, validation and test: of the incumbent of the best seed. "
        "Model-based: share of the configurations that a model proposed.",
        table(rows, {**columns, "incumbent": lambda row: _config(row["incumbent"])}),
    )
    times = document(
        "Seconds of studies",
        "From the first start to the last end of an evaluation, mean over seeds.",
        table(seconds),
    )
    return {"studies": (rows, text), "study_timings": (seconds, times)}


def _config(text: str) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in json.loads(text).items()
    )


def study_comparison_tables(regret: pd.DataFrame) -> dict[str, Table]:
    """Paired differences of the optimisers on recorded curves, and their regret per data set."""
    regrets, paired = summary.regret_rows(regret), summary.paired_rows(regret)
    final = regrets[regrets["share"] == regrets["share"].max()]
    cells = [show(row, ("regret", "low", "high")) for row in final.to_dict("records")]
    grid = final.assign(cell=cells).pivot(index="study", columns="optimizer", values="cell")
    parts = [table(grid.reset_index())]
    if len(paired):
        columns: Columns = {
            **{name: name for name in ("optimizer", "other", "studies", "seeds")},
            **{"difference": ("difference", "low", "high"), "studies_ahead": "studies_ahead"},
        }
        parts += [
            "## Paired differences of the final regret\n",
            "Optimiser minus the other one, per data set and seed, and the mean; its interval "
            "takes data sets and seeds as drawn at random, crossed. Negative: the optimiser is "
            "ahead.\n",
            table(paired, columns),
        ]
    text = document(
        "Optimisers on recorded curves",
        "Normalised regret of the incumbent at the end of the budget: 0 is the best recorded run, "
        "1 the median one. Mean over seeds with the 95 % interval (Student's t). A configuration "
        "that was not recorded is answered by the nearest recorded run that this search has not "
        "used yet: each run serves one configuration.",
        *parts,
    )
    return {"study_comparison": (paired, text), "study_regret": (regrets, "")}


# Searches over layers


def metaqnn_tables(evaluations: pd.DataFrame) -> dict[str, Table]:
    """Networks, epochs, speedup and incumbents of searches over layers."""
    rows = layer_search.search_rows(evaluations)
    rewards = [name for name in map(str, rows.columns) if name.startswith("reward_")]
    agents = rows.dropna(subset=rewards, how="all")
    columns: dict[str, Cell] = {
        **{name: name for name in ("study", "optimizer", "seeds", "networks", "unique", "epochs")},
        **{"speedup": "speedup", "after 100 networks": "speedup_after"},
        **{"change": ("change", "change_low", "change_high")},
        **{"validation": "validation", "test": "test"},
    }
    text = document(
        "Searches over layers",
        "Means over seeds. Speedup: epochs without early stopping over epochs with it. Change: of "
        "the incumbent's final validation accuracy against the same seeds without stopping, with "
        "its 95 % interval.",
        table(rows, columns),
        "## Mean accuracy of the networks by epsilon\n",
        table(agents, ["study", "optimizer", *rewards]),
    )
    return {"metaqnn": (rows, text)}


# Tuned predictors


def tuning_tables(tunings: pd.DataFrame, published: pd.DataFrame) -> dict[str, Table]:
    """Ours per study with standard errors, then the published predictors."""
    ours: dict[str, Cell] = {
        **{name: name for name in ("study", "model", "dataset", "variant", "epochs")},
        **{
            f"{split} {error.upper()}": (f"{split}_{error}", f"{split}_{error}_se")
            for split in ("validation", "test")
            for error in ("mse", "mae")
        },
    }
    text = document(
        "Tuned predictors",
        "Each network is trained with seeds that the study did not use; mean ± standard error "
        f"over {int(tunings['repeats'].min())} of them. Untuned: the defaults of the model. Both "
        "are trained for the model's own number of epochs and for that of the study. The study "
        "saw the training and the validation split, never the test split.",
        table(tunings, {**ours, "options": lambda row: _config(row["options"])}),
        f"## Published: {PUBLISHED_ON}\n",
        "Where ours is the cross-entropy, compare what tuning changes, not the errors.\n",
        table(published, ["study", "model", "variant", "validation_mse", "test_mse"]),
    )
    return {"tuning": (pd.concat([tunings, published]), text)}


def published_tuning(path: str | Path) -> pd.DataFrame:
    """Singh's networks on LCBench task A, with the columns of `studies.jobs.tuning_rows`.

    Raises DataError for a missing column, or where none of the networks was tuned.
    """
    frame = read_columns(Path(path), ("who", "model", "val_mse", "test_mse", "source"))
    tuned = frame["model"].str.endswith(_TUNED)
    who = frame.loc[tuned, "who"].unique()
    if len(who) != 1:
        raise DataError(f"tuned networks of {len(who)} sources, not of one", file=path)
    columns = {
        "study": who[0],
        "model": frame["model"].str.removesuffix(_TUNED),
        "dataset": PUBLISHED_ON,
        "variant": tuned.map({True: "tuned", False: "untuned"}),
        "validation_mse": frame["val_mse"],
        "test_mse": frame["test_mse"],
    }
    return pd.DataFrame(columns)[frame["who"] == who[0]].reset_index(drop=True)


# Effects of hyper-parameters


def effects_tables(evaluations: pd.DataFrame) -> dict[str, Table]:
    """Mean validation score per level of every hyper-parameter, per study with real training.

    Of each configuration its evaluation on one budget counts: that on which most configurations
    were evaluated. Parameters of many numbers are cut into three ranges at the quantiles of
    what was drawn. A further parameter `epochs` compares the budgets, over the configurations
    that reached the highest one.

    Columns `study, parameter, level, budget, runs, diverged, mean, low, high`: the mean over the
    runs that did not fail and its 95 % interval (Student's t).
    """
    rows: list[dict[str, Any]] = []
    for study, of_study in evaluations.groupby("study", sort=False):
        counts = of_study.groupby("budget")[["seed", "configuration"]].apply(
            lambda part: len(part.drop_duplicates())
        )
        budget = float(counts[counts == counts.max()].index.max())
        part = of_study[of_study["budget"] == budget]
        configs = pd.DataFrame([json.loads(text) for text in part["config"]], index=part.index)
        for parameter in map(str, configs):
            cut = _levels(configs[parameter])
            for level, members in cut.groupby(cut, sort=True, observed=True):
                name = {"study": study, "parameter": parameter, "budget": budget}
                name["level"] = _label(level, configs.loc[members.index, parameter])
                rows.append(name | _mean(part.loc[members.index, "validation"]))
        rows += [{"study": study, **row} for row in _epochs(of_study)]
    columns = ["study", "parameter", "level", "budget", "runs", "diverged", "mean", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns)
    shown: Columns = {
        **{name: name for name in ("parameter", "level", "budget", "runs", "diverged")},
        "mean": ("mean", "low", "high"),
    }
    text = document(
        "Effects of hyper-parameters",
        "Mean validation score per level with its 95 % interval (Student's t), over the "
        "configurations that the study evaluated on one budget. A search does not draw levels "
        "independently of each other and prefers what did well: these are descriptions of "
        "its runs, not of interventions. Epochs: configurations that reached the highest budget.",
        *sections(frame, ["study"], "{}", shown),
    )
    return {"effects": (frame, text)}


def _levels(values: pd.Series) -> pd.Series:
    """The values as they are where there are few, else numbers in ranges of equally many."""
    known = values.dropna()
    if known.nunique() <= _FEW or known.map(lambda v: isinstance(v, str | bool)).any():
        return known.map(lambda v: str(v) if isinstance(v, str | bool) else f"{v:.4g}")
    return pd.qcut(known.astype(float), 3, duplicates="drop")


def _label(level: Any, values: pd.Series) -> str:
    """A single value, or the range of the values that were drawn."""
    return level if isinstance(level, str) else f"{values.min():.3g} to {values.max():.3g}"


def _mean(scores: pd.Series) -> dict[str, Any]:
    good = scores[np.isfinite(scores)].to_numpy()
    low, high = summary.interval(good)
    return {
        "runs": len(scores),
        "diverged": len(scores) - len(good),
        "mean": good.mean() if len(good) else np.nan,
        "low": low,
        "high": high,
    }


def _epochs(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Scores per budget of the configurations that reached the highest one."""
    wide = frame.pivot_table(
        index=["seed", "optimizer", "configuration"], columns="budget", values="validation"
    ).sort_index(axis=1)
    if wide.shape[1] < 2:
        return []
    reached = wide[wide.iloc[:, -1].notna()]
    return [
        {"parameter": "epochs", "level": f"{budget:g}", "budget": budget}
        | _mean(reached[budget].dropna())
        for budget in reached
    ]
