"""How good the shipped prior is on collections that it has never seen.

    python benchmarks/prior.py [--models pfn ensemble] [--contexts 0 10 100] [DATASET ...]

Other predictors than the prior are measured in the same way; `chosen` is the one that
`curvecast fit` chooses by its errors at that fraction.

Without names: all sets of LCBench, Baker and TaskSet that a mirror (CURVECAST_MIRROR) has. A line
per data set goes to standard error, then a table in Markdown to standard output: per model,
collection, size of the context and fraction of the curve the median over data sets of the mean
absolute error and of the CRPS, both divided by last_value's error, the mean of the median absolute
error over last_value's, the median of the Spearman correlation beside last_value's, the coverage of
the 80 % intervals over all runs and over the predicted best tenth, and the share of data sets with
a coverage of .65 to .92. One split per data set, or as many as `--splits` says.

`--models library ensemble` measures what pfn is worth to the ensemble (`library` is the ensemble
without it): a second table has the ratio of their errors, pair by pair.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from curvecast import protocol
from curvecast.benchmark.scores import score
from curvecast.choice import choose
from curvecast.curves import CurveSet, collection_of
from curvecast.data import preflight, readers, registry
from curvecast.features import bridge
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Predictor
from curvecast.predictors.ensemble import Library
from curvecast.predictors.quantiles import LEVELS
from curvecast.report.tables import markdown

REPORTED = ("baker", "lcbench", "taskset")
# Of LCBench: on these options of freeze_thaw and of `adapt` were chosen.
DEVELOPMENT = ("APSFailure", "airlines", "connect-4", "jannis", "numerai28.6")
RESERVE = 100


def present(names: list[str]) -> list[CurveSet]:
    """The data sets of these names or patterns (all reported ones) that a mirror has."""
    found = []
    for name, stanza in registry.load_registry().items():
        wanted = any(fnmatch(name, pattern) for pattern in names)
        if wanted or (not names and collection_of(name) in REPORTED):
            files = [
                preflight.locate(file, "raw", preflight.mirrors())
                for file in registry.files_of(stanza)
            ]
            paths = [path for path in files if path is not None]
            if len(paths) == len(files):
                found.append(readers.read(name, stanza, paths))
    return found


def fit(
    model: str, runs: CurveSet, tau: int, fraction: float, nth: int, **options: str
) -> Predictor:
    """A predictor of the registry, the ensemble without pfn, or the one that `choose` takes."""
    if model == "chosen":
        return choose(runs, [fraction])[0].predictor
    seed = protocol.seed_from(runs.name, nth, "ensemble" if model == "library" else model)
    if model == "library":
        return Library(seed=seed).fit(runs, [tau])
    return make_predictor(model, seed=seed, **options).fit(runs, [tau])


def but_first(runs: CurveSet, n: int, seed: int) -> CurveSet:
    """The runs, all but the first n stopped at random epochs of the first half."""
    half = runs.epochs[1 : max(2, len(runs.epochs) // 2)]
    ends = np.random.default_rng(seed).choice(half, len(runs))
    ends[:n] = runs.last_epoch
    return replace(runs, values=np.where(runs.epochs <= ends[:, None], runs.values, np.nan))


def cell(
    curves: CurveSet,
    model: str,
    n: int,
    fraction: float,
    n_test: int,
    nth: int = 0,
    stopped: int = 0,
    **options,
) -> dict:
    """Scores of a model at one context size and fraction, on the nth split."""
    split = protocol.split(curves, n + stopped, nth, reserve=max(RESERVE, n + stopped))
    tau = protocol.tau_of(fraction, curves.epochs)
    train = but_first(curves.take(split.train), n, protocol.seed_from(curves.name, "stopped", nth))
    fitted = fit(model, train, tau, fraction, nth, **options)
    test = curves.take(split.test)
    seen = test.values[:, test.seen(tau)]
    test = test.take(np.flatnonzero(np.isfinite(seen).any(axis=1))[:n_test])
    last = bridge(test.values[:, test.seen(tau)], test.epochs[test.seen(tau)])[:, -1]
    p, y = fitted.predict(test, tau), test.final
    quantiles = p.quantile(list(LEVELS.values()))
    scores = score(y, p.mean, quantiles)
    low, high = (quantiles[:, list(LEVELS).index(name)] for name in ("q10", "q90"))
    inside = (low <= y) & (y <= high)
    best = np.argsort(-curves.sign * p.mean)[: max(1, len(y) // 10)]
    own, of_last = np.abs(y - p.mean), np.abs(y - last)
    naive = float(of_last.mean())
    return {
        "model": model,
        "collection": collection_of(curves.name),
        "dataset": curves.name,
        "split": nth,
        "context": n,
        "fraction": fraction,
        "mae": scores["mae"] / naive,
        "mse": scores["mse"],
        "median_error": float(np.median(own)) / max(float(np.median(of_last)), 1e-300),
        "crps": scores["crps"] / naive,
        "nll": scores["nll"],
        "r2": scores["r2"],
        "spearman": scores["spearman"],
        "of_last": float(spearmanr(last, y).statistic),
        "cover80": inside.mean(),
        "best_tenth": inside[best].mean(),
    }


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per model, collection, context and fraction."""
    cells = cells.assign(
        in_range=cells["cover80"].between(0.65, 0.92), behind=cells["spearman"] - cells["of_last"]
    )
    medians = ("mae", "crps", "nll", "r2", "spearman", "of_last")
    columns: dict = {name: (name, "median") for name in medians}
    columns["median_error"] = ("median_error", "mean")
    columns |= {"mae_max": ("mae", "max"), "spearman_gain": ("behind", "mean")}
    columns |= {name: (name, "mean") for name in ("cover80", "in_range", "best_tenth")}
    return (
        cells.groupby(["model", "collection", "context", "fraction"]).agg(**columns).reset_index()
    )


