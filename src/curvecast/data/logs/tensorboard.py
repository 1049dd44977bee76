"""TensorBoard: event files, one folder per run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import run_files, settings_of, table_of, trained
from curvecast.files import DataError

_FILE = "events.out.tfevents*"


def recognises(path: Path) -> bool:
    """Whether there are event files."""
    return bool(run_files(path, _FILE))


def read(path: Path) -> Log:
    """Read the scalars. Raises DataError where tensorboard is not installed."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise DataError(
            "reading it needs tensorboard: pip install curvecast[tensorboard]", file=path
        ) from error
    folders = dict.fromkeys(file.parent for file in run_files(path, _FILE).values())
    rows, settings = [], {}
    for folder in folders:
        run = path.name if folder == path else folder.relative_to(path).as_posix()
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        settings[run] = settings_of(run, folder)
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                value = float("inf") if event.value != event.value else event.value
                rows.append((run, event.step, tag, value))
    if not rows:
        raise DataError("the event files hold no scalars", file=path)
    table = pd.DataFrame(rows, columns=[RUN, EPOCH, "metric", "value"])
    wide = table.pivot_table(index=[RUN, EPOCH], columns="metric", values="value", aggfunc="last")
    rows_ = wide.reset_index().rename_axis(columns=None)
    rows_[EPOCH] = trained(rows_[EPOCH].to_numpy())
    return Log("TensorBoard", rows_, table_of(settings))
