"""Recorded runs as one search problem for every tool, with numpy alone.

The environments of the peers exclude one another, so nothing here imports curvecast. `tables.py`
writes the tables; a search asks `Search.evaluate` and writes what it saw as a log; `table.py`
scores the logs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
import zlib
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TRAININGS = 60  # complete trainings that a search may use


class Ended(Exception):
    """The search has used its budget."""


class Search:
    """One search on one table.

    Attributes
    ----------
    parameters : name, and of a number `low, high, log, integer`, of a category `choices`.
    last, total : epochs of a complete training, and of the search.
    log : row, epoch reached and epochs used in all, after each evaluation.
    """

    def __init__(self, file: Path, trainings: float = TRAININGS) -> None:
        with np.load(file) as held:
            description = json.loads(str(held["description"]))
            self.losses, self._points = held["losses"], held["points"]
        self.parameters: dict[str, dict[str, Any]] = description["parameters"]
        # a diverged run is as bad as the worst that was recorded
        worst = self.losses[np.isfinite(self.losses)].max()
        self.losses = np.where(np.isfinite(self.losses), self.losses, worst)
        self.last, self.used = self.losses.shape[1], 0
        self.total = round(trainings * self.last)
        self._trials: dict[Hashable, tuple[int, int]] = {}  # row and epoch reached
        self.log: list[tuple[int, int, int]] = []

    def evaluate(self, key: Hashable, config: Mapping[str, Any], epochs: float) -> float:
        """Loss of trial `key` after `epochs`; a trial goes on where it was.

        A new trial is the nearest recorded run that no other trial has taken; once all are taken,
        all may be taken again. Raises `Ended` once the budget is used.
        """
        if self.used >= self.total:
            raise Ended
        if key not in self._trials:
            distances = ((self._points - self._point(config)) ** 2).sum(axis=1)
            taken = {row for row, _ in self._trials.values()}
            if len(taken) < len(distances):
                distances[list(taken)] = np.inf
            self._trials[key] = int(distances.argmin()), 0
        (row, before), epoch = self._trials[key], min(max(1, round(epochs)), self.last)
        if epoch > before:
            self.used += epoch - before
            self._trials[key] = row, epoch
            self.log.append((row, epoch, self.used))
        return float(self.losses[row, epoch - 1])

    def _point(self, config: Mapping[str, Any]) -> np.ndarray:
        parts: list[float] = []
        for name, p in self.parameters.items():
            if "choices" in p:
                parts += [(config[name] == choice) / np.sqrt(2) for choice in p["choices"]]
                continue
            ends = np.array([p["low"], p["high"], config[name]], dtype=np.float64)
            low, high, value = np.log(ends) if p["log"] else ends
            parts.append((value - low) / (high - low))
        return np.array(parts)


def seed_of(name: str, seed: int) -> int:
    """A seed of its own for each table."""
    return zlib.crc32(f"{name}/{seed}".encode()) % 2**31


def main(searches: Mapping[str, Callable[[Search, int], None]], description: str) -> None:
    """Run searches `name: f(search, seed)` on all tables; what has a log is not run again."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="what tables.py wrote")
    parser.add_argument("--searches", default=",".join(searches))
    parser.add_argument("--sets", default="*", help="pattern of tables, such as lcbench.*")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    for name in options.searches.split(","):
        for file in sorted((options.folder / "tables").glob(f"{options.sets}.npz")):
            for seed in range(options.seeds):
                log = options.folder / "logs" / name / f"{file.stem}.{seed}.csv"
                if log.exists():
                    continue
                search, began = Search(file), time.process_time()
                with contextlib.suppress(Ended):
                    searches[name](search, seed_of(file.stem, seed))
                write(log, search.log, time.process_time() - began)
            print(f"{name} {file.stem}", flush=True)


def write(file: Path, log: list[tuple[int, int, int]], seconds: float) -> None:
    """Write a log; `seconds` of a processor stand in its last column."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["row,epoch,used,seconds", *(f"{r},{e},{u},{seconds:.2f}" for r, e, u in log)]
    # whole or not at all; `curvecast.files` is not in the environments of the peers
    partial = file.with_suffix(".partial")
    partial.write_text("\n".join(lines) + "\n")
    partial.replace(file)
