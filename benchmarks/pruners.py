"""CurvePruner against Optuna's pruners: the front of epochs used and regret.

    python benchmarks/pruners.py [--orders 10] [--trials 50] [--embedded] [--pruners NAME ...]

On the data sets of LCBench of which a mirror (CURVECAST_MIRROR) has the files. A trial replays a
recorded run, so that all pruners see the same runs in the same order and what a pruned run would
have become is known. A trial reports every epoch and asks at every epoch. `regret` is the best
value that the study reports minus the best one among its runs, in units of the median distance of
a run from the best one: 0 means that the best run was not pruned.

Studies that stand in `--rows` already are not run again. Prints the front in Markdown, of the
orders that all pruners have, and draws it (`--figure`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

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
from prior import present

from curvecast.curves import CurveSet
from curvecast.data.registry import load_registry
from curvecast.files import write_csv
from curvecast.integrations.optuna import CurvePruner
from curvecast.protocol import seed_from
from curvecast.report.tables import markdown
from curvecast.studies.summary import crossed, interval

ROOT = Path(__file__).resolve().parents[1]
PRUNERS: dict[str, Callable[[int, int], BasePruner]] = {
    "none": lambda last, seed: NopPruner(),
    "Median": lambda last, seed: MedianPruner(),
    "Percentile 25": lambda last, seed: PercentilePruner(25.0),
    "SuccessiveHalving": lambda last, seed: SuccessiveHalvingPruner(),
    "Hyperband": lambda last, seed: HyperbandPruner(max_resource=last),
    "Patient (Median, 5)": lambda last, seed: PatientPruner(MedianPruner(), patience=5),
    "Wilcoxon": lambda last, seed: WilcoxonPruner(),
    "CurvePruner": lambda last, seed: CurvePruner(seed=seed),
    "CurvePruner .9": lambda last, seed: CurvePruner(seed=seed, delta=0.9),
    "CurvePruner .2": lambda last, seed: CurvePruner(seed=seed, delta=0.2),
    "CurvePruner gain_gp": lambda last, seed: CurvePruner(seed=seed, model="gain_gp"),
}
KEY = ["dataset", "pruner", "order"]


def run(curves: CurveSet, pruner: BasePruner, order: np.ndarray) -> dict[str, float]:
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
            if trial.should_prune():
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
    start = time.process_time()
    study.optimize(objective, n_trials=len(order))
    finals = curves.sign * curves.final[order]
    finals = finals[np.isfinite(finals)]
    scale = float(finals.max() - np.median(finals))
    return {
        "epochs": used / (len(order) * len(epochs)),
        "regret": (finals.max() - curves.sign * study.best_value) / scale,
        "best": float(study.best_value == curves.sign * finals.max()),
        "seconds": time.process_time() - start,
    }


def measure(sets: list[CurveSet], options: argparse.Namespace) -> pd.DataFrame:
    """A row per data set, pruner and order; `options.rows` holds what was measured before."""
    known = pd.read_csv(options.rows) if options.rows.exists() else pd.DataFrame(columns=KEY)
    rows = {tuple(row[key] for key in KEY): row for row in known.to_dict("records")}
    for number in range(options.orders):
        for curves in sets:
            seed = seed_from(curves.name, "pruners", number)
            order = np.random.default_rng(seed).permutation(len(curves))[: options.trials]
            for name in options.pruners:
                key = curves.name, name, number
                if key not in rows:
                    outcome = run(curves, PRUNERS[name](curves.last_epoch, number), order)
                    rows[key] = dict(zip(KEY, key, strict=True)) | outcome
            write_csv(pd.DataFrame(list(rows.values())), options.rows)
        print(f"order {number + 1} of {options.orders}", file=sys.stderr, flush=True)
    table = pd.DataFrame(list(rows.values()))
    return table[table["pruner"].isin(options.pruners)]


def common(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of what every pruner has, of the data sets that have the most orders of it."""
    n = rows.groupby(["dataset", "order"])["pruner"].transform("nunique")
    rows = rows[n == rows["pruner"].nunique()]
    orders = rows.groupby("dataset")["order"].transform("nunique")
    return rows[orders == orders.max()]


