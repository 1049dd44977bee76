"""The first section of the report where a data set has runs under way: which of them to stop."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from curvecast.curves import CurveSet
from curvecast.report.page import documents, runs
from curvecast.report.tables.markdown import table
from curvecast.stopping.advice import MODEL, PROMISE, advise, check, left_out

_COLUMNS = {
    **{"run": "run", "advice": "advice", "epoch": "epoch", "value": "value"},
    **{"predicted end": "predicted", "from": "low", "to": "high"},
    **{"P(becomes the best)": "best", "P(ends worse)": "worse", "epochs left": "epochs_left"},
}


def running(files: Iterable[str | Path]) -> list[dict[str, str]]:
    """Title, text, table (HTML) and chart (JSON) of each data set that has runs under way."""
    parts = []
    for curves in map(CurveSet.from_parquet, files):
        if "running" not in set(curves.configs.get("info_state", ())):
            continue
        advice, checked = advise(curves), check(curves)
        stop = advice["advice"] == "stop"
        text = (
            f"Stop {stop.sum()} of {len(advice)} runs under way"
            f" ({advice.loc[stop, 'epochs_left'].sum()} epochs): those that end worse than the "
            "best run with a probability so high that "
            f"{100 * PROMISE:g} % of the runs that would become the best go on, by {MODEL}."
        )
        if checked is not None:
            saved = 100 * checked.saved / checked.epochs
            text += (
                f" On the finished runs the same rule would have saved {saved:.0f} % of the epochs "
                f"and lost {checked.lost} of {checked.winners} winners."
            )
        part = {"title": curves.name, "text": f"{text} {left_out(curves)}".strip()}
        part |= {
            "table": documents.html(table(advice, _COLUMNS)),
            "spec": runs.drawn(curves, advice),
        }
        parts.append(part)
    return parts
