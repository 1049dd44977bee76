"""How much sooner a search ends, and is as good, with W trainings at a time.

    CURVECAST_MIRROR=... python benchmarks/workers.py

Recorded curves of LCBench in simulated time: an epoch of a configuration takes exp(z), z standard
normal and its own, so that one configuration in twenty takes five times as long as the middle one.
Every search may use 3000 epochs. Printed per search and W: `busy`, the share of their time for
which the workers train until the last training begins, so that W of them use the epochs `busy` x W
times sooner; `as_good`, the time of one worker over the time of W, divided by W, until the regret,
as a mean over all data sets and seeds, is that of one worker after half of its time, with its 95 %
interval over data sets drawn again; and the regret after a third, half and all of the epochs.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, collection_of
from curvecast.data.readers import read
from curvecast.data.registry import load_registry
from curvecast.protocol import seed_from
from curvecast.studies import summary
from curvecast.studies.evaluation import completed, native
from curvecast.studies.log import StudyLog
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.scheduler import Scheduler
from curvecast.studies.settings import Settings

TOTAL = 3000.0
# Time times workers; an epoch takes exp(1/2) = 1.65 in the mean.
GRID = np.linspace(0, 4 * TOTAL, 1201)
RESAMPLES = 1000


def simulated(
    curves: CurveSet, search: str, seed: int, workers: int
) -> tuple[np.ndarray, float, float]:
    """Normalised regret at GRID / workers, when the last training begins, and `busy`.

    Times are in epochs of the middle configuration. Before the first result the regret is 1.
    """
    objective = Recorded(curves)
    settings = Settings(
        *(curves.name, search),
        seed=seed_from(curves.name, seed),
        **{"max_budget": 50, "total_budget": TOTAL, "workers": 0},
    )
    scheduler = Scheduler(settings, objective.space, StudyLog(None), objective.possible)
    running: list[tuple[float, int, object]] = []
    times, ends, numbers, now = [], [], count(), 0.0
    while True:
        while len(running) < workers and (job := scheduler.next_job()) is not None:
            config, budget = native(job.kwargs["config"]), job.kwargs["budget"]
            result = objective.evaluate(config, scheduler.trial(job.id, budget, None))
            job.result, job.exception = completed(result)
            job.timestamps = dict.fromkeys(("submitted", "started", "finished"), now)
            slow = math.exp(np.random.default_rng(seed_from(str(config))).standard_normal())
            end = now + slow * result["info"].get("cost", budget)
            ends.append((now, end))
            heapq.heappush(running, (end, next(numbers), job))
        if not running:
            break
        now, _, job = heapq.heappop(running)
        scheduler.finish(job)
        times.append(now)
    frame = summary.evaluations_frame(scheduler.done, curves.name, search, seed)
    spans = np.array(ends)
    last = spans[:, 0].max()
    busy = (np.minimum(spans[:, 1], last) - spans[:, 0]).sum() / (workers * last)
    regret = np.r_[1.0, summary.regret(frame, curves).fillna(1.0)]
    return regret[np.searchsorted(times, GRID / workers, side="right")], last, float(busy)


def as_good(alone: np.ndarray, regret: np.ndarray, half: int) -> float:
    """How much sooner mean regret (GRID,) is at the value of `alone` at point `half`, over W."""
    reached = [np.flatnonzero(values <= alone[half]) for values in (alone, regret)]
    return GRID[reached[0][0]] / GRID[reached[1][0]] if len(reached[1]) else 0.0


def compared(regrets: dict[int, np.ndarray], ends: np.ndarray) -> pd.DataFrame:
    """`as_good` and regrets of every number of workers from mean regrets (data sets, GRID).

    `ends` are those of one worker per data set.
    """
    rng, n = np.random.default_rng(0), len(ends)
    drawn = [np.arange(n), *(rng.integers(n, size=n) for _ in range(RESAMPLES))]
    rows = []
    for workers, regret in regrets.items():
        ratios = []
        for sets in drawn:
            half = int(np.searchsorted(GRID, ends[sets].mean() / 2))
            ratios.append(as_good(regrets[1][sets].mean(axis=0), regret[sets].mean(axis=0), half))
        low, high = np.quantile(ratios[1:], [0.025, 0.975])
        at = [int(np.searchsorted(GRID, share * ends.mean())) for share in (1 / 3, 1 / 2, 1)]
        values = dict(zip(("1/3", "1/2", "all"), regret.mean(axis=0)[at], strict=True))
        rows.append({"workers": workers, "as_good": ratios[0], "low": low, "high": high, **values})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--searches", nargs="+", default=["bohb", "freeze_thaw"])
    parser.add_argument("--sets", nargs="+", help="default: all")
    options = parser.parse_args()
    root = Path(os.environ["CURVECAST_MIRROR"])
    stanzas = {k: v for k, v in load_registry().items() if collection_of(k) == "lcbench"}
    names = [f"lcbench/{name}" for name in options.sets] if options.sets else list(stanzas)
    sizes, tables = [1, *options.workers], []
    for search in options.searches:
        regrets: dict[int, list[np.ndarray]] = {workers: [] for workers in sizes}
        busy: dict[int, list[float]] = {workers: [] for workers in sizes}
        ends = []
        for name in names:
            paths = [root / file["path"] for file in stanzas[name]["files"]]
            curves = read(name, stanzas[name], paths)
            for workers in sizes:
                runs = [simulated(curves, search, seed, workers) for seed in range(options.seeds)]
                regrets[workers].append(np.mean([run[0] for run in runs], axis=0))
                busy[workers] += [run[2] for run in runs]
                ends += [np.mean([run[1] for run in runs])] * (workers == 1)
            print(search, name, *(round(regrets[w][-1][-1], 3) for w in sizes), flush=True)
        table = compared({w: np.array(rows) for w, rows in regrets.items()}, np.array(ends))
        means = [float(np.mean(busy[workers])) for workers in sizes]
        tables.append(table.assign(search=search, busy=means))
    print(pd.concat(tables).set_index(["search", "workers"]).round(3).to_string())


if __name__ == "__main__":
    main()
