"""Replays the searches of early stopping on recorded curves: one function for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curvecast.curves import CurveSet
from curvecast.stopping import rules
from curvecast.stopping.frames import Frames
from curvecast.stopping.hyperband import search_hyperband
from curvecast.stopping.online import search_online
from curvecast.stopping.sequential import search_sequential, search_without_model


def run(
    search: str,
    curves: CurveSet,
    plan: Mapping[str, Any],
    model: str = "",
    options: Mapping[str, Any] | None = None,
) -> Frames:
    """Replay one search on one data set.

    Parameters
    ----------
    search : "sequential", "hyperband", "online" or "rules".
    plan : keyword arguments of the search's function, from the configuration.
    model, options : of the predictor of "sequential" and "hyperband".

    Returns
    -------
    Frames by the names of their files, see `frames`.
    """
    if search == "online":
        return search_online(curves, **plan)
    if search == "rules":
        return search_without_model(curves, rules.replayed(curves.epochs), **plan)
    if search == "hyperband":
        return search_hyperband(curves, model, options, **plan)
    return search_sequential(curves, model, options, **plan)
