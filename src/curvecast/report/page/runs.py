"""Writes the page of a log: advice on the runs under way first, then how far it can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from curvecast.curves import CurveSet
from curvecast.extras import missing
from curvecast.files import DataError, write_text
from curvecast.stopping.advice import Check, finished

_TEMPLATE = Path(__file__).with_name("runs.html")
_COLOURS = {"stop": "#d55e00", "go on": "#0072b2", "too early": "#666666", "finished": "#b8c0c9"}
_MOST_POINTS = 60
_MOST_FINISHED = 200


def write(
    path: str | Path,
    curves: CurveSet,
    advice: pd.DataFrame,
    check: Check | None,
    *,
    promise: float,
    level: float,
) -> None:
    """Write one self-contained HTML page.

    Parameters
    ----------
    curves, advice, check : a log, and what `stopping.advice` makes of it.
    promise, level : that the advice was made with.

    Raises
    ------
    DataError : the packages of the extra `report` are not installed.
    """
    try:
        import altair
        import vl_convert
    except ImportError as error:
        raise DataError(missing(error), file=path) from error
    chart = _chart(altair, curves, advice)
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        name=curves.name,
        metric=curves.metric,
        direction=curves.direction,
        last=curves.last_epoch,
        n_finished=int(finished(curves).sum()),
        advice=_rows(advice, curves),
        counts=advice["advice"].value_counts().to_dict(),
        open_epochs=int(advice.loc[advice["advice"] == "stop", "epochs_left"].sum()),
        check=check,
        accuracy=[] if check is None else check.accuracy.to_dict("records"),
        promise=promise,
        level=level,
        notes=curves.notes,
        script=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub has no default
        spec=json.dumps(chart.to_dict()).replace("</", "<\\/"),
    )
    write_text(text, path)


def _rows(advice: pd.DataFrame, curves: CurveSet) -> list[dict[str, Any]]:
    """Rows of the first table: the advice, and the settings of each run in one text."""
    texts = _settings(curves)
    settings = [texts[run] for run in advice["run"]]
    rows = advice.assign(settings=settings).to_dict("records")
    return [{str(name): cell for name, cell in row.items()} for row in rows]


def _settings(curves: CurveSet) -> dict[str, str]:
    names = [c for c in curves.configs.columns if str(c).startswith(("hp_", "ap_"))]
    texts = {}
    for run, row in zip(
        curves.configs["id"], curves.configs[names].to_dict("records"), strict=True
    ):
        known = {str(name)[3:]: value for name, value in row.items() if not pd.isna(value)}
        texts[str(run)] = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in known.items()
        )
    return texts


def _points(curves: CurveSet, advice: pd.DataFrame) -> pd.DataFrame:
    """Values of all runs under way and of up to 200 finished ones, a row per value drawn."""
    state = dict(zip(advice["run"], advice["advice"], strict=True))
    done = np.flatnonzero(finished(curves))
    done = done[_some(len(done), _MOST_FINISHED)]
    ids, settings, parts = curves.configs["id"].to_numpy(), _settings(curves), []
    drawn = {*ids[done], *state}
    for row in range(len(curves)):
        if ids[row] not in drawn:
            continue
        known = np.flatnonzero(np.isfinite(curves.values[row]))
        some = known[_some(len(known), _MOST_POINTS)]
        part = pd.DataFrame({"epoch": curves.epochs[some], "value": curves.values[row, some]})
        text = state.get(ids[row], "finished")
        parts.append(part.assign(run=ids[row], advice=text, settings=settings[ids[row]]))
    return pd.concat(parts, ignore_index=True)


def _some(n: int, most: int) -> np.ndarray:
    """Up to `most` of n positions, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def _chart(altair: Any, curves: CurveSet, advice: pd.DataFrame) -> Any:
    """Curves up to now, and the predicted ends with their intervals at the last epoch."""
    altair.data_transformers.disable_max_rows()
    points = _points(curves, advice)
    low, high = np.quantile(points["value"], [0.02, 0.98])
    margin = 0.15 * (high - low) or 1.0
    pick = altair.selection_point(fields=["run"], on="click", empty=True, name="pick")
    legend = altair.Color(
        "advice:N",
        scale=altair.Scale(domain=list(_COLOURS), range=list(_COLOURS.values())),
        legend=altair.Legend(orient="top", title=None),
    )
    scale = altair.Scale(domain=[low - margin, high + margin], clamp=False)
    y = altair.Y("value:Q", title=curves.metric, scale=scale)
    strength = altair.condition(pick, altair.value(0.9), altair.value(0.06))
    hover = [altair.Tooltip(name) for name in ("run:N", "epoch:Q", "value:Q", "settings:N")]
    thin = altair.condition("datum.advice == 'finished'", altair.value(0.7), altair.value(2))
    drawn = altair.Chart(points).encode(x=altair.X("epoch:Q", title="epoch"), y=y, detail="run:N")
    lines = drawn.mark_line(clip=True).encode(color=legend, opacity=strength, size=thin)
    # A line's tooltip is that of its first value: invisible points tell the others.
    near = drawn.mark_point(size=60, filled=True, clip=True).encode(
        opacity=altair.value(0.01), tooltip=hover
    )
    lines = lines.add_params(pick) + near
    numbers = ["predicted", "low", "high", "best"]
    ends = advice.dropna(subset=["predicted"])[["run", *numbers, "advice"]]
    if not len(ends):
        return lines.properties(width="container", height=360)
    base = altair.Chart(ends.assign(epoch=curves.last_epoch * _spread(len(ends))))
    told = [
        altair.Tooltip("run:N"),
        *(altair.Tooltip(f"{c}:Q", format=".4g") for c in numbers),
    ]
    bars = base.mark_rule(clip=True).encode(
        x="epoch:Q",
        y=altair.Y("low:Q", scale=scale),
        y2="high:Q",
        color=legend,
        opacity=strength,
        tooltip=told,
    )
    dots = base.mark_point(filled=True, size=50, clip=True).encode(
        x="epoch:Q",
        y=altair.Y("predicted:Q", scale=scale),
        color=legend,
        opacity=strength,
        tooltip=told,
    )
    return (lines + bars + dots).properties(width="container", height=420)


def _spread(n: int) -> np.ndarray:
    """Places beside the last epoch, as factors, so that intervals do not hide each other."""
    return 1.01 + 0.12 * np.arange(n) / max(n, 10)
