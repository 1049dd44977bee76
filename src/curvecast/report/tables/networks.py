"""The tables of networks trained to the end: scores, published scores, seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from curvecast.curves import DataError
from curvecast.report.tables.markdown import Cell, Table, document, table

# Scores of a regression that the Markdown table shows as well.
_FURTHER = (
    *("validation_division_sd", "test_division_sd"),
    *("test_coverage", "test_calibrated_coverage"),
)
_SCORES = ("validation", "train", "test")


def networks_tables(
    scores: pd.DataFrame,
    seconds: pd.DataFrame,
    published: pd.DataFrame,
    notes: Mapping[str, Mapping[str, Any]],
) -> dict[str, Table]:
    """Scores of the networks trained to the end, and their seconds: a row per training in both."""
    frame = networks(scores, notes, published)
    times = (
        scores.assign(seconds=seconds["seconds"])
        .groupby("network", sort=False, as_index=False)
        .agg(repeats=("repeat", "size"), epochs=("epochs", "mean"), seconds=("seconds", "mean"))
    )
    return {"networks": (frame, networks_text(frame)), "network_timings": (times, table(times))}


def networks(
    scores: pd.DataFrame, notes: Mapping[str, Mapping[str, Any]], published: pd.DataFrame
) -> pd.DataFrame:
    """`networks.csv`: one row per network, means over its trainings (rows) that did not diverge.

    Columns: `network, data, score` (what the scores measure), `study_seeds, repeats, diverged,
    epochs, num_params, taken_over` (training number r is of the incumbent of study seed r modulo
    `study_seeds`); `validation, train, test` with `_sd` over the repeats of one incumbent (pooled
    over the incumbents) and `_study_sd` between the means of the incumbents; `test_low, test_high`
    (95 % Wilson interval of the mean accuracy for the number of test images; missing for errors);
    further scores of the task; `published, published_{validation,train,test}, source`. Accuracies
    are fractions of 1. `notes` holds per network `data` and, where there is one, `published` (the
    text that names a row of `published`).
    """
    return pd.DataFrame(
        [
            _network(str(name), runs, notes[str(name)], published)
            for name, runs in scores.groupby("network", sort=False)
        ]
    )


def _network(
    name: str, runs: pd.DataFrame, note: Mapping[str, Any], published: pd.DataFrame
) -> dict[str, Any]:
    good, seeds = runs[~runs["diverged"]], note.get("study_seeds", 1)
    incumbents = good.groupby(good["repeat"] % seeds)
    row: dict[str, Any] = {
        "network": name,
        "data": note.get("data", "digits"),
        "score": runs["score"].iloc[0],
        "study_seeds": seeds,
        "repeats": len(runs) // seeds,
        "diverged": int(runs["diverged"].sum()),
        **{k: runs[k].mean() for k in ("epochs", "num_params", "taken_over") if k in runs},
    }
    known = {*row, *_SCORES, "repeat", "seed", "depth", "n_test"}
    further = [c for c in map(str, good) if c not in known and good[c].notna().any()]
    for column in [*_SCORES, *further]:
        row[column] = good[column].mean()
        row[f"{column}_sd"] = np.sqrt(incumbents[column].var().mean())
        row[f"{column}_study_sd"] = incumbents[column].mean().std()
    if "n_test" in good and good["n_test"].notna().any():
        n = int(good["n_test"].iloc[0])
        hits = round(float(good["test"].mean()) * n)
        ends = stats.binomtest(hits, n).proportion_ci(method="wilson")
        row |= {"test_low": ends.low, "test_high": ends.high}
    if "published" in note:
        row |= _published(str(note["published"]), published)
    return row


def _published(what: str, published: pd.DataFrame) -> dict[str, Any]:
    """The published row `dataset: what`, accuracies as fractions of 1."""
    dataset, _, text = what.partition(": ")
    rows = published[(published["dataset"] == dataset) & (published["what"] == text)]
    if len(rows) != 1:
        raise DataError(f"{len(rows)} published rows are called {what!r}")
    row = rows.iloc[0]
    scale = 100.0 if row["unit"] == "percent" else 1.0
    return {
        "published": what,
        **{f"published_{name}": float(row[name]) / scale for name in _SCORES},
        "source": row["source"],
    }


def networks_text(frame: pd.DataFrame) -> str:
    """A table of the networks of each score."""
    names = ("network", "data", "study_seeds", "repeats", "diverged", "epochs", "num_params")
    scores = (*_SCORES, "test_study_sd", "test_low", "test_high")
    published = ("published", *(f"published_{name}" for name in _SCORES))
    columns: dict[str, Cell] = {
        name: (name, f"{name}_sd") if name in _SCORES else name
        for name in (*names, *scores, *_FURTHER, *published)
    }
    sections = []
    for title, rows in frame.groupby("score"):
        filled = rows.dropna(axis=1, how="all")
        shown = {name: cell for name, cell in columns.items() if name in filled}
        sections.append(f"## {title}\n\n{table(rows, shown)}")
    return document(
        "Networks trained to the end",
        "Mean ± standard deviation over repeats of one configuration (other initial weights and "
        "orders). Each seed of a study has an incumbent of its own, trained `repeats` times; "
        "`test_study_sd` is the standard deviation between their means. The interval "
        "of an accuracy is binomial (95 %, Wilson), for the number of test images. Without a "
        "validation score: these images were trained on as well. Published values come from other "
        "code and, where the names differ, from other data.",
        *sections,
    )
