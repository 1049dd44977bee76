"""Early stopping: rules for a training loop, and what they buy when recorded runs are replayed."""

from curvecast.stopping.rule import (
    Decision,
    Looks,
    MedianRule,
    OracleRule,
    PatienceRule,
    PredictorRule,
    SuccessiveHalvingRule,
    domhan_rule,
)

__all__ = [
    "Decision",
    "Looks",
    "MedianRule",
    "OracleRule",
    "PatienceRule",
    "PredictorRule",
    "SuccessiveHalvingRule",
    "domhan_rule",
]
