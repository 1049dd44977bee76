"""Trains and predicts LCBench's Task A: one split in file order.

The first runs of the file train, the next ones are for validation, the last ones for testing;
seen are the epochs up to tau, the target is the value after the last epoch. Nothing here is tuned
on the validation runs: their errors stand beside those on the test runs because both were
published.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curvecast import protocol
from curvecast.benchmark.cells import report
from curvecast.curves import CurveSet
from curvecast.files import DataError
from curvecast.predictors import make_predictor

PARTS = ("validation", "test")


@dataclass(frozen=True)
class Variant:
    """One way to train a model: its name in the table, the numbers of runs, the position of the
    first test run (the same for all variants), and the options of the predictor.
    """

    name: str
    train: int
    validation: int
    test: int
    test_from: int
    options: Mapping[str, Any]

    def rows(self, curves: CurveSet) -> dict[str, np.ndarray]:
        """Positions of the runs with a finite end in "train", "validation" and "test".

        Raises
        ------
        DataError : too few runs, parts that overlap, or a configuration on both sides.
        """
        ends = {
            "train": (0, self.train),
            "validation": (self.train, self.train + self.validation),
            "test": (self.test_from, self.test_from + self.test),
        }
        if ends["validation"][1] > self.test_from or ends["test"][1] > len(curves):
            raise DataError(
                f"variant {self.name!r}: {self.train} + {self.validation} runs before the test "
                f"runs {self.test_from} to {ends['test'][1]} do not fit {len(curves)} runs",
                file=curves.name,
            )
        parts = {
            part: low + np.flatnonzero(np.isfinite(curves.final[low:high]))
            for part, (low, high) in ends.items()
        }
        trained = set(curves.groups[parts["train"]])
        for part in PARTS:
            shared = [row for row in parts[part] if curves.groups[row] in trained]
            if shared:
                raise DataError(
                    "a configuration of the training runs is repeated here",
                    file=curves.name,
                    row=curves.configs["id"].iloc[shared[0]],
                )
        return parts


def run(
    model: str, curves: CurveSet, tau: int, variants: Iterable[Variant]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every variant of a model and predict validation and test runs.

    Returns
    -------
    predictions : a row per variant and predicted run: `variant`, `n_train`, `part`,
        `configuration` (position in `curves`), `y_true`, `y_mean`, `y_std`.
    timings : a row per variant: `variant`, `seconds_fit`, `seconds_predict`, diagnostics.

    Raises
    ------
    DataError : see `Variant.rows`; unknown model or option.
    """
    predictions, timings = [], []
    for variant in variants:
        rows = variant.rows(curves)
        seed = protocol.seed_from(curves.name, "task_a", model)
        predictor = make_predictor(model, seed=seed, **variant.options)
        start = time.process_time()
        predictor.fit(curves.take(rows["train"]), [tau])
        fitted = time.process_time()
        for part in (part for part in PARTS if len(rows[part])):
            prediction = predictor.predict(curves.take(rows[part]), tau)
            columns = {
                "variant": variant.name,
                "n_train": len(rows["train"]),
                "part": part,
                "configuration": rows[part],
                "y_true": curves.final[rows[part]],
                "y_mean": prediction.mean,
                "y_std": prediction.std,
            }
            predictions.append(pd.DataFrame(columns))
        seconds = fitted - start, time.process_time() - fitted
        timings.append({"variant": variant.name, **report(predictor, *seconds)})
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(timings)
