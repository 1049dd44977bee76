"""R² and CPU seconds of the networks per data set: 100 training runs, six fractions.

Seconds are of one core, a fit and its predictions for all fractions, mean over the repeats; ten
of them are what a data set costs in the workflow.

    python benchmarks/networks.py [--repeats 2] [--models MODEL ...] [--datasets NAME ...]
        [--options '{"epochs": 200}']

Data sets whose files are neither in the repository nor below CURVECAST_MIRROR are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
from nusvr_search import available

from curvecast import protocol
from curvecast.curves import CurveSet
from curvecast.predictors import make_predictor

FRACTIONS = (0.1, 0.2, 0.25, 0.4, 0.6, 0.8)
MODELS = ("last_value", "cnn", "lstm", "cnn_lstm", "lcnet")
DATASETS = ("baker/metaqnn_cifar10", "lcbench/Fashion-MNIST")


def run(
    curves: CurveSet, model: str, repeat: int, options: dict[str, Any]
) -> tuple[list[float], list[float], float]:
    """R² and the share of test runs in the 80 % interval by fraction, and CPU seconds."""
    taus = [protocol.tau_of(fraction, curves.last_epoch) for fraction in FRACTIONS]
    split = protocol.split(curves, 100, repeat)
    train, test = curves.take(split.train), curves.take(split.test)
    seed = protocol.seed_from(curves.name, repeat, model)
    start = time.process_time()
    fitted = make_predictor(model, seed=seed, **options).fit(train, taus)
    predictions = [fitted.predict(test, tau) for tau in taus]
    seconds = time.process_time() - start
    y = test.final
    r2 = [float(1 - np.mean((y - p.mean) ** 2) / y.var()) for p in predictions]
    inside = [np.abs(p.cdf(y) - 0.5) < 0.4 for p in predictions]
    return r2, [float(hit.mean()) for hit in inside], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--options", type=json.loads, default={})
    arguments = parser.parse_args()
    print(f"{arguments.repeats} repeats, options {arguments.options}\n")
    print("| data set | model | " + " | ".join(f"R² {f}" for f in FRACTIONS) + " | in 80 % | s |")
    print("|---|---|" + "---:|" * (len(FRACTIONS) + 2))
    for curves in available(arguments.datasets):
        for model in arguments.models:
            options = {} if model == "last_value" else arguments.options
            runs = [run(curves, model, repeat, options) for repeat in range(arguments.repeats)]
            r2 = np.mean([r2 for r2, _, _ in runs], axis=0)
            inside = np.mean([inside for _, inside, _ in runs])
            seconds = np.mean([seconds for _, _, seconds in runs])
            cells = " | ".join(f"{value:.3f}" for value in r2)
            print(
                f"| {curves.name} | {model} | {cells} | {inside:.2f} | {seconds:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
