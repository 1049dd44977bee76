"""Tables of a run: what is written to `tables/`, and how.

| file | made by | from |
|---|---|---|
| r2.csv, r2.md | `summarise`, `r2_markdown` | scores of the main protocol |
| averages.csv, averages.md | `averages`, `averages_markdown` | the summary above |
| differences.csv, differences.md | `differences`, `differences_markdown` | scores of the main protocol |
| ablation.csv, ablation.md | `summarise`, `ablation_markdown` | scores of the experiment `ablation` |
| training_size.csv, training_size.md | `summarise`, `training_size_markdown` | ... `training_size` |
| depth.csv, depth.md | `summarise`, `depth_markdown` | ... `depth` |
| published.csv, published.md | `published.compare`, `published.markdown` | all summaries, resources/published |
| datasets.csv, datasets.md | `datasets`, `markdown` | curve files, registry |
| timings.csv, timings.md | `timings`, `timings_markdown` | timings/{dataset}/{model}[.{experiment}].csv |

A script reads with `load_scores(paths)`, calls one of these, and writes with `write_csv(frame,
path)` or `write_text(text, path)`:

    scores = tables.load_scores(snakemake.input)
    summary = tables.summarise(scores)
    tables.write_csv(summary, snakemake.output.csv)
    tables.write_text(tables.r2_markdown(summary), snakemake.output.markdown)

CSV files have six significant digits, empty cells for NaN, and rows ordered by their keys, so
that the same scores give the same bytes in whatever order they were computed. `timings.csv` has
the same form but holds seconds, which no two runs share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from curvecast.curves import CurveSet, DataError, read_parquet

CELL = ("dataset", "model", "features", "tau", "fraction", "n_train")
SUMMARY_COLUMNS = (
    *CELL,
    "repeats",
    "r2_mean",
    "r2_se",
    "r2_median",
    "r2_min",
    "mse_mean",
    "mae_mean",
    "spearman_mean",
    "kendall_mean",
    "nll_mean",
    "crps_mean",
    "cover50",
    "cover80",
    "cover95",
    "width80",
)
# The order of models in tables for people and in legends; others follow by name.
MODEL_ORDER = (
    "mean",
    "last_value",
    "ols",
    "ridge",
    "nusvr_linear",
    "nusvr_rbf",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "gp",
    "lce",
    "lcnet",
    "cnn",
    "lstm",
    "cnn_lstm",
    "ensemble",
)
FEATURE_ORDER = ("TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP")
_SE_NOTE = (
    "mean ± standard error over the repeats (standard deviation / √repeats). The repeats draw "
    "their training runs from the same runs and overlap, so this understates the uncertainty; "
    "differences.csv corrects for it."
)


# Reading and writing


def load_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read score files into one frame in a fixed row order.

    Raises
    ------
    DataError : a damaged file, a file without the columns of scores, or a cell that occurs twice.
    """
    frames = []
    for path in sorted(map(str, paths)):
        frame, _ = read_parquet(path)
        for column in (*CELL, "experiment", "repeat", "n_test", "r2"):
            if column not in frame:
                raise DataError("missing column in scores", file=path, column=column)
        frames.append(frame)
    if not frames:
        raise DataError("no score files given")
    return order_scores(pd.concat(frames, ignore_index=True))


