"""What several formats share: files of runs, their settings, cells as numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from curvecast.data.cells import counted, flat, floats, numbers
from curvecast.files import DataError, read_text

BESIDE = ("hparams.yaml", "config.yaml", "args.yaml", "params.json")
# Columns that count epochs or what stands for them; an earlier one comes before a later one.
EPOCHS = (
    *("epoch", "step", "iteration", "iterations", "iter", "training_iteration"),
    *("global_step", "budget", "tokens", "n_samples", "train_size", "total_timesteps"),
)
NO_METRICS = (*EPOCHS, "time", "data_time", "eta_seconds", "memory", "lr", "learning_rate", "v_num")
PAIR = re.compile(r"([A-Za-z][\w.]*?)=([^,=]+)")


def run_files(path: Path, pattern: str) -> dict[str, Path]:
    """Files below a folder that fit a pattern (or the one file `path`), by the name of their run.

    The name is that of the folder that holds the file, from `path` on; where a folder holds
    several such files, the file's own without its suffix.
    """
    if path.is_file():
        fits = path.match(pattern)
        return {path.resolve().parent.name or path.stem: path} if fits else {}
    files = sorted((f for f in path.rglob(pattern) if f.is_file()), key=_natural)
    folders = [file.parent.relative_to(path).as_posix() for file in files]
    if len(set(folders)) < len(folders):
        names = [file.relative_to(path).with_suffix("").as_posix() for file in files]
    else:
        names = [path.name if folder == "." else folder for folder in folders]
    return dict(zip(names, files, strict=True))


def _natural(path: Path) -> list[Any]:
    """A sorting key that puts `train2` before `train10`."""
    return [(not t.isdigit(), int(t) if t.isdigit() else t) for t in re.split(r"(\d+)", str(path))]


def lines_of(file: Path) -> list[str]:
    """The lines of a text without the last one where it has no end: it is being written."""
    return read_text(file).split("\n")[:-1]


def settings_of(run: str, folder: Path) -> dict[str, Any]:
    """The settings of a run: `key=value` in the folders of its name, and files beside its log.

    Raises DataError for such a file that cannot be read.
    """
    settings: dict[str, Any] = dict(p for part in Path(run).parts for p in PAIR.findall(part))
    for name in BESIDE:
        file = folder / name
        if not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
            content = json.loads(text) if file.suffix == ".json" else yaml.load(text, _Loader)
        except (ValueError, yaml.YAMLError) as error:
            problem = " ".join(str(error).split())
            raise DataError(f"the settings cannot be read ({problem})", file=file) from error
        if isinstance(content, dict):
            settings |= flat(content)
    return settings


class _Loader(yaml.SafeLoader):
    """Reads objects of other programs as text and makes none of them."""


_Loader.add_multi_constructor("", lambda loader, tag, node: str(node.value)[:80])


def first_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column with the first of these names that there is, in capitals or not.

    Where there is none, a name may follow a group, as in `time/iterations`.
    """
    lower = {column.lower(): column for column in reversed(columns)}
    grouped = {name.rpartition("/")[2]: column for name, column in lower.items()}
    return next((c[name] for c in (lower, grouped) for name in names if name in c), None)


def table_of(settings: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Settings by run as a table: index run, one column per setting."""
    return pd.DataFrame.from_dict(settings, orient="index")


def names_in(cells: pd.Series, path: Path) -> pd.Series:
    """A column that names runs, as text. Raises DataError for a cell that is empty."""
    names = cells.astype(str).str.strip()
    for row in cells.index[cells.isna() | (names == "")][:1]:
        raise DataError("the run has no name", file=path, row=counted(row), column=cells.name)
    return names


def trained(epochs: np.ndarray) -> np.ndarray:
    """Numbers of trained epochs, where a tool counts the first one as 0; int64, same shape."""
    epochs = np.asarray(epochs, dtype=np.int64)
    return epochs + int(len(epochs) > 0 and epochs.min() == 0)


def whole(cells: pd.Series, path: Path) -> np.ndarray:
    """Cells of an epoch's column as int64. Raises DataError for any that is no whole number."""
    values = numbers(cells.to_frame(), [str(cells.name)], path)[:, 0]
    bad = ~np.isfinite(values) | (values != np.round(values)) | (values < 0)
    for row in cells.index[bad][:1]:
        raise DataError(
            f"{str(cells[row])!r} is not a whole number of epochs",
            file=path,
            row=counted(row),
            column=str(cells.name),
        )
    return values.astype(np.int64)


def joined(parts: list[pd.DataFrame], path: Path) -> pd.DataFrame:
    """The rows of all runs. Raises DataError where no run has any."""
    if not parts:
        raise DataError("no run has logged anything", file=path)
    return pd.concat(parts, ignore_index=True)


def metrics_in(table: pd.DataFrame, without: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns of numbers that are not among `without`, by name; each of shape (n_rows,)."""
    columns = {str(name): floats(table[name]) for name in table if name not in without}
    return {
        name: values
        for name, values in columns.items()
        if values is not None and not np.isnan(values).all()
    }


def unique(names: dict[str, str]) -> dict[str, str]:
    """Names of runs by key, with the key where two runs have the same name."""
    doubled = set(pd.Series(list(names.values())).loc[lambda n: n.duplicated()])
    return {
        key: f"{name} {Path(key).name}" if name in doubled else name for key, name in names.items()
    }
