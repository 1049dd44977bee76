"""Studies on recorded curves: all seeds of one data set and optimiser in one job."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.studies import summary
from curvecast.studies.bohb import Settings, run
from curvecast.studies.early import EarlyEnd
from curvecast.studies.objectives.recorded import Recorded

SHARES = np.linspace(0.02, 1.0, 50)


def replay(
    curves: CurveSet, settings: Settings, seeds: Iterable[int], early: EarlyEnd | None = None
) -> pd.DataFrame:
    """Run a study on recorded curves once per seed; `summary.evaluations_frame` of them all.

    `settings.seed` is replaced by each seed; `settings.workers` is 0.
    """
    objective = Recorded(curves, early=early)
    frames = []
    for seed in seeds:
        evaluations = run(settings.model_copy(update={"seed": seed, "workers": 0}), objective)
        label = settings.optimizer if early is None else f"f-{settings.optimizer}"
        frames.append(summary.evaluations_frame(evaluations, settings.name, label, seed))
    return pd.concat(frames, ignore_index=True)


def regrets(frame: pd.DataFrame, curves: CurveSet, total_budget: float) -> pd.DataFrame:
    """Normalised regret per seed at the shares `SHARES` of the total budget.

    Columns `study, optimizer, seed, share, used, regret`; the regret before the first evaluation
    has finished is missing.
    """
    parts = []
    for (study, optimizer, seed), part in frame.groupby(["study", "optimizer", "seed"]):
        values = summary.regret(part, curves)
        parts.append(
            pd.DataFrame(
                {
                    "study": study,
                    "optimizer": optimizer,
                    "seed": seed,
                    "share": SHARES,
                    "used": SHARES * total_budget,
                    "regret": summary.at_budgets(part["used"], values, SHARES * total_budget),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