def order_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Sort scores by their keys. Raises DataError for a cell that occurs twice."""
    keys = [*_keys(scores), "repeat"]
    ordered = scores.sort_values(keys, ignore_index=True)
    twice = ordered.duplicated(keys)
    if twice.any():
        row = ordered.loc[twice].iloc[0]
        raise DataError("two scores for one cell: " + ", ".join(f"{k} {row[k]}" for k in keys))
    return ordered


def _keys(frame: pd.DataFrame) -> list[str]:
    extra = [column for column in ("experiment", "depth") if column in frame]
    return [*CELL[:3], *extra, "n_train", "tau", "fraction"]


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame with six significant digits; nothing half-written ever has the name."""
    write_text(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"), path)


def write_text(text: str, path: str | Path) -> None:
    """Write UTF-8 text under a temporary name, then rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# Summaries over repeats


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per cell over its repeats, with the columns of `r2.csv`.

    `r2_se` is the standard deviation over repeats divided by the root of their number; the
    repeats overlap, so it understates. It is NaN for a single repeat. The column `depth` follows
    the others where the scores have it. Scores of several experiments must not be mixed.

    Raises
    ------
    DataError : scores of more than one experiment.
    """
    if "experiment" in scores and scores["experiment"].nunique() > 1:
        raise DataError(f"scores of several experiments: {sorted(set(scores['experiment']))}")
    keys = [key for key in _keys(scores) if key != "experiment"]
    groups = order_scores(scores).groupby(keys, sort=True)
    r2 = groups["r2"]
    repeats = groups.size()
    columns = {
        "repeats": repeats,
        "r2_mean": _mean(r2),
        "r2_se": r2.std(ddof=1) / np.sqrt(repeats),
        "r2_median": r2.median(),
        "r2_min": r2.min(),
        **{f"{s}_mean": _mean(groups[s]) for s in ("mse", "mae", "spearman", "kendall")},
        **{f"{s}_mean": _mean(groups[s]) for s in ("nll", "crps")},
        **{s: _mean(groups[s]) for s in ("cover50", "cover80", "cover95", "width80")},
    }
    frame = pd.DataFrame(columns).reset_index()
    return frame[[*SUMMARY_COLUMNS, *(["depth"] if "depth" in frame else [])]]


def _mean(groups: Any) -> pd.Series:
    """Mean of each group; NaN where one of its values is, so that no repeat drops out unseen."""
    return groups.agg(lambda values: np.mean(values.to_numpy()))


def differences(scores: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """R² of each model against the best one of its data set and fraction, paired over repeats.

    The standard error is that of Nadeau and Bengio (2003, Inference for the generalization
    error, section 3): s² (1 / J + n_test / n_train) for J repeats with variance s² of the
    difference, which allows for overlapping training sets. The interval is Student's t with
    J - 1 degrees of freedom. The best model is the one with the highest mean R² and is compared
    with nothing; as it was chosen for being best, small differences are flattered.

    Returns
    -------
    Columns `dataset, fraction, tau, n_train, n_test, repeats, model, features, best_model,
    best_features, r2_mean, best_r2_mean, difference, se, low, high, resolved`; `difference` =
    model - best; `resolved` tells whether the interval leaves out 0. `n_test` is the mean over
    the repeats (groups of repeated configurations make it vary a little).

    Raises
    ------
    DataError : models that were not scored on the same repeats.
    """
    keys = ["dataset", "fraction", "tau", "n_train"]
    rows: list[dict[str, Any]] = []
    for cell, part in order_scores(scores).groupby(keys, sort=True):
        table = part.pivot(index=["model", "features"], columns="repeat", values="r2")
        if len(table) != table.dropna(how="all").shape[0]:
            table = table.dropna(how="all")
        if table.empty:
            continue
        if table.isna().any(axis=None):
            model, features = table.index[table.isna().any(axis=1)][0]
            raise DataError(
                f"{cell}: {model} on {features} has no R² in a repeat that another model has"
            )
        means = table.mean(axis=1)
        best = means.idxmax()
        n_test = float(part.drop_duplicates("repeat")["n_test"].mean())
        for label in table.index:
            if label == best:
                continue
            gap = (table.loc[label] - table.loc[best]).to_numpy()
            se = corrected_se(gap, n_train=int(part["n_train"].iloc[0]), n_test=n_test)
            reach = float(student_t.ppf(0.5 + level / 2, len(gap) - 1)) * se
            difference = float(gap.mean())
            assert isinstance(cell, tuple)
            rows.append(
                {
                    **dict(zip(keys, cell, strict=True)),
                    "n_test": n_test,
                    "repeats": len(gap),
                    "model": label[0],
                    "features": label[1],
                    "best_model": best[0],
                    "best_features": best[1],
                    "r2_mean": means[label],
                    "best_r2_mean": means[best],
                    "difference": difference,
                    "se": se,
                    "low": difference - reach,
                    "high": difference + reach,
                    "resolved": bool(difference + reach < 0),
                }
            )
    return pd.DataFrame(rows)


def corrected_se(gap: np.ndarray, *, n_train: int, n_test: float) -> float:
    """Nadeau-Bengio standard error of a mean paired difference; NaN for a single repeat."""
    if len(gap) < 2:
        return float("nan")
    return float(np.sqrt((1 / len(gap) + n_test / n_train) * np.var(gap, ddof=1)))
