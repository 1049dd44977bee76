"""What earlier runs of one's own are worth: `curvecast adapt` on LCBench.

    CURVECAST_MIRROR=... python benchmarks/adapted.py --out FOLDER [--fold 0 1 2 3 4]

The data sets are divided into five folds. The weights for a fold learn from the sets of the other
four, from every second configuration; its sets are asked about with the other configurations, so
neither set nor configuration was seen. A fold is trained once (about four minutes of a core), its
weights and cells stay in FOLDER, and two folds may run at a time. The table is made of the cells
that are there: per model, size of the context and fraction of the curve, medians over data sets of
the mean absolute error over last_value's and of the squared error over that of `ensemble` with the
shipped weights, coverage of the 80 % intervals, and the geometric mean of the absolute error over
that `ensemble`'s with its 95 % interval. Then what the advice of benchmarks/advice.py loses and
saves, with the shipped weights and with these.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from advice import outcome
from prior import DEVELOPMENT, cell, present

from curvecast.curves import CurveSet
from curvecast.report.tables import markdown
from curvecast.training.adapted import adapt

FOLDS, ORDERINGS = 5, 4  # steps and rate of the training were chosen on DEVELOPMENT
KEYS = ["dataset", "context", "fraction", "split"]


def half(curves: CurveSet, odd: bool) -> CurveSet:
    """Every second configuration: runs of equal settings stay together."""
    return curves.take(np.flatnonzero(curves.groups % 2 == odd))


def run(sets: list[CurveSet], fold: int, folder: Path, contexts: list[int], splits: int) -> None:
    """Train the weights of a fold, and write the cells of its sets."""
    path = folder / f"{fold}.safetensors"
    if not path.exists():
        learnt = [half(curves, True) for i, curves in enumerate(sets) if i % FOLDS != fold]
        adapt(learnt, path, show=lambda line: print(line, file=sys.stderr, flush=True))
    rows, stopped = [], []
    for curves in sets[fold::FOLDS]:
        asked = half(curves, False)
        for model, n in product(("pfn", f"pfn:{path}"), (20, 100)):
            kind = "pfn" if model == "pfn" else "pfn, adapted"
            stopped.append((kind, curves.name, n, *outcome(asked, n, ORDERINGS, model=model)))
        for model, own, n, fraction, nth in product(
            ("pfn", "ensemble"), (False, True), contexts, (0.1, 0.25, 0.5), range(splits)
        ):
            options = {"weights": str(path)} if own else {}
            one = cell(asked, model, n, fraction, 400, nth, **options)
            rows.append({**one, "model": f"{model}, adapted" if own else model})
        print(curves.name, file=sys.stderr, flush=True)
    pd.DataFrame(rows).to_csv(folder / f"cells_{fold}.csv", index=False)
    table = pd.DataFrame(stopped, columns=["model", "dataset", "n", "winners", "lost", "saved"])
    table.to_csv(folder / f"advice_{fold}.csv", index=False)


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """A row per model, context and fraction; `low` and `high` are over data sets."""
    plain = cells[cells["model"] == "ensemble"].set_index(KEYS)[["mae", "mse"]]
    cells = cells.join(plain, on=KEYS, suffixes=("", "_plain"))
    cells["mse_ratio"] = cells["mse"] / cells["mse_plain"]
    cells["gain"] = np.log(cells["mae"] / cells["mae_plain"])
    keys = ["model", "context", "fraction"]
    by_set = cells.groupby([*keys, "dataset"]).mean(numeric_only=True)
    columns = {"mae": ("mae", "median"), "mse_ratio": ("mse_ratio", "median")}
    columns |= {"ahead": ("mse_ratio", lambda r: (r < 1).mean()), "cover80": ("cover80", "mean")}
    columns |= {"best_tenth": ("best_tenth", "mean"), "sets": ("mae", "size")}
    gain, error = (by_set.groupby(keys)["gain"].agg(how) for how in ("mean", "sem"))
    bounds = {"mae_ratio": gain, "low": gain - 1.96 * error, "high": gain + 1.96 * error}
    table = by_set.groupby(keys).agg(**columns)
    return table.assign(**{name: np.exp(x) for name, x in bounds.items()}).reset_index()


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fold", nargs="*", type=int, default=list(range(FOLDS)))
    parser.add_argument("--contexts", nargs="+", type=int, default=[0, 10, 20, 100])
    parser.add_argument("--splits", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sets = present(["lcbench/*"]) if options.fold else []
    for fold in options.fold:
        run(sets, fold, options.out, options.contexts, options.splits)
    cells, advice = (
        pd.concat([pd.read_csv(path) for path in sorted(options.out.glob(f"{kind}_*.csv"))])
        for kind in ("cells", "advice")
    )
    print(markdown.table(summary(cells).round(3)))
    others = cells[~cells["dataset"].str.removeprefix("lcbench/").isin(DEVELOPMENT)]
    print("Without the sets on which the training was chosen:\n")
    print(markdown.table(summary(others).round(3)))
    print("The advice on 100 runs under way, each cut at a random epoch:\n")
    sums = {"winners": ("winners", "sum"), "lost": ("lost", "sum"), "saved": ("saved", "mean")}
    print(markdown.table(advice.groupby(["model", "n"]).agg(**sums).reset_index().round(3)))


if __name__ == "__main__":
    main()
