"""What `CurveSet.to_parquet` wrote: collections that this project trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from curvecast.curves import CurveSet, DataError

REQUIRED: frozenset[str] = frozenset()
OPTIONAL = frozenset({"target", "series", "complete"})


def read(name: str, stanza: Mapping[str, Any], files: Sequence[str | Path]) -> CurveSet:
    """Read a curve file back under the name of the data set.

    Parameters
    ----------
    stanza : `target` names a logged series to predict instead of the values of the file (the
        stanza's `metric` and `direction` then are that series'); `series` lists the series that
        become features beside the target, by default none. `seconds` is always kept. With
        `complete: true` runs that were not trained to the end are left out; diverged ones stay.

    Raises
    ------
    DataError : not a whole curve file, a series that it does not hold, or no run left.
    """
    path = files[0]
    curves = CurveSet.from_parquet(path)
    target = stanza.get("target")
    wanted = [*stanza.get("series", ()), *([target] if target else [])]
    for series in wanted:
        if series not in curves.series:
            known = ", ".join(sorted(curves.series))
            raise DataError(f"no such series, there are {known}", file=path, column=series)
    if not target:
        for key, found in (("metric", curves.metric), ("direction", curves.direction)):
            if stanza.get(key, found) != found:
                raise DataError(f"{key} is {found!r}, its stanza says {stanza[key]!r}", file=path)
    if stanza.get("complete"):
        curves = _complete(curves, path)
    return replace(
        curves,
        name=name,
        values=curves.series[target] if target else curves.values,
        series={
            key: array
            for key, array in curves.series.items()
            if key == "seconds" or key in stanza.get("series", ())
        },
        metric=stanza.get("metric", target or curves.metric),
        direction=stanza.get("direction", curves.direction),
    )


def _complete(curves: CurveSet, path: str | Path) -> CurveSet:
    """Without the runs whose values end (NaN) before the last epoch at a finite one."""
    observed = ~np.isnan(curves.values)
    last = observed.shape[1] - 1 - observed[:, ::-1].argmax(axis=1)
    diverged = np.isinf(curves.values[np.arange(len(curves)), last])
    kept = observed[:, -1] | (observed.any(axis=1) & diverged)
    if not kept.any():
        raise DataError("no run was trained to the end", file=path)
    note = f"{int((~kept).sum())} runs that were not trained to the end are left out"
    return replace(curves.take(kept), notes=(*curves.notes, note))
