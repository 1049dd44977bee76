"""Writes the page of a log: advice on the runs under way first, then how far it can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from curvecast.curves import CurveSet
from curvecast.files import write_text
from curvecast.stopping.advice import FEW, Check, finished

_TEMPLATE = Path(__file__).with_name("runs.html")
_SCRIPT = Path(__file__).with_name("vega.js")
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
    """
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        name=curves.name,
        metric=curves.metric,
        direction=curves.direction,
        last=curves.last_epoch,
        n_finished=int(finished(curves).sum()),
        few=int(finished(curves).sum()) < FEW,
        n_ended=len(curves) - int(finished(curves).sum()) - len(advice),
        advice=_rows(advice, curves),
        counts=advice["advice"].value_counts().to_dict(),
        open_epochs=int(advice.loc[advice["advice"] == "stop", "epochs_left"].sum()),
        check=check,
        accuracy=[] if check is None else check.accuracy.to_dict("records"),
        promise=promise,
        level=level,
        notes=curves.notes,
        script=script(),
        spec=drawn(curves, advice),
    )
    write_text(text, path)


def drawn(curves: CurveSet, advice: pd.DataFrame) -> str:
    """The chart of a log as JSON inside a script, for the `vegaEmbed` of `script`."""
    return json.dumps(_chart(curves, advice)).replace("</", "<\\/")


def script() -> str:
    """Vega-Lite and what it needs: in the package as setup.py wrote it, in a checkout made anew."""
    if _SCRIPT.exists():
        return _SCRIPT.read_text(encoding="utf-8")
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub has no default


def _rows(advice: pd.DataFrame, curves: CurveSet) -> list[dict[str, Any]]:
    """Rows of the first table, runs to stop first: advice, and a run's settings in one text."""
    texts = _settings(curves)
    settings = [texts[run] for run in advice["run"]]
    rows = advice.assign(settings=settings).to_dict("records")
    rows.sort(key=lambda row: row["advice"] != "stop")
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


def _chart(curves: CurveSet, advice: pd.DataFrame) -> dict[str, Any]:
    """The chart in Vega-Lite's language: curves up to now, and the predicted ends."""
    points = _points(curves, advice)
    low, high = np.quantile(points["value"], [0.02, 0.98])
    if len(ends := advice.dropna(subset=["low", "high"])):
        low, high = min(low, ends["low"].quantile(0.25)), max(high, ends["high"].quantile(0.75))
    margin = 0.1 * (high - low) or 1.0
    scale = {"domain": [low - margin, high + margin]}
    y = {"field": "value", "type": "quantitative", "title": curves.metric, "scale": scale}
    by_run = {"y": y, "detail": {"field": "run"}}
    thin = {"condition": {"test": "datum.advice == 'finished'", "value": 0.7}, "value": 2}
    pick = {"name": "pick", "select": {"type": "point", "fields": ["run"], "on": "click"}}
    lines = {"mark": _mark("line"), "params": [pick], "encoding": {**by_run, "size": thin}}
    # A line's tooltip is that of its first value: invisible points tell the others.
    numbers = [{"field": name, "type": "quantitative"} for name in ("epoch", "value")]
    hover = [{"field": "run"}, *numbers, {"field": "settings"}]
    invisible = {**by_run, "opacity": {"value": 0.01}, "tooltip": hover}
    near = {"mark": _mark("point", filled=True, size=60), "encoding": invisible}
    return {
        "width": "container",
        "height": 420,
        "data": {"values": points.to_dict("records")},
        "encoding": {
            "x": {
                **{"field": "epoch", "type": "quantitative", "title": "epoch"},
                "axis": {"tickMinStep": 1, "format": "d"},
            },
            "color": {
                "field": "advice",
                "scale": {"domain": list(_COLOURS), "range": list(_COLOURS.values())},
                "legend": {"orient": "top", "title": None},
            },
            "opacity": {"condition": {"param": "pick", "value": 0.9}, "value": 0.06},
        },
        "layer": [lines, near, _ends(curves, advice, y)],
    }


def _ends(curves: CurveSet, advice: pd.DataFrame, y: dict[str, Any]) -> dict[str, Any]:
    """The predicted ends with their intervals, right of the last epoch."""
    numbers = ["predicted", "low", "high", "best"]
    ends = advice.dropna(subset=["predicted"])[["run", *numbers, "advice"]]
    ends = ends.assign(epoch=curves.last_epoch * _spread(len(ends)))
    told = [{"field": n, "type": "quantitative", "format": ".4g"} for n in numbers]
    bars = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
    dots = {"y": {**y, "field": "predicted"}}
    return {
        "data": {"values": ends.to_dict("records")},
        "encoding": {"tooltip": [{"field": "run"}, *told]},
        "layer": [
            {"mark": _mark("rule"), "encoding": bars},
            {"mark": _mark("point", filled=True, size=50), "encoding": dots},
        ],
    }


def _mark(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "clip": True, **more}


def _spread(n: int) -> np.ndarray:
    """Places beside the last epoch, as factors, so that intervals do not hide each other."""
    return 1.01 + 0.12 * np.arange(n) / max(n, 10)
