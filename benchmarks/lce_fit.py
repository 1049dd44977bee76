"""How fast lce fits, how well it fits compared with scipy, and where it stands to the last value.

Curves of the mirror where CURVECAST_MIRROR is set (tau = 10 epochs, the same number of runs of
every set that has more than ten), else synthetic ones. Three tables:

- curves per second of CPU time at tau = 10 with all families and starts;
- the root mean square of the residuals of the best family of each curve, lce against
  scipy.optimize.least_squares from several random starts inside the same bounds;
- R² of lce and of the last value at three fractions of every set (`--r2`, needs the mirror).

    CURVECAST_MIRROR=folder python benchmarks/lce_fit.py [--curves 500] [--starts 5] [--r2]
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
from scipy.optimize import least_squares

from curvecast import protocol
from curvecast.predictors import _least_squares, lce
from curvecast.predictors._curve_families import FAMILIES, Family

SETS = ["baker/*", "lcbench/*"]
TAU = 10
FRACTIONS = (0.1, 0.25, 0.5)


def pool(n_curves: int) -> tuple[np.ndarray, float]:
    """Curves up to TAU in their own units, shape (n_curves, TAU), and a last epoch."""
    parts = []
    for curves in available(SETS):
        if curves.last_epoch > TAU:
            trained = curves.sign * curves.values[:, (curves.epochs >= 1) & curves.seen(TAU)]
            trained = trained[np.isfinite(trained).all(axis=1) & (np.ptp(trained, axis=1) > 0)]
            parts.append(trained)
    rng = np.random.default_rng(0)
    if not parts:
        x = np.arange(1.0, TAU + 1)
        rate = rng.uniform(0.03, 0.6, (n_curves, 1))
        parts = [1 - np.exp(-rate * x) + 0.02 * rng.standard_normal((n_curves, TAU))]
    share = -(-n_curves // len(parts))
    drawn = np.concatenate([p[rng.permutation(len(p))[:share]] for p in parts])[:n_curves]
    span = np.ptp(drawn, axis=1, keepdims=True)
    return (drawn - drawn[:, -1:]) / span, 50.0


def scipy_rss(family: Family, x: np.ndarray, y: np.ndarray, last: float, starts: int) -> float:
    """Smallest residual sum of squares over random starts; c, m and theta are all free."""
    lower, upper = family.bounds(last)
    rng = np.random.default_rng(0)

    def residual(p: np.ndarray) -> np.ndarray:
        return p[0] + p[1] * family.shape(x, p[2:])[0] - y

    def jacobian(p: np.ndarray) -> np.ndarray:
        g, slopes = family.shape(x, p[2:])
        return np.column_stack([np.ones(len(x)), g, p[1] * slopes])

    best = np.inf
    for _ in range(starts if len(lower) else 1):
        theta = rng.uniform(lower, upper)
        design = np.stack([np.ones(len(x)), family.shape(x, theta)[0]], axis=1)
        start = np.concatenate([np.linalg.lstsq(design, y, rcond=None)[0], theta])
        bounds = (np.append([-np.inf] * 2, lower), np.append([np.inf] * 2, upper))
        found = least_squares(
            residual, start, jac=jacobian, bounds=bounds, x_scale="jac", max_nfev=300
        )
        best = min(best, 2.0 * found.cost)
    return best


def against_scipy(curves: np.ndarray, last: float, starts: int) -> None:
    x = np.arange(1.0, TAU + 1)
    print("\n| family | median RMS, lce | scipy | ratio |\n|---|---:|---:|---:|")
    best = np.full((2, len(curves)), np.inf)
    for family in FAMILIES:
        ours = _least_squares.fit(family, x, curves, last, lce.N_STARTS).rss
        theirs = np.array([scipy_rss(family, x, y, last, starts) for y in curves])
        best = np.minimum(best, [ours, theirs])
        report(family.name, ours, theirs)
    report("best of all", *best)


def report(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    a, b = (float(np.median(np.sqrt(rss / TAU))) for rss in (ours, theirs))
    print(f"| {name} | {a:.6f} | {b:.6f} | {a / b:.4f} |", flush=True)


def speed(curves: np.ndarray, last: float) -> None:
    start = time.process_time()
    lce.extrapolate(curves, np.arange(1, TAU + 1), int(last))
    seconds = time.process_time() - start
    print(f"{len(curves) / seconds:.0f} curves per CPU second at tau = {TAU}, all families")


def r2_table() -> None:
    print(
        "\n| data set | fraction | R² last value | R² lce | difference |\n|---|---:|---:|---:|---:|"
    )
    for curves in available(SETS):
        curves = curves.take(np.isfinite(curves.final))
        model = lce.LCEPredictor()
        for fraction in FRACTIONS:
            tau = protocol.tau_of(fraction, curves.last_epoch)
            started = curves.take(np.isfinite(curves.values[:, curves.seen(tau)]).all(axis=1))
            y = started.final
            last, ours = (
                1.0 - float(np.mean((y - mean) ** 2) / y.var())
                for mean in (
                    started.values[:, started.seen(tau)][:, -1],
                    model.predict(started, tau).mean,
                )
            )
            print(f"| {curves.name} | {fraction} | {last:.4f} | {ours:.4f} | {ours - last:+.4f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--curves", type=int, default=500)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--r2", action="store_true")
    arguments = parser.parse_args()
    curves, last = pool(arguments.curves)
    speed(curves, last)
    against_scipy(curves, last, arguments.starts)
    if arguments.r2:
        r2_table()


if __name__ == "__main__":
    main()
