"""What a study that tunes a predictor found, as a file, and a predictor's options out of it.

Every job of a predictor imports this: nothing here may import hpbandster or ConfigSpace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from curvecast.files import DataError, read_json, write_json


def tuned_options(
    found: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Options of a predictor from the incumbent of its study: what was fixed, found, and epochs."""
    return {**(fixed or {}), **found["config"], "epochs": round(found["budget"])}


def write(found: Mapping[str, Any], definition: Mapping[str, Any], path: str | Path) -> None:
    """Write the incumbent of a study that tunes a predictor, with the predictor's options.

    Parameters
    ----------
    found : what `studies.jobs.incumbent` returns.
    """
    content = {
        "model": definition["model"],
        "dataset": definition["dataset"],
        **found,
        "options": tuned_options(found, definition.get("fixed")),
    }
    write_json(content, path)


def read(path: str | Path) -> dict[str, Any]:
    """What `write` wrote. Raises DataError for anything else."""
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("options"), dict):
        raise DataError("not the incumbent of a study", file=path)
    return content


def options_of(files: Iterable[str | Path], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a predictor: those of the incumbents in `files`, and above them those `given`."""
    options: dict[str, Any] = {}
    for path in files:
        options |= read(path)["options"]
    return {**options, **given}
