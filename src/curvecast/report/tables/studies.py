"""Tables of studies for people: Markdown made of the frames of `curvecast.studies.summary`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import read_parquet
from curvecast.report.tables import Inputs, Table
from curvecast.report.tables.markdown import number, table
from curvecast.studies import summary
from curvecast.studies.jobs import tables as study_tables


def studies(frame: pd.DataFrame) -> str:
    """One row per study and optimiser, and the incumbents below."""
    shown = pd.DataFrame(
        {
            "study": frame["study"],
            "optimiser": frame["optimizer"],
            "seeds": frame["seeds"],
            **{
                title: frame[column].map(lambda v: number(v, 1))
                for title, column in (
                    ("configurations", "unique_configurations"),
                    ("evaluations", "evaluations"),
                    ("failed", "failed"),
                    ("ended early", "stopped"),
                    ("budget used", "budget_used"),
                )
            },
            "loss": [
                _with_interval(*row)
                for row in zip(frame["loss"], frame["loss_low"], frame["loss_high"], strict=True)
            ],
            "best loss": frame["best_loss"].map(lambda v: number(v, 4)),
            "validation": frame["validation"].map(lambda v: number(v, 4)),
            "test": frame["test"].map(lambda v: number(v, 4)),
            "model-based": frame["model_based_share"].map(lambda v: f"{100 * v:.0f} %"),
        }
    )
    note = (
        "Means over seeds. Loss: of the incumbents, with the 95 % interval of its mean over seeds "
        "(Student's t). Best loss, validation and test: of the incumbent of the best seed. "
        "Model-based: share of the configurations that a model proposed."
    )
    incumbents = [
        f"- {row.study}, {row.optimizer}: {_config(str(row.incumbent))}"
        for row in frame.itertuples()
    ]
    return "\n".join(
        ["# Studies\n", note + "\n", table(shown), "## Incumbents\n", *incumbents]
    ) + "\n"  # fmt: skip


def comparison(regrets: pd.DataFrame, paired: pd.DataFrame) -> str:
    """Final regret per data set and optimiser, and the paired differences."""
    note = (
        "Normalised regret of the incumbent at the end of the budget: 0 is the best recorded run, "
        "1 the median one. Mean over seeds with the 95 % interval (Student's t). A configuration "
        "that was not recorded is answered by the nearest recorded run that this search has not "
        "used yet: each run serves one configuration."
    )
    final = regrets[regrets["share"] == regrets["share"].max()]
    cells = final.assign(
        cell=[
            _with_interval(*row)
            for row in zip(final["regret"], final["low"], final["high"], strict=True)
        ]
    )
    grid = cells.pivot(index="study", columns="optimizer", values="cell").fillna("")
    parts = ["# Optimisers on recorded curves\n", note + "\n", table(grid.reset_index())]
    if len(paired):
        shown = paired.assign(
            difference=[
                _with_interval(*row)
                for row in zip(paired["difference"], paired["low"], paired["high"], strict=True)
            ]
        ).drop(columns=["low", "high"])
        parts += [
            "## Paired differences of the final regret\n",
            "Optimiser minus the other one, per data set and seed, averaged per data set; the "
            "interval is over data sets. Negative: the optimiser is ahead.\n",
            table(shown),
        ]
    return "\n".join(parts)


def seconds(frame: pd.DataFrame) -> str:
    """Seconds per study and optimiser."""
    shown = frame.assign(seconds=frame["seconds"].map(lambda v: f"{v:.1f}"))
    note = "From the first start to the last end of an evaluation, mean over seeds."
    return "\n".join(["# Seconds of studies\n", note + "\n", table(shown)])


def _with_interval(value: float, low: float, high: float) -> str:
    interval = "" if np.isnan(low) else f" [{number(low, 4)}, {number(high, 4)}]"
    return number(value, 4) + interval


def _config(text: str) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in json.loads(text).items()
    )


def studies_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """One row per study and optimiser, and their seconds."""
    frames = study_tables([read_parquet(path)[0] for path in inputs["evaluations"]], [])
    rows, times = frames["studies"], frames["study_timings"]
    return {"studies": (rows, studies(rows)), "study_timings": (times, seconds(times))}


def study_comparison_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Paired differences of the optimisers on recorded curves, and their regret."""
    regrets = pd.concat([read_parquet(path)[0] for path in inputs["regret"]], ignore_index=True)
    rows, paired = summary.regret_rows(regrets), summary.paired_rows(regrets)
    return {"study_comparison": (paired, comparison(rows, paired)), "study_regret": (rows, "")}
