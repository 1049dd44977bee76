"""Reads metrics that a program saved as lists in JSON, or as a table without epochs.

Examples are Keras's `History`, the `metrics.json` of Sacred and the `results.json` of one's own
loop: an object of lists, an object of such objects by run, or a list with an object per epoch,
alone or under a name (`history`) beside settings.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.data.cells import flat, floats, header_of, read_table
from curvecast.data.logs import EPOCH, RUN, Log, is_metric, wide
from curvecast.data.logs._parts import (
    BESIDE,
    EPOCHS,
    first_of,
    no_metric,
    run_files,
    settings_of,
    table_of,
    trained,
    whole,
)

GENERAL = True
_PATTERNS = ("*.json", "*.csv")
_SETTINGS = {Path(name).stem for name in BESIDE}
# Keys that name a part of the data and no run, as in `evals_result` of XGBoost and LightGBM.
_PART = re.compile(r"(train(ing)?|val(id(ation)?)?|test|eval(uation)?|dev)([_-]?\d+)?", re.I)


def recognises(path: Path) -> bool:
    """Whether a file holds lists of numbers with a metric's name."""
    return next(_histories(path), None) is not None


def read(path: Path) -> Log:
    """Read the log; single values beside the lists are settings, lists of other lengths no curves.

    Raises DataError for a list of epochs that holds no whole numbers.
    """
    parts, settings, notes = [], {}, []
    for run, file, content in _histories(path):
        lists = _lists(content)
        lengths = Counter(len(v) for k, v in lists.items() if is_metric(k))
        length = max(lengths, key=lambda n: (lengths[n], -n))  # losses of steps are more
        other = [name for name, values in lists.items() if len(values) != length]
        if other:
            notes.append(f"{run}: not as long as the metrics, left out: {', '.join(other)}")
        curves = {name: values for name, values in lists.items() if name not in other}
        at = first_of((*EPOCHS, "epochs"), list(curves))
        epochs = (
            np.arange(1, length + 1) if at is None else whole(pd.Series(curves[at], name=at), file)
        )
        metrics = {
            k: v for k, v in curves.items() if not (k == at or no_metric(k) or np.isnan(v).all())
        }
        parts.append(pd.DataFrame({RUN: run, EPOCH: epochs, **metrics}))
        alone = {k: v for k, v in content.items() if not isinstance(v, list)}
        settings[run] = flat(alone) | settings_of(run, file.parent)
    rows = pd.concat(parts, ignore_index=True)
    rows[EPOCH] = trained(rows[EPOCH].to_numpy(dtype=np.int64))
    return Log("history", rows, table_of(settings), notes=tuple(notes))


def _histories(path: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Run, file and content of every history, of the first kind of files that holds any."""
    for pattern in _PATTERNS:
        any_of_this_kind = False
        for run, file in run_files(path, pattern).items():
            if file.stem in _SETTINGS or not file.stat().st_size:
                continue
            content = _of_json(file) if file.suffix == ".json" else _of_table(file)
            for name, history in _by_run(content, run, alone=path.is_file()):
                any_of_this_kind = True
                yield name, file, history
        if any_of_this_kind:
            return


def _by_run(content: Any, run: str, alone: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The histories in the content of a file: one of the `run`, or one for each key.

    Parameters
    ----------
    alone : the keys alone are the runs' names, as there is no other file.
    """
    content = {"": content} if _is_of_rows(content) else content
    if not isinstance(content, dict):
        return
    names = [name for name, value in content.items() if _is_of_rows(value)]
    if len(names) == 1 and not any(map(is_metric, _lists(content))):
        content = {k: v for k, v in content.items() if k != names[0]} | _columns(content[names[0]])
    for part in [key for key in content if _PART.fullmatch(key) and isinstance(content[key], dict)]:
        content = content | dict(_leaves(content[part], f"{part}/"))
        del content[part]
    content = _by_step(content)
    if any(is_metric(name) for name in _lists(content)):
        yield run, content
        return
    for key, inner in content.items():
        if isinstance(inner, dict) and any(is_metric(name) for name in _lists(inner)):
            yield key if alone else f"{run}/{key}", inner


def _is_of_rows(content: Any) -> bool:
    """Whether this is a list of objects."""
    return isinstance(content, list) and bool(content) and all(isinstance(r, dict) for r in content)


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A list by name, or what no metric has and all rows repeat alone: a setting."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return {
        name: values[0]
        if len(values) > 1 and values.count(values[0]) == len(values) and not is_metric(name)
        else values
        for name, values in columns.items()
    }


def _leaves(content: dict[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """What is no object, with the keys that lead to it as `before/outer/inner`."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{key}/")
        else:
            yield f"{before}{key}", value


def _by_step(content: dict[str, Any]) -> dict[str, Any]:
    """Metrics of Sacred, each with `steps` and `values` of its own, as lists over all steps."""
    metrics = {
        name: dict(zip(v["steps"], v["values"], strict=False))
        for name, v in content.items()
        if isinstance(v, dict)
        and isinstance(v.get("values"), list)
        and isinstance(v.get("steps"), list)
        and all(isinstance(step, int) for step in v["steps"])
    }
    if not metrics:
        return content
    steps = sorted({step for values in metrics.values() for step in values})
    return {"step": steps} | {k: [v.get(step) for step in steps] for k, v in metrics.items()}


def _lists(content: dict[str, Any]) -> dict[str, np.ndarray]:
    """The lists of numbers as arrays of float64, by name."""
    lists = {
        # As text: an empty cell of a table is a value that was not logged.
        name: floats(pd.Series(["nan" if v != v else v for v in values], dtype=object))
        for name, values in content.items()
        if isinstance(values, list) and values
    }
    return {name: values for name, values in lists.items() if values is not None}


def _of_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # JSON lines, or another file that lies beside
        return None


def _of_table(file: Path) -> dict[str, list[Any]] | None:
    """Columns of a table of metrics alone; None of another one."""
    names = header_of(file)
    others = [name for name in names if not is_metric(name)]
    if len(others) == len(names) or first_of(EPOCHS, names) or not all(map(no_metric, others)):
        return None
    table = read_table(file, growing=True)
    return None if wide.suits(table) else {n: table[n].to_list() for n in names if n in table}
