"""Evaluates configurations on a Ray cluster, one machine or many.

All machines see the study's folder and the user's code under the same paths. Ray starts a trial
again whose process or machine is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Timer
from typing import Any

from curvecast.curves import DataError
from curvecast.studies.evaluation import Config, Evaluator, Objective, Trial, native, packed
from curvecast.studies.settings import Ray

_STARTED_AGAIN = 3


class RayEvaluator(Evaluator):
    """A place for one trial at a time, wherever the cluster has room."""

    def __init__(self, function: Any, content: Any, digest: str, timeout: float | None) -> None:
        self._function, self._content, self._digest = function, content, digest
        self._timeout, self._timed_out = timeout, False

    def submit(self, config: Config, trial: Trial) -> Future[Any]:
        """Start an evaluation; its time counts from here, the wait for a place included."""
        import ray

        folder = None if trial.directory is None else trial.directory.absolute()
        question = (config, replace(trial, history=tuple(trial.history), directory=folder))
        result = self._function.remote(self._content, self._digest, *question)
        self._timed_out = False

        def give_up() -> None:
            self._timed_out = True
            ray.cancel(result, force=True)

        future: Future[Any] = result.future()
        if self._timeout is not None:
            timer = Timer(self._timeout, give_up)
            timer.daemon = True
            timer.start()
            future.add_done_callback(lambda _: timer.cancel())
        return future

    def reason(self, error: BaseException) -> str:
        """Why an evaluation failed; with its traceback where the objective raised."""
        if self._timed_out:
            return f"TimeoutError: no result after {self._timeout:g} s"
        return str(error)


@contextlib.contextmanager
def evaluators(
    objective: Objective, number: int, timeout: float | None, cluster: Ray
) -> Iterator[Sequence[Evaluator]]:
    """Give so many places on the cluster; what is under way ends with the block.

    Raises DataError where there is no cluster at the address.
    """
    import ray

    content = packed(objective)
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    # what this process can import, an objective in a user's file included
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    try:
        ray.init(cluster.address, runtime_env={"env_vars": {"PYTHONPATH": paths}}, **quiet)
    except ConnectionError as error:
        raise DataError(
            f"no Ray cluster at {cluster.address}; `ray start --head` starts one, and the address "
            "local is this machine"
        ) from error
    try:
        needs = {"num_cpus": cluster.num_cpus, "num_gpus": cluster.num_gpus}
        function = ray.remote(max_retries=_STARTED_AGAIN, **needs)(_evaluate)
        stored, digest = ray.put(content), hashlib.sha256(content).hexdigest()
        yield [RayEvaluator(function, stored, digest, timeout) for _ in range(number)]
    finally:
        ray.shutdown()


# --- inside the cluster ---------------------------------------------------------------------------

_objectives: dict[str, Objective] = {}


def _evaluate(content: bytes, digest: str, config: Config, trial: Trial) -> object:
    if digest not in _objectives:
        _objectives.clear()
        _objectives[digest] = pickle.loads(content)
    return native(_objectives[digest].evaluate(config, trial))
