"""TensorBoard: event files, one folder per run."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import (
    PARTS,
    no_metric,
    run_files,
    settings_of,
    table_of,
    trained,
)
from curvecast.data.logs._restarts import row_per_epoch
from curvecast.extras import missing
from curvecast.files import DataError

_FILE = "events.out.tfevents*"
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
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of graphs
    root = path if path.is_dir() else path.parent
    folders = list(dict.fromkeys(file.parent for file in run_files(path, _FILE).values()))
    settings: dict[str, dict[str, Any]] = {}
    rows = []
    for folder in folders:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        of_settings = _TIME.fullmatch(folder.name) and folder.parent in folders
        home, before, after = _home(folder, folders, events.Tags()["scalars"])
        home = folder.parent if of_settings else home
        run = home.relative_to(root).as_posix() if root in home.parents else home.resolve().name
        settings.setdefault(run, settings_of(run, home)).update(_settings(events))
        if of_settings:
            continue
        for tag in events.Tags()["scalars"]:
            rows += [(run, e.step, before + tag + after, e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()["tensors"]:
            arrays = [(e.step, make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
            rows += [
                (run, step, before + tag + after, float(value))
                for step, value in arrays
                if value.ndim == 0 and value.dtype.kind == "f"
            ]
    if not rows:
        raise DataError("the event files hold no scalars", file=path)
    table = pd.DataFrame(rows, columns=[RUN, EPOCH, "metric", "value"])
    table = table[~table["metric"].map(no_metric)]
    wide, notes = row_per_epoch(table, RUN, EPOCH)
    wide[EPOCH] = trained(wide[EPOCH].to_numpy())
    return Log("TensorBoard", wide, table_of(settings), notes=notes)


def _home(folder: Path, folders: Sequence[Path], tags: Sequence[str]) -> tuple[Path, str, str]:
    """The folder of the run that one with events belongs to, and what stands around its tags."""
    for home in folder.parents if len(tags) == 1 else ():
        # torch's `add_scalars` writes `loss_train` with the tag `loss`, tensorboardX `loss/train`.
        inner = folder.relative_to(home).as_posix()
        for start in (tags[0].replace("/", "_") + "_", f"{tags[0]}/"):
            if home in folders and inner.startswith(start):
                return home, "", f"/{inner.removeprefix(start)}"
    several = folder.parent in folders or any(
        folder.parent / name in folders for name in PARTS if name != folder.name
    )
    if folder.name in PARTS[:2] or (folder.name in PARTS and several):
        return folder.parent, f"{folder.name}/", ""
    return folder, "", ""


def _settings(events: Any) -> dict[str, Any]:
    """The settings that `add_hparams` wrote."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    try:
        content = events.PluginTagToContent("hparams")[_SETTINGS]
    except KeyError:
        return {}
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(v, v.WhichOneof("kind")) for name, v in settings.items()}