def front(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over data sets and orders, their intervals, and who dominates in both means."""
    means = rows.groupby("pruner", sort=False)[["epochs", "regret", "best", "seconds"]].mean()
    for column in ("epochs", "regret"):
        wide = {
            name: part.pivot(index="dataset", columns="order", values=column).dropna(axis=1)
            for name, part in rows.groupby("pruner")
        }
        values = [wide[str(name)].to_numpy() for name in means.index]
        bounds = [crossed(v) if v.shape[1] > 1 else interval(v[:, 0]) for v in values]
        means[[f"{column}_low", f"{column}_high"]] = bounds
    for name, own in means.iterrows():
        better = (means["epochs"] <= own["epochs"]) & (means["regret"] <= own["regret"])
        better &= (means["epochs"] < own["epochs"]) | (means["regret"] < own["regret"])
        means.loc[name, "dominated"] = ", ".join(means.index[better])
    return means


def table(means: pd.DataFrame) -> str:
    """The front in Markdown."""
    columns: dict[str, markdown.Cell] = {
        "pruner": lambda row: str(row["pruner"]),
        "epochs used": lambda row: (
            f"{100 * row['epochs']:.1f} % [{100 * row['epochs_low']:.1f}, "
            f"{100 * row['epochs_high']:.1f}]"
        ),
        "regret": lambda row: (
            f"{row['regret']:.4f} [{row['regret_low']:.4f}, {row['regret_high']:.4f}]"
        ),
        "best run finished": lambda row: f"{100 * row['best']:.0f} %",
        "seconds per study": lambda row: f"{row['seconds']:.1f}",
        "dominated by": lambda row: str(row["dominated"]),
    }
    return markdown.table(means.reset_index(), columns)


def draw(means: pd.DataFrame, path: Path) -> None:
    """Epochs used against regret, with the intervals of both."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, row in means.drop(index="none", errors="ignore").iterrows():
        own = str(name).startswith("CurvePruner")
        x, y = 100 * row["epochs"], row["regret"]
        wide = [[x - 100 * row["epochs_low"]], [100 * row["epochs_high"] - x]]
        tall = [[y - row["regret_low"]], [row["regret_high"] - y]]
        colour, marker = ("tab:purple", "D") if own else ("0.35", "o")
        axes.errorbar(x, y, xerr=wide, yerr=tall, fmt=marker, color=colour, lw=0.8, ms=5)
        side = {"xytext": (6, 5), "ha": "left"} if x < 60 else {"xytext": (-6, 5), "ha": "right"}
        axes.annotate(str(name), (x, y), textcoords="offset points", color=colour, **side)
    axes.set(
        xlabel="epochs used, % of training all trials", ylabel="regret (0: the best run survives)"
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--embedded", action="store_true", help="the embedded collections instead")
    parser.add_argument("--pruners", nargs="+", default=list(PRUNERS), choices=PRUNERS)
    parser.add_argument("--rows", type=Path, default=ROOT / "results/pruners/rows.csv")
    parser.add_argument("--figure", type=Path, default=ROOT / "results/pruners/front.png")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    names = [name for name in load_registry() if name.startswith("lcbench/")]
    files = sorted(ROOT.glob("resources/embedded/*.parquet"))
    sets = [CurveSet.from_parquet(f) for f in files] if options.embedded else present(names)
    if not sets:
        sys.exit("no mirror has the files of LCBench: set CURVECAST_MIRROR, or use --embedded")
    rows = common(measure(sets, options))
    means = front(rows)
    print(f"{rows['dataset'].nunique()} data sets, {rows['order'].nunique()} orders\n")
    print(table(means))
    draw(means, options.figure)


if __name__ == "__main__":
    main()
