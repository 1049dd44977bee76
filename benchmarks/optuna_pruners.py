"""CurvePruner against Optuna's pruners: the front of epochs used and regret.

    PYTHONPATH=src python benchmarks/optuna_pruners.py [--seeds 10] [--trials 100] [PARQUET ...]

A trial replays a recorded run, so that all pruners see the same runs in the same order and what a
pruned run would have become is known. A trial reports every epoch and asks at `every` so many.
Writes two tables in Markdown to standard output, the means over data sets and the data sets.
`regret` is the best value that the study reports minus the best one among its runs, in units of
the median distance of a run from the best one: 0 means that the best run was not pruned.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)

from curvecast import CurveSet
from curvecast.integrations.optuna import CurvePruner
from curvecast.protocol import seed_from
from curvecast.report.tables import markdown
from curvecast.studies.summary import interval

EMBEDDED = sorted(Path(__file__).parents[1].glob("resources/embedded/*.parquet"))
PRUNERS: dict[str, Callable[[int, int], BasePruner]] = {
    "none": lambda last, seed: NopPruner(),
    "Median": lambda last, seed: MedianPruner(),
    "Percentile 25": lambda last, seed: PercentilePruner(25.0),
    "SuccessiveHalving": lambda last, seed: SuccessiveHalvingPruner(),
    "Hyperband": lambda last, seed: HyperbandPruner(max_resource=last),
    "Patient (Median, 5)": lambda last, seed: PatientPruner(MedianPruner(), patience=5),
    "Wilcoxon": lambda last, seed: WilcoxonPruner(),
    "CurvePruner": lambda last, seed: CurvePruner(seed=seed),
    "CurvePruner .5": lambda last, seed: CurvePruner(seed=seed, delta=0.5),
    "CurvePruner pfn": lambda last, seed: CurvePruner(
        model="pfn", n_startup_trials=0, always=0, seed=seed
    ),
    "CurvePruner pfn .5": lambda last, seed: CurvePruner(
        model="pfn", n_startup_trials=0, always=0, delta=0.5, seed=seed
    ),
}


def run(curves: CurveSet, pruner: BasePruner, order: np.ndarray, every: int) -> dict[str, float]:
    """One study whose trials replay the runs in `order`."""
    settings = curves.configs[[c for c in curves.configs if c.startswith(("hp_", "ap_"))]]
    low, high = settings.min(), settings.max()
    epochs = curves.epochs[curves.epochs > 0]
    values = curves.values[:, curves.epochs > 0]
    used = 0

    def objective(trial: optuna.Trial) -> float:
        nonlocal used
        for name in settings:
            log = name in curves.log_columns
            trial.suggest_float(name, float(low[name]), float(high[name]), log=log)
        curve = values[order[trial.number]]
        for epoch, value in zip(epochs.tolist(), curve.tolist(), strict=True):
            used += 1
            trial.report(value, epoch)
            if epoch % every == 0 and trial.should_prune():
                raise optuna.TrialPruned
        return float(curve[-1])

    study = optuna.create_study(
        direction=curves.direction,
        pruner=pruner,
        study_name="benchmark",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for row in order:
        study.enqueue_trial({name: float(settings[name].iloc[row]) for name in settings})
    start = time.perf_counter()
    study.optimize(objective, n_trials=len(order))
    finals = curves.sign * curves.final[order]
    finals = finals[np.isfinite(finals)]
    scale = float(finals.max() - np.median(finals))
    return {
        "epochs": used / (len(order) * len(epochs)),
        "regret": (finals.max() - curves.sign * study.best_value) / scale,
        "best": float(study.best_value == curves.sign * finals.max()),
        "seconds": time.perf_counter() - start,
    }


def measure(options: argparse.Namespace) -> pd.DataFrame:
    """A row per data set, pruner and seed."""
    rows: list[dict[str, Any]] = []
    for file in options.files:
        curves = CurveSet.from_parquet(file)
        for seed in range(options.seeds):
            order = np.random.default_rng(seed_from(curves.name, seed)).permutation(len(curves))
            for name in options.pruners:
                outcome = run(
                    curves,
                    PRUNERS[name](curves.last_epoch, seed),
                    order[: options.trials],
                    options.every,
                )
                rows.append({"dataset": curves.name, "pruner": name, "seed": seed, **outcome})
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame) -> str:
    """Means over seeds with their 95 % intervals."""
    lines = []
    for (dataset, pruner), part in rows.groupby(["dataset", "pruner"], sort=False):
        low, high = interval(part["epochs"].to_numpy())
        worst = part["regret"].max()
        lines.append(
            {
                "data set": dataset,
                "pruner": pruner,
                "epochs used": f"{100 * part['epochs'].mean():.0f} % "
                f"[{100 * low:.0f}, {100 * high:.0f}]",
                "regret": f"{part['regret'].mean():.3f} (at most {worst:.3f})",
                "best run finished": f"{part['best'].sum():.0f} of {len(part)}",
                "seconds": f"{part['seconds'].mean():.1f}",
            }
        )
    return markdown.table(pd.DataFrame(lines))


def front(rows: pd.DataFrame) -> str:
    """Means over data sets and seeds, and by which pruners each one is dominated in them."""
    means = rows.groupby("pruner", sort=False)[["epochs", "regret", "best", "seconds"]].mean()
    lines = []
    for name, own in means.iterrows():
        better = (means["epochs"] <= own["epochs"]) & (means["regret"] <= own["regret"])
        better &= (means["epochs"] < own["epochs"]) | (means["regret"] < own["regret"])
        lines.append(
            {
                "pruner": name,
                "epochs used": f"{100 * own['epochs']:.1f} %",
                "regret": f"{own['regret']:.4f}",
                "best run finished": f"{100 * own['best']:.0f} %",
                "seconds per study": f"{own['seconds']:.1f}",
                "dominated by": ", ".join(means.index[better]),
            }
        )
    return markdown.table(pd.DataFrame(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=EMBEDDED, help="of CurveSets")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--pruners", nargs="+", default=list(PRUNERS), help="some of them")
    parser.add_argument("--every", type=int, default=1, help="a trial asks at every so many epochs")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = measure(options)
    print(front(rows), table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
