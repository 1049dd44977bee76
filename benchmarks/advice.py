"""What the advice on runs under way loses and saves, on recorded collections cut at random.

    python benchmarks/advice.py [--promise 0.9] [--orderings 10] [DATASET ...]

Without names: three sets of LCBench, two of Baker and one of TaskSet, of which a mirror
(CURVECAST_MIRROR) must have the files. In each ordering 20 or 100 runs are finished and 100 more
are under way, each cut at a random epoch. Prints a line per data set: runs that would have ended
better than all finished ones, how many of them the advice stops, and the share of the epochs left
that it saves.

Then, with no finished run, for 8 and 30 runs that train side by side from their first epoch on and
are asked about at eight epochs: how often the best one is stopped, the mean regret of the best that
is left (1 is the distance from the best run to the median one), and the share of all epochs that is
saved.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
from prior import present

from curvecast.curves import CurveSet
from curvecast.fidelity import online_epochs
from curvecast.protocol import seed_from
from curvecast.stopping.advice import MODEL, PROMISE, advise

SETS = (
    "lcbench/Fashion-MNIST",
    "lcbench/higgs",
    "lcbench/adult",
    "baker/metaqnn_cifar10",
    "baker/deep_resnets_tinyimagenet",
    "taskset/patch128_LSTM128_bs64",
)
UNDER_WAY, ASKED = 100, 8


def cut(curves: CurveSet, n: int, repeat: int) -> tuple[CurveSet, np.ndarray]:
    """`n` finished runs and 100 cut at a random epoch; and the gains with which these would end."""
    rng = np.random.default_rng(seed_from(curves.name, "cut", n, repeat))
    complete = np.flatnonzero(np.isfinite(curves.values[:, 1:]).all(axis=1))
    some = curves.take(rng.permutation(complete)[: n + UNDER_WAY])
    values = some.values.copy()
    for row in range(n, len(some)):
        values[row, rng.integers(2, values.shape[1]) :] = np.nan
    shown = CurveSet(
        some.configs, values, some.epochs, some.metric, some.direction, some.name,
        log_columns=some.log_columns,
    )  # fmt: skip
    return shown, some.sign * some.final


def outcome(
    curves: CurveSet, n: int, orderings: int, promise: float = PROMISE, model: str = MODEL
) -> tuple[int, int, float]:
    """Would-be winners, those of them that are stopped, and the share of epochs left saved."""
    winners = lost = saved = left = 0
    for repeat in range(orderings):
        shown, gains = cut(curves, n, repeat)
        advice = advise(shown, promise=promise, model=model)
        position = {run: row for row, run in enumerate(shown.configs["id"])}
        end = gains[[position[run] for run in advice["run"]]]
        stop = (advice["advice"] == "stop").to_numpy()
        wins = end > gains[:n].max()
        winners, lost = winners + wins.sum(), lost + (wins & stop).sum()
        saved += advice.loc[stop, "epochs_left"].sum()
        left += advice["epochs_left"].sum()
    return int(winners), int(lost), saved / left


def side_by_side(
    curves: CurveSet, n: int, orderings: int, promise: float
) -> tuple[int, float, float]:
    """How often the best of n runs is stopped, the mean regret, and the share of epochs saved."""
    complete = np.flatnonzero(np.isfinite(curves.values[:, 1:]).all(axis=1))
    lost = saved = regret = 0
    for repeat in range(orderings):
        rng = np.random.default_rng(seed_from(curves.name, "side by side", n, repeat))
        runs = curves.take(rng.permutation(complete)[:n])
        gains, alive = runs.sign * runs.final, np.ones(n, dtype=bool)
        for epoch in online_epochs(runs.epochs, ASKED):
            values = np.where(runs.epochs <= epoch, runs.values, np.nan)
            left = replace(runs, values=values, series={}).take(alive)
            advice = advise(left, promise=promise)
            stop = set(advice.loc[advice["advice"] == "stop", "run"])
            alive &= ~runs.configs["id"].isin(stop).to_numpy()
            saved += len(stop) * (runs.last_epoch - epoch)
        best = gains.max()
        lost += not alive[gains.argmax()]
        regret += (best - gains[alive].max()) / max(best - np.median(gains), 1e-300)
    return lost, regret / orderings, saved / (orderings * n * curves.last_epoch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--promise", type=float, default=PROMISE)
    parser.add_argument("--orderings", type=int, default=10)
    parser.add_argument("datasets", nargs="*", default=SETS)
    options = parser.parse_args()
    print("| data set | finished | would win | stopped of them | epochs left that it saves |")
    print("|---|---|---|---|---|")
    total = {20: [0, 0], 100: [0, 0]}
    sets = present(list(options.datasets))
    for curves in sets:
        for n, sums in total.items():
            winners, lost, saved = outcome(curves, n, options.orderings, options.promise)
            sums[0], sums[1] = sums[0] + winners, sums[1] + lost
            print(f"| {curves.name} | {n} | {winners} | {lost} | {saved:.2f} |", flush=True)
    for n, (winners, lost) in total.items():
        print(f"| all | {n} | {winners} | {lost} | |")
    print("\n| data set | side by side | best one stopped | regret | epochs that it saves |")
    print("|---|---|---|---|---|")
    for curves in sets:
        for n in (8, 30):
            lost, regret, saved = side_by_side(curves, n, options.orderings, options.promise)
            print(f"| {curves.name} | {n} | {lost} | {regret:.4f} | {saved:.2f} |", flush=True)


if __name__ == "__main__":
    main()
