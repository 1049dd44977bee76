"""Readers turn raw files into a CurveSet; a stanza's key `reader` names a module of this folder.

A reader is one file with

    class Stanza(curvecast.data.stanza.Stanza) : the keys of its stanzas beside the common ones
    read(name, stanza, files) -> CurveSet

and is imported when it is used. docs/reader.md shows how to write one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curvecast.curves import CurveSet
from curvecast.data.stanza import Stanza
from curvecast.files import DataError, verify
from curvecast.validation import validated


def names() -> list[str]:
    """Names of all readers, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def model_of(reader: Any, what: str) -> type[Stanza]:
    """The model of a reader's stanzas. Raises DataError, begun by `what`, if there is no such."""
    if reader not in names():
        raise DataError(f"{what}: reader is {reader!r}, not one of {', '.join(names())}")
    model: type[Stanza] = importlib.import_module(f"{__name__}.{reader}").Stanza
    return model


def read(name: str, stanza: Mapping[str, Any], files: Sequence[str | Path]) -> CurveSet:
    """Read one data set.

    Parameters
    ----------
    name : of the data set, for instance "baker/lstm_ptb"; becomes the name of the CurveSet.
    stanza : checked entry of the registry (`registry.load_registry`).
    files : local paths of `stanza["files"]`, in that order; verified where the stanza gives a
        checksum, so that a file put into place by hand is checked too.

    Raises
    ------
    DataError : names file, row and column where the data cannot be used.
    """
    what = f"data set {name!r}"
    checked = validated(model_of(stanza.get("reader"), what), stanza, what)
    for file, path in zip(checked.files, files, strict=True):
        if not Path(path).exists():
            raise DataError("the file does not exist", file=path)
        if file.checksum:
            verify(path, file.checksum)
    reader = importlib.import_module(f"{__name__}.{checked.reader}")
    curves: CurveSet = reader.read(name, checked, [Path(path) for path in files])
    return curves
