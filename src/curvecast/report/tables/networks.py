"""The tables of networks trained to the end, published figures beside ours, and of effects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from curvecast.curves import DataError, read_parquet
from curvecast.report.tables import Inputs, Table
from curvecast.report.tables.markdown import number, table

# Numbers of so few values are levels themselves.
_FEW = 5
# Scores of a regression that the table for people shows as well, with their decimals.
_FURTHER = {
    "validation_division_sd": 0,
    "test_division_sd": 0,
    "test_coverage": 3,
    "test_calibrated_coverage": 3,
}
_SCORES = ("validation", "train", "test")


def networks(
    scores: Sequence[pd.DataFrame], notes: Mapping[str, Mapping[str, Any]], published: pd.DataFrame
) -> pd.DataFrame:
    """`networks.csv`: one row per network, means over its repeats.

    Columns: `network, data, repeats, diverged, epochs, num_params, taken_over`; `validation,
    train, test` with `_sd` over the repeats that did not diverge; `test_low, test_high` (95 %
    Wilson interval of the mean accuracy for the number of test images; missing for errors);
    further scores of the task; `published, published_{validation,train,test}, source`. Accuracies
    are fractions of 1, the published ones too.

    Parameters
    ----------
    scores : frames of `networks.TrainedNetwork.scores`.
    notes : per network `data` and, where there is one, `published` (the text that names a row).
    published : rows `dataset, what, validation, train, test, note, source`, accuracies in percent.
    """
    together = pd.concat(scores, ignore_index=True)
    rows = []
    for name, runs in together.groupby("network", sort=False):
        note = notes[str(name)]
        good = runs[~runs["diverged"]]
        row: dict[Any, Any] = {
            "network": name,
            "data": note.get("data", "digits"),
            "repeats": len(runs),
            "diverged": int(runs["diverged"].sum()),
            **{k: runs[k].mean() for k in ("epochs", "num_params", "taken_over") if k in runs},
        }
        own = [c for c in good if c not in row and c not in ("repeat", "seed", "depth", "n_test")]
        for column in [*_SCORES, *(c for c in own if c not in _SCORES)]:
            if column in _SCORES or good[column].notna().any():
                row[column] = good[column].mean()
                row[f"{column}_sd"] = good[column].std(ddof=1) if len(good) > 1 else np.nan
        if "n_test" in good and good["n_test"].notna().any():
            n = int(good["n_test"].iloc[0])
            hits = round(float(good["test"].mean()) * n)
            interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
            row |= {"test_low": interval.low, "test_high": interval.high}
        if "published" in note:
            row |= _published(str(note["published"]), published)
        rows.append(row)
    return pd.DataFrame(rows)


def _published(what: str, published: pd.DataFrame) -> dict[str, Any]:
    """The published row `dataset: what`, accuracies as fractions of 1."""
    dataset, _, text = what.partition(": ")
    found = published[(published["dataset"] == dataset) & (published["what"] == text)]
    if len(found) != 1:
        raise DataError(f"{len(found)} published rows are called {what!r}")
    row = found.iloc[0]
    scale = 100.0 if row["unit"] == "percent" else 1.0
    return {
        "published": what,
        **{f"published_{name}": float(row[name]) / scale for name in _SCORES},
        "source": row["source"],
    }


def seconds(scores: Sequence[pd.DataFrame], times: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Seconds per network, mean over its repeats: columns `network, repeats, epochs, seconds`."""
    together = pd.concat(
        [score.assign(seconds=time["seconds"]) for score, time in zip(scores, times, strict=True)]
    )
    return together.groupby("network", sort=False, as_index=False).agg(
        repeats=("repeat", "size"), epochs=("epochs", "mean"), seconds=("seconds", "mean")
    )


def networks_text(frame: pd.DataFrame, scores: Sequence[str] = _SCORES) -> str:
    """`networks.csv` for people: accuracies in percent, errors as they are."""
    parts = ["# Networks trained to the end\n"]
    accuracies = frame["test"] <= 1
    for title, rows, percent in (
        ("Accuracy in percent", frame[accuracies], True),
        ("Mean squared error", frame[~accuracies], False),
    ):
        if rows.empty:
            continue
        shown = pd.DataFrame(
            {
                "network": rows["network"],
                "data": rows["data"],
                "repeats": rows["repeats"],
                "diverged": rows["diverged"],
                "epochs": rows["epochs"].map(lambda v: number(v, 0)),
                "weights": rows["num_params"].map(lambda v: f"{v:.0f}"),
                **{name: _cells(rows, name, percent) for name in scores},
            }
        )
        if percent:
            shown["test, 95 %"] = [
                f"{100 * low:.2f} to {100 * high:.2f}"
                for low, high in zip(rows["test_low"], rows["test_high"], strict=True)
            ]
        if not percent:
            for column, digits in _FURTHER.items():
                if column in rows and rows[column].notna().any():
                    shown[column.replace("_", " ")] = rows[column].map(
                        lambda v, n=digits: _rounded(v, n)
                    )
        if "published" in rows and rows["published"].notna().any():
            shown["published"] = rows["published"].fillna("")
            for name in scores:
                shown[f"{name}, published"] = [
                    _amount(v, percent) for v in rows[f"published_{name}"]
                ]
        parts += [f"## {title}\n", table(shown)]
    parts.append(
        "Mean ± standard deviation over repeats (other initial weights and orders). The interval "
        "is binomial (Wilson), for the number of test images. Without a validation score: these "
        "images were trained on as well. Published values come from other code and, where the "
        "names differ, from other data.\n"
    )
    return "\n".join(parts)


