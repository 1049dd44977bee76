"""Reads what `CurveSet.to_parquet` wrote: collections that this project trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from curvecast.curves import CurveSet
from curvecast.data import stanza as stanzas
from curvecast.files import DataError


class Stanza(stanzas.Stanza):
    """The keys of a curve file's stanzas.

    `target` names a logged series to predict instead of the values of the file (the stanza's
    `metric` and `direction`, which must be there, then are that series'); `series` lists the series
    that become features beside the target. With `complete: true` runs that were not trained to the
    end are left out; diverged ones stay.
    """

    metric: str = ""
    direction: stanzas.Direction | None = None
    target: str = ""
    series: stanzas.Names = ()
    complete: bool = False


def read(name: str, stanza: Stanza, files: Sequence[Path]) -> CurveSet:
    """Read a curve file back under the name of the data set; the series `seconds` always stays.

    Raises
    ------
    DataError : not a whole curve file, a series that it does not hold, or no run left.
    """
    path = files[0]
    curves = CurveSet.from_parquet(path)
    target = stanza.target
    for series in (*stanza.series, *([target] if target else [])):
        if series not in curves.series:
            known = ", ".join(sorted(curves.series))
            raise DataError(f"no such series, there are {known}", file=path, column=series)
    if target and stanza.direction is None:
        raise DataError("is a larger value better? Say `direction`", file=path, column=target)
    if not target:
        for key, actual in (("metric", curves.metric), ("direction", curves.direction)):
            if (getattr(stanza, key) or actual) != actual:
                wanted = getattr(stanza, key)
                raise DataError(f"{key} is {actual!r}, its stanza says {wanted!r}", file=path)
    if stanza.complete:
        curves = _complete(curves, path)
    series_names = [key for key in curves.series if key == "seconds" or key in stanza.series]
    return replace(
        curves,
        name=name,
        values=curves.series[target] if target else curves.values,
        series={key: curves.series[key] for key in series_names},
        metric=stanza.metric or target or curves.metric,
        direction=stanza.direction or curves.direction,
    )


def _complete(curves: CurveSet, path: Path) -> CurveSet:
    """Without the runs whose values end (NaN) before the last epoch at a finite one."""
    observed = ~np.isnan(curves.values)
    last = observed.shape[1] - 1 - observed[:, ::-1].argmax(axis=1)
    diverged = np.isinf(curves.values[np.arange(len(curves)), last])
    complete = observed[:, -1] | (observed.any(axis=1) & diverged)
    if not complete.any():
        raise DataError("no run was trained to the end", file=path)
    note = f"{int((~complete).sum())} runs that were not trained to the end are left out"
    return replace(curves.take(complete), notes=(*curves.notes, note))
