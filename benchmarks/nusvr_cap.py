"""The cost of the cap on libsvm's iterations in the search of the linear ν-SVR, in R² of test runs.

Baker's protocol at 25 % of the curves: 100 training runs, the rest for testing; the same splits,
draws and folds under every cap, so the differences to the highest cap are paired. The winner of
each search is fitted under the same cap, that of the model's default. Seconds are of CPU time.

    CURVECAST_MIRROR=folder python benchmarks/nusvr_cap.py [--draws 200] [--repeats 10]
        [--caps 1000 2000 5000 50000] [--datasets NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np

from curvecast import features, protocol
from curvecast.curves import CurveSet
from curvecast.data import readers
from curvecast.data import registry as datasets
from curvecast.data.preflight import locate, mirrors
from curvecast.predictors import nusvr

MAX_ITER = nusvr.NuSVRSearch().max_iter


def available(names: list[str]) -> Iterator[CurveSet]:
    """Read the data sets of which every file is at hand."""
    registry = datasets.load_registry()
    for name in datasets.expand(names, registry):
        stanza = registry[name]
        files = [locate(f, ".", mirrors()) for f in datasets.files_of(stanza)]
        if all(files):
            yield readers.read(name, stanza, files)
        else:
            print(f"left out, its files are not here: {name}", file=sys.stderr)


def search(curves: CurveSet, repeat: int, n_draws: int, cap: int) -> tuple[float, float, float]:
    """R² of the test runs, share of draws that met the cap, CPU seconds of the search."""
    tau = protocol.tau_of(0.25, curves.epochs)
    split = protocol.split(curves, 100, repeat)
    X = features.build(curves, [tau])[tau].to_numpy(dtype=np.float64)
    y, groups = curves.final[split.train], curves.groups[split.train]
    seed = protocol.seed_from(curves.name, repeat, "nusvr_linear")
    spread, largest = X[split.train].std(axis=0), np.abs(X[split.train]).max(axis=0)
    X = X[:, spread > 1e-12 * np.maximum(1.0, largest)]
    center, scale = X[split.train].mean(axis=0), X[split.train].std(axis=0)
    X, z = (X - center) / scale, (y - y.mean()) / y.std()
    kernel = nusvr.Kernel(X[split.train], "linear")
    folds = protocol.grouped_folds(groups, nusvr.N_FOLDS, seed)
    draws = nusvr.draw(n_draws, seed)
    start = time.process_time()
    scores = nusvr.cross_validate(kernel, z, folds, draws, cap)
    seconds = time.process_time() - start
    C, nu = draws.C[scores.best], draws.nu[scores.best]
    solution = nusvr.solve(kernel.matrix(1.0), z, C, nu, nusvr.FINAL_CAP * MAX_ITER)
    predicted = y.mean() + y.std() * kernel.predict(X[split.test], solution, 1.0)
    target = curves.final[split.test]
    r2 = 1.0 - float(np.mean((target - predicted) ** 2) / target.var())
    return r2, float(scores.capped.mean()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--caps", type=int, nargs="+", default=[1000, 2000, 5000, 50_000])
    parser.add_argument("--datasets", nargs="+", default=["baker/*"])
    arguments = parser.parse_args()
    caps = sorted(arguments.caps)
    print(f"{arguments.draws} draws, {arguments.repeats} repeats, difference to cap {caps[-1]}\n")
    print("| data set | cap | R² | difference | its s.e. | draws at the cap | s per search |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for curves in available(arguments.datasets):
        results = np.array(
            [
                [search(curves, repeat, arguments.draws, cap) for cap in caps]
                for repeat in range(arguments.repeats)
            ]
        )
        differences = results[:, :, 0] - results[:, -1:, 0]
        errors = differences.std(axis=0, ddof=1) / np.sqrt(arguments.repeats)
        for i, cap in enumerate(caps):
            r2, capped, seconds = results[:, i].mean(axis=0)
            print(
                f"| {curves.name} | {cap} | {r2:.4f} | {differences[:, i].mean():+.4f} "
                f"| {errors[i]:.4f} | {capped:.1%} | {seconds:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
