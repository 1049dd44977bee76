"""Predict the end of learning curves from their beginning, and stop the runs that cannot win."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curvecast.curves import CurveSet, DataError
    from curvecast.data.logs import read
    from curvecast.data.readers.table import read_curves
    from curvecast.predictors import make_predictor
    from curvecast.saved import load_predictor

__version__ = "0.1.0"
__all__ = ["CurveSet", "DataError", "load_predictor", "make_predictor", "read", "read_curves"]

_HOMES = {
    "CurveSet": "curvecast.curves",
    "DataError": "curvecast.curves",
    "load_predictor": "curvecast.saved",
    "make_predictor": "curvecast.predictors",
    "read": "curvecast.data.logs",
    "read_curves": "curvecast.data.readers.table",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command's help needs neither pandas nor scikit-learn."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