def with_and_without(cells: pd.DataFrame) -> pd.DataFrame:
    """The error of `ensemble` over that of `library` per collection and context."""
    keys = ["collection", "dataset", "context", "fraction", "split"]
    wide = cells.pivot(index=keys, columns="model", values="mae")
    ratio = (wide["ensemble"] / wide["library"]).rename("ratio").reset_index()
    return (
        ratio.groupby(["collection", "context"])["ratio"]
        .agg(
            median="median",
            worst="max",
            ahead=lambda r: (r < 1).mean(),
            cells="size",
        )
        .reset_index()
    )


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("datasets", nargs="*")
    parser.add_argument("--contexts", nargs="+", type=int, default=[0, 10, 100])
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.1, 0.25, 0.5])
    parser.add_argument("--runs", type=int, default=400, help="test runs per data set")
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--stopped", type=int, default=0, help="runs stopped early as well")
    parser.add_argument("--models", nargs="+", default=["pfn"])
    parser.add_argument("--weights", help="a file in place of the shipped weights of pfn")
    parser.add_argument("--csv", type=Path, help="also write all cells to this file")
    options = parser.parse_args()
    rows = []
    for curves, model in product(present(options.datasets), options.models):
        extra = {"weights": options.weights} if model == "pfn" and options.weights else {}
        rows += [
            cell(curves, model, n, fraction, options.runs, nth, options.stopped, **extra)
            for nth, n, fraction in product(
                range(options.splits), options.contexts, options.fractions
            )
        ]
        shown = [row for row in rows if (row["dataset"], row["model"]) == (curves.name, model)]
        text = " ".join(f"{row['mae']:.2f}" for row in shown)
        print(f"{curves.name} {model}: {text}", file=sys.stderr, flush=True)
    cells = pd.DataFrame(rows)
    if options.csv:
        cells.to_csv(options.csv, index=False)
    print(markdown.table(summary(cells).round(3)))
    if {"library", "ensemble"} <= set(options.models):
        print(markdown.table(with_and_without(cells).round(3)))


if __name__ == "__main__":
    main()
