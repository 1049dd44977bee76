"""Shortens what Snakemake prints: a line per stage, and the progress with the time left."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

# What only the log file needs. Warnings, errors and the texts of the run itself are printed.
_EVENTS = ("run_info", "job_info", "job_started", "job_finished", "progress", "resources_info")
_TEXTS = ("Select jobs", "Building DAG", "Assuming ", "Using shell", "Conda environments: ignored")
_TENTHS = 10


class Progress(logging.Filter):
    """A filter of Snakemake's handler that writes lines of its own instead.

    The time left counts, for each job to come, the mean time of the finished jobs of its rule, and
    of all jobs where there is none yet.

    Parameters
    ----------
    stage_of : the stage of a rule.
    cores : jobs that run side by side.
    dryrun : whether nothing is run: then everything is printed.
    """

    def __init__(
        self, stage_of: Callable[[str], str], cores: int, dryrun: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._stage_of, self._cores, self._dryrun = stage_of, cores, dryrun
        self._planned: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._rules: dict[int, str] = {}
        self._began: dict[int, float] = {}
        self._started = time.monotonic()
        self._shown = 0

    def filter(self, record: Any) -> bool:
        """Whether a record is printed as it is."""
        event = str(getattr(record, "event", None))
        if self._dryrun():
            return True
        if event == "run_info":
            self._planned = Counter({k: n for k, n in record.stats.items() if k != "total"})
        elif event == "job_info":
            self._rules[record.jobid] = record.rule_name
        elif event == "job_started":
            self._began |= dict.fromkeys(record.jobs, time.monotonic())
        elif event == "job_finished":
            self._finish(record.job_id)
        return event not in _EVENTS and not record.getMessage().startswith(_TEXTS)

    def _finish(self, job: int) -> None:
        rule = self._rules.get(job, "all")
        self._done[rule] += 1
        self._seconds[rule] += time.monotonic() - self._began.get(job, time.monotonic())
        stage = self._stage_of(rule)
        of_stage = [r for r in self._planned if self._stage_of(r) == stage]
        done, planned = self._done.total(), self._planned.total()
        complete = all(self._done[r] >= self._planned[r] for r in of_stage)
        if complete:
            jobs = sum(self._planned[r] for r in of_stage)
            self._write(f"{stage}: done, {jobs} job{'s' if jobs > 1 else ''}")
        tenth = _TENTHS * done // max(planned, 1)
        if tenth > self._shown and done < planned:
            self._shown = tenth
            self._write(f"{done} of {planned} jobs, about {duration(self.left())} left")

    def left(self) -> float:
        """Seconds left, about."""
        mean = sum(self._seconds.values()) / max(self._done.total(), 1)
        work = sum(
            (number - self._done[rule])
            * (self._seconds[rule] / self._done[rule] if self._done[rule] else mean)
            for rule, number in self._planned.items()
        )
        return work / self._cores

    def _write(self, text: str) -> None:
        passed = duration(time.monotonic() - self._started)
        print(f"[{passed:>6}] {text}", file=sys.stderr, flush=True)


def interrupted(unlock: Callable[[], None], *_: Any) -> None:
    """End this process at once and without a traceback; jobs end with it (`curvecast.__init__`).

    Snakemake's own way ends in five tracebacks of 150 lines.
    """
    print("\nInterrupted: finished jobs count, the same command goes on.", file=sys.stderr)
    unlock()
    sys.stderr.flush()
    os._exit(130)


def duration(seconds: float) -> str:
    """A time with its unit: 40 s, 12 min, 3.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
