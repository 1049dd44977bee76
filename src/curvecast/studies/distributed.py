"""Runs a study on hpbandster's master and workers, each with a process that may crash or hang.

hpbandster 0.7.4 predates numpy 2 and ConfigSpace 1. Every value that goes to a worker is a native
Python object, because its serialiser drops anything else and the study hangs. The name server
takes a free port of the loopback interface, run ids are unique, and a watchdog ends a study in
which nothing happens any more.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import Pyro4
from hpbandster.core.base_iteration import BaseIteration
from hpbandster.core.dispatcher import Job
from hpbandster.core.master import Master
from hpbandster.core.nameserver import NameServer
from hpbandster.core.worker import Worker
from pebble import ProcessExpired, ProcessPool

from curvecast.studies.evaluation import (
    Config,
    ConfigId,
    EvaluationError,
    Objective,
    StudyError,
    Trial,
    checked,
    native,
)
from curvecast.studies.scheduler import Scheduler, note_divergence

LOOPBACK = "127.0.0.1"
_STALLED_AFTER = 60.0
# The study looks after itself every second; a longer pause means that it was stopped (as SLURM does
# to jobs that make room for others).
_SUSPENDED = 20.0
_WORKERS_WITHIN = 60.0
_READY_WITHIN = 300.0
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


# --- the process that evaluates -------------------------------------------------------------------


class Evaluator:
    """A process that evaluates one configuration after the other, killed when it hangs."""

    def __init__(self, objective: Objective, timeout: float | None) -> None:
        self._timeout = timeout
        self.busy = False
        self._pool = ProcessPool(
            max_workers=1,
            initializer=_begin_process,
            # As bytes: the objective may fail to load, which is a reason and no broken pool.
            initargs=(pickle.dumps(objective), os.getpid()),
            context=get_context("spawn"),
        )
        self._pool.schedule(_load)

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Result of the objective. Raises EvaluationError with the reason where there is none."""
        self.busy = True
        try:
            self._ask(_load, (), _READY_WITHIN, "the objective is not loaded")
            question = (config, replace(trial, history=tuple(trial.history)))
            return checked(self._ask(_evaluate, question, self._timeout, "TimeoutError: no result"))
        finally:
            self.busy = False

    def _ask(
        self, function: Callable[..., Any], args: Sequence[Any], timeout: float | None, late: str
    ) -> Any:
        future = self._pool.schedule(function, args=args, timeout=timeout)
        try:
            error = future.exception()
        except CancelledError:
            raise EvaluationError("the study has ended") from None
        if error is None:
            return future.result()
        # What the objective raised comes with its traceback, also a TimeoutError of its own.
        if hasattr(error, "traceback"):
            raise EvaluationError(error.traceback)
        if isinstance(error, TimeoutError):
            raise EvaluationError(f"{late} after {timeout:g} s")
        if isinstance(error, ProcessExpired):
            raise EvaluationError(f"the process ended with exit code {error.exitcode}")
        raise EvaluationError(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """End the process."""
        self._pool.stop()
        self._pool.join()


_content: bytes
_objective: Objective | None = None


def _begin_process(content: bytes, parent: int) -> None:
    """Note the pickled objective, and end with the parent process."""
    global _content
    _content = content

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _load() -> None:
    global _objective
    if _objective is None:
        _objective = pickle.loads(_content)


def _evaluate(config: Config, trial: Trial) -> Any:
    assert _objective is not None
    return native(_objective.evaluate(config, trial))


@contextlib.contextmanager
def _spawning() -> Iterator[None]:
    """Let processes that start inside run one thread, and not the script of this process again."""
    main = vars(sys.modules["__main__"])
    script = {key: main.get(key) for key in ("__file__", "__spec__")}
    threads = {key: os.environ.get(key) for key in _ONE_THREAD}
    main |= dict.fromkeys(script)
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        main |= script
        for key, value in threads.items():
            os.environ.pop(key)
            if value is not None:
                os.environ[key] = value


# --- master and workers ---------------------------------------------------------------------------


class _Worker(Worker):
    """hpbandster's worker, its computation done by an `Evaluator`."""

    def __init__(
        self, evaluator: Evaluator, scheduler: Scheduler, directory: Path | None, **where: Any
    ) -> None:
        super().__init__(logger=_quiet_logger(), **where)
        self._evaluator, self._scheduler, self._directory = evaluator, scheduler, directory

    def compute(
        self, config_id: ConfigId, config: Config, budget: float, working_directory: str
    ) -> dict[str, Any]:
        bracket, rung, number = config_id
        trial = self._scheduler.trial((bracket, rung, number), budget, self._directory)
        return self._evaluator.evaluate(config, trial)


class _Master(Master):
    """hpbandster's master over a `Scheduler`; logged evaluations are not sent out again."""

    def __init__(self, scheduler: Scheduler, evaluators: Sequence[Evaluator], **where: Any) -> None:
        self._scheduler = scheduler
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._watchdog = Watchdog(scheduler.settings.time_limit, evaluators)
        super().__init__(
            config_generator=scheduler,
            result_logger=scheduler.log,
            logger=_quiet_logger(),
            ping_interval=3600,
            **where,
        )

    def wait_for_workers(self, min_n_workers: int = 1) -> None:
        until = time.monotonic() + _WORKERS_WITHIN
        while self.dispatcher.number_of_workers() < min_n_workers:
            if time.monotonic() > until:
                raise StudyError(f"no {min_n_workers} workers within {_WORKERS_WITHIN:g} s")
            self.dispatcher.trigger_discover_worker()
            time.sleep(0.05)

    def get_next_iteration(self, iteration: int, iteration_kwargs: Any) -> BaseIteration:
        return self._scheduler.bracket(iteration)

    def _submit_job(self, config_id: ConfigId, config: Config, budget: float) -> None:
        job = Job(config_id, config=config, budget=budget)
        if self._scheduler.log.recall(job):
            self.num_running_jobs += 1
            self.job_callback(job)
        else:
            super()._submit_job(config_id, native(config), native(budget))

    def job_callback(self, job: Job) -> None:
        if self._scheduler.log.closed:
            return
        if job.exception is not None:
            job.exception = job.exception.split(f"{EvaluationError.__name__}: ", 1)[-1].strip()
        note_divergence(job)
        try:
            super().job_callback(job)
        except BaseException as error:
            # This thread belongs to Pyro, which would drop the error: the study raises it.
            self._failure = error
            raise
        finally:
            self._watchdog.sign()
            with self.thread_cond:
                self.thread_cond.notify_all()

    def _queue_wait(self) -> None:
        """hpbandster's wait for a free place, woken every second to look after the study."""
        self._look_after()
        if self.num_running_jobs >= self.job_queue_sizes[1]:
            while self.num_running_jobs > self.job_queue_sizes[0]:
                self.thread_cond.wait()
                self._look_after()

    def _look_after(self) -> None:
        if self._failure is not None:
            raise StudyError(f"the study cannot go on: {self._failure}") from self._failure
        self._watchdog.check(self.num_running_jobs)

    def watch(self) -> None:
        """Wake the master every second until the study has ended; for a thread of its own."""
        while not self._ended.wait(1):
            with self.thread_cond:
                self.thread_cond.notify_all()

    def end(self) -> None:
        """Stop the watch and hpbandster's threads."""
        self._ended.set()
        self.shutdown(shutdown_workers=True)


class Watchdog:
    """Ends a study that is over its time limit, or in which nothing happens any more."""

    def __init__(self, time_limit: float | None, evaluators: Sequence[Evaluator]) -> None:
        self._limit, self._evaluators = time_limit, evaluators
        self._begun = self._last_sign = self._last_check = time.monotonic()

    def sign(self) -> None:
        """Note that something has happened."""
        self._last_sign = time.monotonic()

    def check(self, n_running: int) -> None:
        """Raise StudyError where the study cannot go on; called about every second.

        Parameters
        ----------
        n_running : evaluations that were sent out and have not come back.
        """
        now = time.monotonic()
        if now - self._last_check > _SUSPENDED:  # this process itself stood still
            self._last_sign = now
        self._last_check = now
        if now - self._begun > (self._limit or math.inf):
            raise StudyError(f"not finished within {self._limit:g} s")
        if not n_running or any(evaluator.busy for evaluator in self._evaluators):
            self._last_sign = now
        if now - self._last_sign > _STALLED_AFTER:
            raise StudyError(f"{n_running} evaluations were sent out and never begun")


def run(scheduler: Scheduler, objective: Objective, directory: Path | None) -> None:
    """Run a study by hpbandster's master, and workers that each own a process."""
    settings = scheduler.settings
    # Pyro's loops look up from their sockets this often; its 2 s are what an end would wait for.
    Pyro4.config.POLLTIMEOUT = 0.2
    run_id = f"{settings.name}.{settings.seed}.{uuid.uuid4().hex}".replace("/", ".")
    name_server = NameServer(run_id, host=LOOPBACK, port=0)
    with _spawning():
        evaluators = [Evaluator(objective, settings.timeout) for _ in range(settings.workers)]
        host, port = name_server.start()
        where = {"run_id": run_id, "nameserver": host, "nameserver_port": port, "host": LOOPBACK}
        master = _Master(scheduler, evaluators, **where)
        try:
            for number, evaluator in enumerate(evaluators):
                worker = _Worker(evaluator, scheduler, directory, id=number, **where)
                worker.run(background=True)
            threading.Thread(target=master.watch, daemon=True).start()
            master.run(n_iterations=scheduler.sampler.n_brackets, min_n_workers=settings.workers)
        finally:
            scheduler.log.closed = True
            for evaluator in evaluators:
                evaluator.close()
            master.end()
            name_server.shutdown()


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("curvecast.hpbandster")
    logger.setLevel(logging.ERROR)
    return logger
