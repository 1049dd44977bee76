"""Time of the ν-SVR random search against scikit-learn's RandomizedSearchCV on one core.

Both score the same draws on the same folds of the same 100 training runs, at a quarter of the
curves; both refit the winner (ours with 50 times the cap). With the linear kernel both search
under the same cap on iterations, as scikit-learn would take minutes without one. "R² lost" is
scikit-learn's best cross-validated R² less what its table says about the draw that we chose.
Seconds are of CPU time, the median over the repeats.

    python benchmarks/nusvr_search.py [--draws 1000] [--repeats 3] [--datasets NAME ...]

Data sets whose files are neither in the repository nor below CURVECAST_MIRROR are left out.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV
from sklearn.svm import NuSVR

from curvecast import features, protocol
from curvecast.curves import CurveSet
from curvecast.data import readers
from curvecast.data import registry as datasets
from curvecast.predictors import nusvr

NAMES = (
    "embedded/digits_mlp",
    "baker/metaqnn_cifar10",
    "baker/deep_resnets_tinyimagenet",
    "baker/lstm_ptb",
    "lcbench/Fashion-MNIST",
)
MAX_ITER = nusvr.NuSVRSearch().max_iter


class Replay:
    """A distribution for RandomizedSearchCV that hands out given values one by one."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = iter(values.tolist())

    def rvs(self, random_state: object = None) -> float:
        return next(self._values)


def available(names: list[str]) -> Iterator[CurveSet]:
    """Read the data sets of which every file is at hand."""
    registry = datasets.load_registry()
    for name in datasets.expand(names, registry):
        stanza = registry[name]
        files = [datasets.locate(f, ".", datasets.mirrors()) for f in datasets.files_of(stanza)]
        if all(files):
            yield readers.read(name, stanza, files)
        else:
            print(f"left out, its files are not here: {name}", file=sys.stderr)


def varying(X: np.ndarray) -> np.ndarray:
    """Mask of the columns that are not constant, as `base.Regressor` has it."""
    mask: np.ndarray = X.std(axis=0) > 1e-12 * np.maximum(1.0, np.abs(X).max(axis=0))
    return mask


def problem(curves: CurveSet, repeat: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised features and targets of 100 training runs at a quarter, and their folds."""
    tau = protocol.tau_of(0.25, curves.last_epoch)
    train = curves.take(protocol.split(curves, 100, repeat).train)
    X = features.build(train, [tau])[tau].to_numpy(dtype=np.float64)
    X = X[:, varying(X)]
    y = train.final
    folds = protocol.grouped_folds(train.groups, nusvr.N_FOLDS, repeat)
    return (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std(), folds


def compare(curves: CurveSet, repeat: int, kind: str, n_draws: int) -> tuple[float, ...]:
    """Seconds of scikit-learn's search, of ours, best R² of theirs, R² that ours loses."""
    X, y, folds = problem(curves, repeat)
    draws = nusvr.draw(n_draws, seed=repeat)
    max_iter = MAX_ITER if kind == "linear" else -1
    search = RandomizedSearchCV(
        NuSVR(kernel=kind, max_iter=max_iter),
        {"C": Replay(draws.C), "gamma": Replay(draws.gamma), "nu": Replay(draws.nu)},
        n_iter=n_draws,
        cv=PredefinedSplit(folds),
        n_jobs=1,
    )
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X, y)
    middle = time.process_time()
    kernel = nusvr.Kernel(X, kind)
    best = nusvr.cross_validate(kernel, y, folds, draws, MAX_ITER).best
    K = kernel.matrix(float(draws.gamma[best]))
    nusvr.solve(K, y, draws.C[best], draws.nu[best], nusvr.FINAL_CAP * MAX_ITER)
    end = time.process_time()
    lost = search.best_score_ - search.cv_results_["mean_test_score"][best]
    return middle - start, end - middle, search.best_score_, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--datasets", nargs="+", default=list(NAMES))
    arguments = parser.parse_args()
    print(f"{arguments.draws} draws x {nusvr.N_FOLDS} folds, 100 runs, linear cap {MAX_ITER}\n")
    print("| data set | kernel | RandomizedSearchCV s | ours s | times as fast | R² | R² lost |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for curves in available(arguments.datasets):
        for kind in ("rbf", "linear"):
            results = np.array(
                [
                    compare(curves, repeat, kind, arguments.draws)
                    for repeat in range(arguments.repeats)
                ]
            )
            theirs, ours, r2, _ = np.median(results, axis=0)
            print(
                f"| {curves.name} | {kind} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.1f} "
                f"| {r2:.4f} | {results[:, 3].max():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
