"""How much sooner a search is as good with W trainings at a time.

    CURVECAST_MIRROR=... python benchmarks/workers.py

Recorded curves of LCBench in simulated time: an epoch of a configuration takes exp(z), z standard
normal and its own, so that one configuration in twenty takes five times as long as the middle one.
Every search may use 3000 epochs. Printed per search and W, as means over data sets with their
standard error: `busy`, the share of their time for which the workers train until the last training
begins, and `as_good`, the time of one worker over the time of W, divided by W, until the mean
regret of all seeds is that of one worker after half of its time.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
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
# On these the margin and the share of freeze_thaw were chosen.
SETS = ("APSFailure", "airlines", "connect-4", "jannis", "numerai28.6")


def simulated(curves: CurveSet, search: str, seed: int, workers: int) -> tuple[pd.Series, float]:
    """Normalised regret by the time (in epochs of the middle configuration), and `busy`."""
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
    return pd.Series(summary.regret(frame, curves).to_numpy(), index=times), float(busy)


def compared(curves: CurveSet, search: str, seeds: int, sizes: list[int]) -> pd.DataFrame:
    """`busy` and `as_good` of every number of workers."""
    rows, goal, alone = [], math.nan, math.nan
    for workers in sizes:
        runs, busy = zip(
            *(simulated(curves, search, s, workers) for s in range(seeds)), strict=True
        )
        times = np.unique(np.concatenate([run.index for run in runs]))
        regret = np.mean([run.asof(times).fillna(np.inf) for run in runs], axis=0)
        if workers == 1:
            goal = regret[np.searchsorted(times, times[-1] / 2)]
        reached = times[regret <= goal].min(initial=math.inf)
        alone = reached if workers == 1 else alone
        row = {"data set": curves.name, "search": search, "workers": workers}
        rows.append({**row, "busy": np.mean(busy), "as_good": alone / reached / workers})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--searches", nargs="+", default=["bohb", "freeze_thaw"])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    options = parser.parse_args()
    parts = []
    for name in options.sets:
        stanza = load_registry()[f"lcbench/{name}"]
        root = Path(os.environ["CURVECAST_MIRROR"])
        curves = read(f"lcbench/{name}", stanza, [root / file["path"] for file in stanza["files"]])
        for search in options.searches:
            parts.append(compared(curves, search, options.seeds, [1, *options.workers]))
            print(parts[-1].round(2).to_string(index=False, header=False), flush=True)
    table = pd.concat(parts).groupby(["search", "workers"])[["busy", "as_good"]]
    print(table.agg(["mean", "sem"]).round(3).to_string())


if __name__ == "__main__":
    main()
