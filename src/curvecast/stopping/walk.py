"""Replays a search run by run: every run ends where a rule stops it, or at its own end."""

from __future__ import annotations

from bisect import insort

import numpy as np

from curvecast.stopping.accounting import Record, Replay, outcome
from curvecast.stopping.rule import Rule, stops
from curvecast.stopping.rules.oracle import Oracle

_NEVER = -1


def walk(
    record: Record,
    order: np.ndarray,
    at: np.ndarray,
    rule: Rule,
    *,
    n_full: int = 0,
    scores: np.ndarray | None = None,
) -> Replay:
    """Replay one search, one run after the other.

    Parameters
    ----------
    order : row positions in the order in which the runs are started.
    at : decision epochs, where the rule has none of its own.
    n_full : runs that are trained to the end first; none for a rule that compares no runs.
    scores : those of the rule where they are known, shape (n_runs, n_at).
    """
    at = rule.own_epochs(record.epochs, at)
    scores = np.asarray(rule.scores(record, at) if scores is None else scores, dtype=np.float64)
    asked = np.ones(len(record), dtype=bool)
    asked[order[: 0 if rule.alone else n_full]] = False
    marks, columns = rule.marks(record, at), record.columns(at)
    if marks is None:
        stopped = _beside_finished(record, order, rule, scores, asked)
    else:
        stopped = _beside_peers(record, order, rule, scores, asked, marks, columns)
    early = stopped != _NEVER
    ended = record.end.copy()
    ended[early] = np.minimum(record.end, columns[stopped])[early]
    return Replay(order, ended, ~early & record.complete, asked)


def oracle_speedup(record: Record, order: np.ndarray, at: np.ndarray, n_full: int) -> float:
    """Largest speedup of a search that loses no new best run, after `n_full` full runs."""
    return outcome(record, walk(record, order, at, Oracle(), n_full=n_full)).speedup


def _beside_finished(
    record: Record, order: np.ndarray, rule: Rule, scores: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Position of the decision epoch at which each run is stopped; bars come from final gains."""
    lowest = np.fmin.reduce(scores, axis=1, initial=np.inf).tolist()
    ask, final, complete = asked.tolist(), record.final.tolist(), record.complete.tolist()
    finished: list[float] = []
    bars = np.full(len(record), -np.inf)
    for run in order.tolist():
        if ask[run]:
            bars[run] = bar = rule.bar(finished)
            if stops(lowest[run], bar):
                continue
        if complete[run]:
            insort(finished, final[run])
    below = asked[:, None] & stops(scores, bars[:, None])
    return np.where(below.any(axis=1), np.argmax(below, axis=1), _NEVER)


def _beside_peers(
    record: Record,
    order: np.ndarray,
    rule: Rule,
    scores: np.ndarray,
    asked: np.ndarray,
    marks: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """The same where bars come from the marks of the runs that reached the same epoch."""
    earlier: list[list[float]] = [[] for _ in columns]
    stopped = np.full(len(record), _NEVER)
    for run in order.tolist():
        reached = int(np.searchsorted(columns, record.end[run]))
        for i, (score, mark) in enumerate(
            zip(scores[run, :reached].tolist(), marks[run, :reached].tolist(), strict=True)
        ):
            stop = asked[run] and stops(score, rule.bar(earlier[i]))
            insort(earlier[i], mark)
            if stop:
                stopped[run] = i
                break
    return stopped
