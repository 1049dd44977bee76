"""The table of tuned predictors: beside the untuned ones, and beside those that were published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.curves import DataError, read_parquet
from curvecast.report.tables import Inputs, Table
from curvecast.report.tables.markdown import number, table

PUBLISHED_ON = "LCBench task A, validation accuracy in percent"
_TUNED = " tuned by BOHB"
_SPLITS = ("validation", "test")


def published(path: str | Path) -> pd.DataFrame:
    """Singh's networks on LCBench task A, with the columns of `studies.jobs.tuning_rows`.

    Raises
    ------
    DataError : a missing column, or none of the networks was tuned.
    """
    frame = pd.read_csv(path)
    for column in ("who", "model", "val_mse", "test_mse", "source"):
        if column not in frame:
            raise DataError("missing column", file=path, column=column)
    tuned = frame["model"].str.endswith(_TUNED)
    who = frame.loc[tuned, "who"].unique()
    if len(who) != 1:
        raise DataError(f"tuned networks of {len(who)} sources, not of one", file=path)
    of_source = frame["who"] == who[0]
    return pd.DataFrame(
        {
            "study": who[0],
            "model": frame["model"].str.removesuffix(_TUNED),
            "dataset": PUBLISHED_ON,
            "variant": tuned.map({True: "tuned", False: "untuned"}),
            "validation_mse": frame["val_mse"],
            "test_mse": frame["test_mse"],
        }
    )[of_source].reset_index(drop=True)


def text(rows: pd.DataFrame, published: pd.DataFrame) -> str:
    """Markdown of both: ours per study with standard errors, then the published figures."""
    shown = pd.DataFrame(
        {
            "study": rows["study"],
            "model": rows["model"],
            "data set": rows["dataset"],
            "variant": rows["variant"],
            "epochs": rows["epochs"],
            **{
                f"{split} {name}": [
                    f"{number(mean, 4)} ± {number(se, 4)}"
                    for mean, se in zip(rows[key], rows[f"{key}_se"], strict=True)
                ]
                for split in _SPLITS
                for name, key in (("MSE", f"{split}_mse"), ("MAE", f"{split}_mae"))
            },
        }
    )
    theirs = pd.DataFrame(
        {
            "source": published["study"],
            "model": published["model"],
            "variant": published["variant"],
            "validation MSE": published["validation_mse"].map(lambda v: number(v, 2)),
            "test MSE": published["test_mse"].map(lambda v: number(v, 2)),
        }
    )
    note = (
        "Each network is trained with seeds that the study did not use; mean ± standard error "
        f"over {int(rows['repeats'].min())} of them. Untuned: the defaults of the model. Both are "
        "trained for the model's own number of epochs and for that of the study. The study saw "
        "the training and the validation split, never the test split."
    )
    found = [
        f"- {row.study}: "
        + ", ".join(f"{k} {_short(v)}" for k, v in json.loads(str(row.options)).items())
        for row in rows[rows["variant"] == "tuned"]
        .drop_duplicates("study", keep="last")
        .itertuples()
    ]
    other = (
        f"{PUBLISHED_ON}. Where ours is the cross-entropy, compare what tuning changes, not the "
        "errors."
    )
    return "\n".join(
        [
            "# Tuned predictors\n", note + "\n", table(shown),
            "## Options that were found\n", *found, "",
            "## Published\n", other + "\n", table(theirs),
        ]
    )  # fmt: skip


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tuning_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Tuned beside untuned predictors, and the published ones."""
    rows = pd.concat([read_parquet(path)[0] for path in inputs["tunings"]])
    theirs = published(inputs["published"][0])
    return {"tuning": (pd.concat([rows, theirs]), text(rows, theirs))}
