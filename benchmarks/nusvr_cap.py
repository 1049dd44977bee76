"""What the cap on libsvm's iterations costs the ν-SVR with a linear kernel, in R² of test runs.

Baker's protocol at 25 % of the curves: 100 training runs, the rest for testing; the same splits,
draws and folds under every cap, so the differences to the highest cap are paired.

    CURVECAST_MIRROR=folder python benchmarks/nusvr_cap.py [--draws 200] [--repeats 10]
        [--caps 1000 2000 5000 50000] [--datasets NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
from nusvr_search import available

from curvecast import features, protocol
from curvecast.curves import CurveSet
from curvecast.predictors import make_predictor


def fit(curves: CurveSet, repeat: int, draws: int, cap: int) -> tuple[float, float, float]:
    """R² of the test runs, share of draws that met the cap, CPU seconds of the fit."""
    tau = protocol.tau_of(0.25, curves.last_epoch)
    split = protocol.split(curves, 100, repeat)
    X = features.build(curves, [tau])[tau]
    seed = protocol.seed_from(curves.name, repeat, "nusvr_linear")
    model = make_predictor("nusvr_linear", seed=seed, draws=draws, max_iter=cap)
    start = time.process_time()
    model.fit_xy(X.iloc[split.train], curves.final[split.train], curves.groups[split.train])
    seconds = time.process_time() - start
    y = curves.final[split.test]
    errors = y - model.predict_xy(X.iloc[split.test]).mean
    r2 = 1.0 - float(np.mean(errors**2) / y.var())
    return r2, model.diagnostics()["unconverged_draws"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--caps", type=int, nargs="+", default=[1000, 2000, 5000, 50_000])
    parser.add_argument("--datasets", nargs="+", default=["baker/*"])
    arguments = parser.parse_args()
    caps = sorted(arguments.caps)
    print(f"{arguments.draws} draws, {arguments.repeats} repeats, difference to cap {caps[-1]}\n")
    print("| data set | cap | R² | difference | its s.e. | draws at the cap | s per fit |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for curves in available(arguments.datasets):
        results = np.array(
            [
                [fit(curves, repeat, arguments.draws, cap) for cap in caps]
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
