"""Reads the log of a training tool: a file or a folder of any format in `curvecast.data.logs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from curvecast.curves import CurveSet
from curvecast.data import logs
from curvecast.data import stanza as stanzas


class Stanza(stanzas.Stanza):
    """The keys are arguments of `curvecast.read`; the first file is the log."""

    metric: str | None = None
    direction: stanzas.Direction | None = None
    epochs: int | None = None
    target: logs.Target = "end"


def read(name: str, stanza: Stanza, files: Sequence[Path]) -> CurveSet:
    """Read the log of a stanza; a second file is the table of settings."""
    curves = logs.read(
        files[0],
        stanza.metric,
        stanza.direction,
        epochs=stanza.epochs,
        target=stanza.target,
        settings=files[1] if len(files) > 1 else None,
    )
    return replace(curves, name=name)
