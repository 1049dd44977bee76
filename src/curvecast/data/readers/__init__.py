"""Readers turn raw files into a CurveSet; a stanza's key `reader` names the one to use.

A reader is a module of this folder with

    REQUIRED, OPTIONAL : the keys that its stanzas must and may have beside the common ones
    read(name, stanza, files) -> CurveSet

and is imported when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curvecast.curves import CurveSet, DataError

COMMON = frozenset(
    {"reader", "files", "kind", "licence", "citation", "description", "metric", "direction"}
)
NAMES = ("baker", "curveset", "lcbench", "table")


def check(name: str, stanza: Mapping[str, Any]) -> None:
    """Check a stanza's keys. Raises DataError for an unknown reader, an unknown or missing key."""
    reader = stanza.get("reader")
    if reader not in NAMES:
        raise DataError(f"data set {name!r}: reader is {reader!r}, not one of {', '.join(NAMES)}")
    required, optional = _keys(reader)
    missing = sorted(required - set(stanza))
    if missing:
        raise DataError(f"data set {name!r}: the reader {reader} needs the key {missing[0]!r}")
    unknown = sorted(set(stanza) - required - optional - COMMON)
    if unknown:
        known = ", ".join(sorted(required | optional | COMMON))
        raise DataError(f"data set {name!r}: unknown key {unknown[0]!r}, known are {known}")


def _keys(reader: str) -> tuple[frozenset[str], frozenset[str]]:
    module = importlib.import_module(f"{__name__}.{reader}")
    return module.REQUIRED, module.OPTIONAL


def read(name: str, stanza: Mapping[str, Any], files: Sequence[str | Path]) -> CurveSet:
    """Read one data set.

    Parameters
    ----------
    name : of the data set, for instance "baker/lstm_ptb"; becomes the name of the CurveSet.
    stanza : normalised entry of the registry (`datasets.load_registry`).
    files : local paths of `stanza["files"]`, in that order; verified where the stanza gives a
        checksum, so that a file put into place by hand is checked too.

    Raises
    ------
    DataError : names file, row and column where the data cannot be used.
    """
    from curvecast.data import registry as datasets

    check(name, stanza)
    for entry, path in zip(stanza["files"], files, strict=True):
        if not Path(path).is_file():
            raise DataError("the file does not exist", file=path)
        if entry.get("checksum"):
            datasets.verify(path, entry["checksum"])
    module = importlib.import_module(f"{__name__}.{stanza['reader']}")
    curves: CurveSet = module.read(name, stanza, files)
    return curves
