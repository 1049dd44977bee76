"""What a study that tunes a predictor found, as a file, and a predictor's options out of it.

Every job of a predictor imports this: nothing here may import hpbandster or ConfigSpace.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from curvecast.curves import DataError, write_text


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
    write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", path)


def read(path: str | Path) -> dict[str, Any]:
    """What `write` wrote. Raises DataError for anything else."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error})", file=path) from error
    if not isinstance(content, dict) or not isinstance(content.get("options"), dict):
        raise DataError("not the incumbent of a study", file=path)
    return content


def options_of(files: Iterable[str | Path], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a predictor: those of the incumbents in `files`, and above them those `given`."""
    options: dict[str, Any] = {}
    for path in files:
        options |= read(path)["options"]
    return {**options, **given}
