"""The table of errors on LCBench's Task A, with the published ones below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast import protocol
from curvecast.benchmark.task_a import PARTS
from curvecast.files import read_parquet
from curvecast.report.tables.markdown import Columns, Table, document, sections
from curvecast.report.tables.published import read_columns

READERS = {"predictions": list, "published": lambda files: published(files[0])}
_ERRORS = [f"{part}_{error}" for part in PARTS for error in ("mse", "mae")]
_SIZES = ("n_train", *(f"n_{part}" for part in PARTS))
COLUMNS = (
    *("source", "dataset", "metric", "variant", "model"),
    *_SIZES,
    *(f"{error}{end}" for error in _ERRORS for end in ("", "_low", "_high")),
    "note",
)
_OURS = "this run"
_PUBLISHED_ON = {"dataset": "lcbench_full/Fashion-MNIST", "metric": "validation accuracy (percent)"}
_DRAWS, _LEVEL = 2000, 0.95


def task_a_tables(
    predictions: Sequence[str | Path], folder: str | Path, published: pd.DataFrame
) -> dict[str, Table]:
    """Errors of all variants, from files `predictions` below a folder, and a table per data set.

    The files are `{folder}/{dataset}/{model}.task_a.parquet` with the metric in their metadata.
    The smallest test error of a data set stands first.
    """
    frames, metrics = {}, {}
    for path in sorted(map(Path, predictions)):
        dataset = path.relative_to(folder).parent.as_posix()
        frame, meta = read_parquet(path)
        frames[dataset, path.name.removesuffix(".task_a.parquet")] = frame
        metrics[dataset] = str(meta["metric"])
    frame = errors(frames, metrics, published)
    columns: Columns = {
        **{name: name for name in ("source", "model", "variant", *_SIZES)},
        **{error: (error, f"{error}_low", f"{error}_high") for error in _ERRORS},
        "note": "note",
    }
    by = ["dataset", "metric"]
    text = document(
        "LCBench Task A",
        "One split in file order (n_: runs for training, validation and test); seen are the first "
        "epochs, the target is the value after the last one. Errors in the unit of the metric, "
        "squared for MSE, with 95 % bootstrap intervals over the runs: they say nothing about "
        "another split or another seed. Nothing was tuned on the validation runs. Published "
        "figures are of validation accuracy in percent and compare with the same metric alone.",
        *sections(frame.sort_values([*by, "test_mse"], kind="stable"), by, "{}, {}", columns),
    )
    return {"task_a": (frame, text)}


def published(path: str | Path) -> pd.DataFrame:
    """Read `lcbench_task_a_mse.csv`: `source, model, validation_mse, test_mse, note`."""
    frame = read_columns(Path(path), ("who", "model", "val_mse", "test_mse", "note"))
    frame = frame.drop(columns="source", errors="ignore")
    frame = frame.rename(columns={"who": "source", "val_mse": "validation_mse"})
    return frame[["source", "model", "validation_mse", "test_mse", "note"]]


def errors(
    predictions: Mapping[tuple[str, str], pd.DataFrame],
    metrics: Mapping[str, str],
    published: pd.DataFrame,
) -> pd.DataFrame:
    """Errors of all variants, with the published ones below: the columns `COLUMNS`.

    `predictions` holds frames of `benchmark.task_a.run` by (data set, model), `metrics` the
    metric of each data set, which is the unit (squared for mse). `_low` and `_high` bound the
    95 % interval of the bootstrap over runs (percentiles of 2000 draws, the same for all models
    of a data set).
    """
    rows = []
    for (dataset, model), frame in sorted(predictions.items()):
        for variant, of_variant in frame.groupby("variant", sort=False):
            row: dict[str, Any] = {
                "source": _OURS,
                "dataset": dataset,
                "metric": metrics[dataset],
                "variant": variant,
                "model": model,
                "n_train": int(of_variant["n_train"].iloc[0]),
            }
            for part in PARTS:
                runs = of_variant[of_variant["part"] == part]
                row[f"n_{part}"] = len(runs)
                if len(runs):
                    gap = (runs["y_mean"] - runs["y_true"]).to_numpy()
                    row |= _errors(part, gap, protocol.seed_from(dataset, "task_a", part))
            rows.append(row)
    theirs = published.assign(**_PUBLISHED_ON)
    return pd.concat([pd.DataFrame(rows), theirs], ignore_index=True).reindex(columns=COLUMNS)


def _errors(part: str, gap: np.ndarray, seed: int) -> dict[str, float]:
    drawn = np.random.default_rng(seed).integers(len(gap), size=(_DRAWS, len(gap)))
    tail = (1 - _LEVEL) / 2
    result = {}
    for name, loss in (("mse", gap**2), ("mae", np.abs(gap))):
        low, high = np.quantile(loss[drawn].mean(axis=1), [tail, 1 - tail])
        values = (loss.mean(), low, high)
        for end, value in zip(("", "_low", "_high"), values, strict=True):
            result[f"{part}_{name}{end}"] = float(value)
    return result
