"""Writes and reads the incumbent of a study that tunes a predictor, and its options.

Every job of a predictor imports this: nothing here may import hpbandster or ConfigSpace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from curvecast.files import DataError, read_json, write_json


def write(incumbent: Mapping[str, Any], definition: Mapping[str, Any], path: str | Path) -> None:
    """Write what `jobs.incumbent` returns, with all options of the predictor as `options`."""
    tuned = {**incumbent["config"], "epochs": round(incumbent["budget"])}
    options = {**definition.get("fixed", {}), **tuned}
    subject = {key: definition[key] for key in ("model", "dataset")}
    write_json({**subject, **incumbent, "options": options}, path)


def read(path: str | Path) -> dict[str, Any]:
    """What `write` wrote. Raises DataError for anything else."""
    content = read_json(path)
    if not isinstance(content.get("options"), dict):
        raise DataError("not the incumbent of a study", file=path)
    return content


def options_of(files: Iterable[str | Path], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a predictor: those of the incumbents in `files`, and above them those `given`."""
    options: dict[str, Any] = {}
    for path in files:
        options |= read(path)["options"]
    return {**options, **given}
