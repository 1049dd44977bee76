"""Predict the end of learning curves from their beginning, and stop the runs that cannot win."""

from curvecast.curves import CurveSet, DataError
from curvecast.predictors import make_predictor
from curvecast.readers.table import read_curves

__version__ = "0.1.0"
__all__ = ["CurveSet", "DataError", "make_predictor", "read_curves"]