def _cells(rows: pd.DataFrame, name: str, percent: bool) -> list[str]:
    return [
        _amount(value, percent) + ("" if np.isnan(sd) else f" ± {_amount(sd, percent)}")
        for value, sd in zip(rows[name], rows[f"{name}_sd"], strict=True)
    ]


def _amount(value: float, percent: bool) -> str:
    if np.isnan(value):
        return ""
    return f"{100 * value:.2f}" if percent else f"{value:.4g}"


def _rounded(value: float, digits: int) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.4g}" if digits == 0 else f"{value:.{digits}f}"


def effects(evaluations: pd.DataFrame, levels: int = 3) -> pd.DataFrame:
    """Mean validation score per level of every hyper-parameter, per study.

    Of each configuration its evaluation on one budget counts: that on which most configurations
    were evaluated. Parameters of many numbers are cut into `levels` ranges at the quantiles of
    what was drawn. A further parameter `epochs` compares the budgets, over the configurations
    that reached the highest one.

    Returns
    -------
    Columns `study, parameter, level, budget, runs, diverged, mean, low, high`: the mean over the
    runs that did not fail and its 95 % interval (Student's t).
    """
    rows: list[dict[str, Any]] = []
    for study, frame in evaluations.groupby("study", sort=False):
        counts = frame.groupby("budget")[["seed", "configuration"]].apply(
            lambda part: len(part.drop_duplicates())
        )
        budget = float(counts[counts == counts.max()].index.max())
        part = frame[frame["budget"] == budget]
        configs = pd.DataFrame([_loads(text) for text in part["config"]], index=part.index)
        for parameter in map(str, configs):
            cut = _levels(configs[parameter], levels)
            for level, members in cut.groupby(cut, sort=True, observed=True):
                name = {"study": study, "parameter": parameter, "budget": budget}
                name["level"] = _label(level, configs.loc[members.index, parameter])
                rows.append(name | _mean(part.loc[members.index, "validation"]))
        rows += [{"study": study, **row} for row in _epochs(frame)]
    columns = ["study", "parameter", "level", "budget", "runs", "diverged", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _loads(text: str) -> dict[str, Any]:
    return json.loads(text)


def _levels(values: pd.Series, levels: int) -> pd.Series:
    """The values as they are where there are few, else numbers in ranges of equally many."""
    known = values.dropna()
    if known.nunique() <= _FEW or known.map(lambda v: isinstance(v, str | bool)).any():
        return known.map(lambda v: str(v) if isinstance(v, str | bool) else f"{v:.4g}")
    return pd.qcut(known.astype(float), levels, duplicates="drop")


def _label(level: Any, values: pd.Series) -> str:
    """A single value, or the range of the values that were drawn."""
    return level if isinstance(level, str) else f"{values.min():.3g} to {values.max():.3g}"


def _mean(scores: pd.Series) -> dict[str, Any]:
    good = scores[np.isfinite(scores)].to_numpy()
    low = high = np.nan
    if len(good) > 1:
        half = stats.t.ppf(0.975, len(good) - 1) * good.std(ddof=1) / np.sqrt(len(good))
        low, high = good.mean() - half, good.mean() + half
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


def effects_text(frame: pd.DataFrame) -> str:
    """The effects for people, a table per study."""
    parts = [
        "# Effects of hyper-parameters\n",
        "Mean validation score per level with its 95 % interval (Student's t), over the "
        "configurations that the study evaluated on one budget. A search does not draw levels "
        "independently of each other and prefers what it found good: these are descriptions of "
        "its runs, not of interventions. Epochs: configurations that reached the highest budget.\n",
    ]
    for study, rows in frame.groupby("study", sort=False):
        shown = rows[["parameter", "level", "budget", "runs", "diverged"]].copy()
        shown["budget"] = shown["budget"].map(lambda v: f"{v:g}")
        shown["mean"] = [
            f"{m:.4g}" + ("" if np.isnan(low) else f" [{low:.4g}, {high:.4g}]")
            for m, low, high in zip(rows["mean"], rows["low"], rows["high"], strict=True)
        ]
        parts += [f"## {study}\n", table(shown)]
    return "\n".join(parts)


def networks_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Scores of the networks trained to the end, and their seconds; `params`: `notes`."""
    scores = [pd.read_csv(path) for path in inputs["scores"]]
    published = pd.concat([pd.read_csv(path) for path in inputs["published"]])
    frame = networks(scores, params["notes"], published)
    times = seconds(scores, [pd.read_csv(path) for path in inputs["seconds"]])
    return {"networks": (frame, networks_text(frame)), "network_timings": (times, table(times))}


def effects_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Mean score per level of every hyper-parameter, per study with real training."""
    frames = [read_parquet(path)[0] for path in inputs["evaluations"]]
    frame = effects(pd.concat(frames, ignore_index=True))
    return {"effects": (frame, effects_text(frame))}
