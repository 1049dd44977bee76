"""TensorBoard: event files, one folder per run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import run_files, settings_of, table_of, trained
from curvecast.data.logs._restarts import row_per_epoch
from curvecast.extras import missing
from curvecast.files import DataError

_FILE = "events.out.tfevents*"
# Keras has two folders per run.
_SETS = ("train", "validation")
# `add_hparams` writes into a folder of its own, named after the time, inside the run's.
_TIME = re.compile(r"\d+\.\d+")
_SETTINGS = "_hparams_/session_start_info"


def recognises(path: Path) -> bool:
    """Whether there are event files."""
    return bool(run_files(path, _FILE))


def read(path: Path) -> Log:
    """Read the scalars, and the settings of `add_hparams`.

    Raises DataError where tensorboard is not installed.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise DataError(missing(error), file=path) from error
    root = path if path.is_dir() else path.parent
    folders = list(dict.fromkeys(file.parent for file in run_files(path, _FILE).values()))
    settings: dict[str, dict[str, Any]] = {}
    rows = []
    for folder in folders:
        of_settings = _TIME.fullmatch(folder.name) and folder.parent in folders
        home = folder.parent if folder.name in _SETS or of_settings else folder
        run = home.relative_to(root).as_posix() if root in home.parents else home.resolve().name
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        settings.setdefault(run, settings_of(run, home)).update(_settings(events))
        if of_settings:
            continue
        before = f"{folder.name}/" if folder.name in _SETS else ""
        for tag in events.Tags()["scalars"]:
            rows += [(run, e.step, before + tag, e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()["tensors"]:
            arrays = [(e.step, make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
            rows += [
                (run, step, before + tag, float(value))
                for step, value in arrays
                if value.ndim == 0 and value.dtype.kind == "f"
            ]
    if not rows:
        raise DataError("the event files hold no scalars", file=path)
    table = pd.DataFrame(rows, columns=[RUN, EPOCH, "metric", "value"])
    wide, notes = row_per_epoch(table, RUN, EPOCH)
    wide[EPOCH] = trained(wide[EPOCH].to_numpy())
    return Log("TensorBoard", wide, table_of(settings), notes=notes)


def _settings(events: Any) -> dict[str, Any]:
    """The settings that `add_hparams` wrote."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        content = events.PluginTagToContent("hparams")[_SETTINGS]
    except KeyError:
        return {}
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(v, v.WhichOneof("kind")) for name, v in settings.items()}
