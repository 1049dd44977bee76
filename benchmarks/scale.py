"""Seconds and memory of reading tables of many runs and of predicting all of them.

    python benchmarks/scale.py [--runs 1000 10000 100000 1000000] [--model gp]

Each table, in Parquet, has 50 epochs and 4 settings of made-up runs, of which all have come to
epoch 25. A model that `curvecast fit` would save, fitted on 500 finished runs, predicts them, as
`curvecast predict` does. Prints a line per table in Markdown, each measured in a process of its
own; the slope is that of log seconds over log runs since the line before.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd

from curvecast import saved
from curvecast.data.readers.table import read_curves

EPOCHS = 50


def table(n: int, path: Path, seen: int) -> None:
    """Write runs that approach ends of their own, empty after epoch `seen`."""
    rng = np.random.default_rng(n)
    settings = rng.uniform(size=(n, 4)).astype(np.float32)
    ends = 0.5 + 0.3 * settings[:, :1] - 0.2 * (settings[:, 1:2] - 0.5) ** 2
    ends = ends + rng.normal(scale=0.02, size=(n, 1))
    speed = 0.05 + 0.2 * settings[:, 2:3]
    curves = ends * (1 - np.exp(-speed * np.arange(1, EPOCHS + 1)))
    curves = (curves + rng.normal(scale=0.003, size=curves.shape)).astype(np.float32)
    curves[:, seen:] = np.nan
    frame = pd.DataFrame(curves, columns=[f"acc_{t}" for t in range(1, EPOCHS + 1)])
    frame[["lr", "momentum", "decay", "dropout"]] = settings
    frame.insert(0, "run", np.arange(n).astype(str))
    frame.to_parquet(path, index=False)


def measure(path: Path, model: Path) -> None:
    """Print seconds of reading, seconds of predicting and the peak memory in MB."""
    start = time.perf_counter()
    loaded = saved.load(model)
    runs = saved.read_runs(path, loaded)
    read = time.perf_counter() - start
    rows = saved.predictions(loaded, runs)
    assert rows["mean"].notna().all()
    spent = time.perf_counter() - start - read
    print(read, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--runs", nargs="+", type=int, default=[10**k for k in range(3, 7)])
    parser.add_argument("--model", default="gp")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    print("| runs | read, s | predict, s | slope | peak, MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        finished, model, asked = (Path(folder, name) for name in ("f.parquet", "m", "a.parquet"))
        table(500, finished, EPOCHS)
        curves = read_curves(finished, "acc_{epoch}", "maximize", id="run")
        saved.save(saved.train(options.model, curves, curve_columns="acc_{epoch}", id="run"), model)
        before: tuple[int, float] | None = None
        for n in options.runs:
            table(n, asked, EPOCHS // 2)
            command = [sys.executable, __file__, "--measure", str(asked), str(model)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            read, spent, peak = map(float, done.stdout.split())
            slope = (
                "" if before is None else f"{np.log(spent / before[1]) / np.log(n / before[0]):.2f}"
            )
            before = n, spent
            print(f"| {n:,} | {read:.1f} | {spent:.1f} | {slope} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
