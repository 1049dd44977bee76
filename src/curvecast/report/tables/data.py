"""Tables of the data sets and of the seconds of the predictors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, collection_of
from curvecast.files import DataError, read_csv
from curvecast.report.names import in_order
from curvecast.report.tables.markdown import Table, document, table

READERS = {"curves": list, "timings": list}
_SECONDS = ["seconds_fit", "seconds_predict"]


def datasets_tables(curves: Sequence[str | Path], licences: Mapping[str, str]) -> dict[str, Table]:
    """What each data set of files of `CurveSet.to_parquet` holds, sorted by name.

    Columns: `dataset, runs, groups, diverged` (runs without a finite final value), `first_epoch,
    last_epoch, metric, direction, final_best, final_median, final_worst` (over finite finals),
    `notes` (what the reader did: duplicates dropped, ...), `source`, `licence` (of `licences`, by
    the name of the data set; "" where it has none).
    """
    rows = []
    for runs in map(CurveSet.from_parquet, curves):
        finite = np.sort(runs.sign * runs.final[np.isfinite(runs.final)])[::-1] * runs.sign
        rows.append(
            {
                "dataset": runs.name,
                "runs": len(runs),
                "groups": len(np.unique(runs.groups)),
                "diverged": len(runs) - len(finite),
                "first_epoch": int(runs.epochs[0]),
                "last_epoch": runs.last_epoch,
                "metric": runs.metric,
                "direction": runs.direction,
                "final_best": finite[0] if len(finite) else np.nan,
                "final_median": np.median(finite) if len(finite) else np.nan,
                "final_worst": finite[-1] if len(finite) else np.nan,
                "notes": "; ".join(runs.notes),
                "source": runs.source,
                "licence": licences.get(runs.name, ""),
            }
        )
    frame = pd.DataFrame(rows).sort_values("dataset", ignore_index=True)
    text = document(
        "Data sets",
        "Groups are distinct configurations; diverged runs have no finite final value and are "
        "left out of splits; finals are over the others.",
        table(frame),
    )
    return {"datasets": (frame, text)}


def timings_tables(folder: str | Path, timings: Sequence[str | Path]) -> dict[str, Table]:
    """Seconds per model and data set; `folder` is that of the files `timings`."""
    frame = summed(folder, timings)
    return {"timings": (frame, timings_text(frame))}


def summed(folder: str | Path, paths: Iterable[str | Path]) -> pd.DataFrame:
    """Seconds per model and data set, from `{folder}/{dataset}/{model}[.{experiment}].csv`.

    One row per (experiment, dataset, model): `cells`, the sums over cells `seconds_fit`,
    `seconds_predict` and `seconds` (both), `seconds_per_cell`, and the mean over cells of every
    further numeric column (the diagnostics of a model), empty where a model has none.

    Raises
    ------
    DataError : a file without the columns of timings.
    """
    frames = []
    for path in sorted(map(Path, paths)):
        frame = read_csv(path)
        for column in _SECONDS:
            if column not in frame:
                raise DataError("missing column in timings", file=path, column=column)
        model, _, experiment = path.stem.partition(".")
        dataset = path.relative_to(folder).parent.as_posix()
        frames.append(frame.assign(dataset=dataset, model=model, experiment=experiment or "main"))
    if not frames:
        raise DataError("no timing files given")
    cells = pd.concat(frames, ignore_index=True)
    groups = cells.groupby(["experiment", "dataset", "model"], sort=True)
    sums = groups[_SECONDS].sum()
    known = {"features", "n_train", "repeat", "tau", "depth", *_SECONDS}
    further = [column for column in cells.select_dtypes("number") if column not in known]
    seconds = sums.sum(axis=1)
    sums = sums.assign(seconds=seconds, seconds_per_cell=seconds / groups.size())
    result = sums.join(groups[further].mean())
    result.insert(0, "cells", groups.size())
    return result.reset_index()


def timings_text(frame: pd.DataFrame) -> str:
    """Seconds per experiment and collection, data sets × models."""
    sections = []
    for experiment, part in frame.groupby("experiment", sort=True):
        models = in_order(part["model"])
        wide = part.pivot(index="dataset", columns="model", values="seconds")[models]
        wide.loc["sum"] = wide.sum(axis=0)
        wide["sum"] = wide.sum(axis=1)
        by_collection = part.assign(collection=part["dataset"].map(collection_of))
        totals = by_collection.groupby(["collection", "model"])[["seconds", "cells"]].sum()
        per_cell = (totals["seconds"] / totals["cells"]).unstack("model")[models]
        sections += [
            f"## {experiment}\n\n" + table(wide.reset_index()),
            f"## {experiment}, per cell\n\n" + table(per_cell.reset_index()),
        ]
    return document(
        "Seconds of fitting and predicting",
        "Seconds of one core: summed over all cells of a model on a data set, and per cell (one "
        "split at one fraction).",
        *sections,
    )
