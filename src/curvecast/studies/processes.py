"""Evaluates configurations in processes that may crash or hang, by pebble."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from multiprocessing import get_context, resource_tracker
from typing import Any

from pebble import ProcessExpired, ProcessPool

from curvecast.studies.evaluation import (
    Config,
    EvaluationError,
    Evaluator,
    Objective,
    Trial,
    native,
    packed,
)

_READY_WITHIN = 300.0
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ProcessEvaluator(Evaluator):
    """One process, which another one replaces when it crashes or is killed because it hangs."""

    def __init__(self, objective: Objective, timeout: float | None) -> None:
        self._timeout = timeout
        self._pool = ProcessPool(
            max_workers=1,
            initializer=_begin,
            # As bytes: an objective that fails to load fails the evaluations, not the pool.
            initargs=(packed(objective), os.getpid()),
            context=get_context("spawn"),
        )
        self.loaded = self._pool.schedule(_load, timeout=_READY_WITHIN)

    def submit(self, config: Config, trial: Trial) -> Future[object]:
        """Start an evaluation; its time counts from when the objective is loaded."""
        self._pool.schedule(_load, timeout=_READY_WITHIN)
        question = (config, replace(trial, history=tuple(trial.history)))
        return self._pool.schedule(_evaluate, args=question, timeout=self._timeout)

    def reason(self, error: BaseException) -> str:
        """Why an evaluation failed; with its traceback where the objective raised."""
        if hasattr(error, "traceback"):
            return str(error.traceback)
        if isinstance(error, TimeoutError):
            return f"TimeoutError: no result after {self._timeout:g} s"
        if isinstance(error, ProcessExpired):
            return f"the process ended with exit code {error.exitcode}"
        return f"{type(error).__name__}: {error}"

    def close(self) -> None:
        """End the process."""
        self._pool.stop()
        self._pool.join()


@contextlib.contextmanager
def evaluators(
    objective: Objective, number: int, timeout: float | None
) -> Iterator[Sequence[Evaluator]]:
    """Give so many processes that have loaded the objective, and end them with the block.

    They run one thread each, and not the script of this process again as spawned processes do. An
    interrupt from the keyboard reaches all processes; this one alone acts on it.
    """
    main = vars(sys.modules["__main__"])
    script: dict[str, Any] = {key: main[key] for key in ("__file__", "__spec__") if key in main}
    threads = {key: os.environ.get(key) for key in _ONE_THREAD}
    main |= dict.fromkeys(script)  # a notebook has no file, and still has none afterwards
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    started: list[ProcessEvaluator] = []
    try:
        # The pools' threads inherit what is blocked here, and their processes from them; the
        # first process of all unblocks it.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            started += [ProcessEvaluator(objective, timeout) for _ in range(number)]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        wait([evaluator.loaded for evaluator in started])
        yield started
    finally:
        for evaluator in started:
            evaluator.close()
        main |= script
        for key, value in threads.items():
            os.environ.pop(key)
            if value is not None:
                os.environ[key] = value


# --- inside the process ---------------------------------------------------------------------------

_content: bytes
_objective: Objective | None = None


def _begin(content: bytes, parent: int) -> None:
    """Note the pickled objective, and end with the parent process."""
    global _content
    _content = content

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _load() -> Objective:
    global _objective
    if _objective is None:
        _objective = pickle.loads(_content)
    return _objective


def _evaluate(config: Config, trial: Trial) -> object:
    try:
        return native(_load().evaluate(config, trial))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # it would end the process, and its message would be lost
            raise EvaluationError(f"{type(error).__name__}: {error}") from None
        raise
