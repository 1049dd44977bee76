"""One evaluation of a study: what goes in, what comes out, and the process that computes it."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import ConfigSpace

_READY_WITHIN = 300.0
_CHILD = "from curvecast.studies.evaluation import _evaluate_for; _evaluate_for({fd}, {parent})"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Config = dict[str, Any]
ConfigId = tuple[int, int, int]


class EvaluationError(RuntimeError):
    """An evaluation without a usable result; the text is its reason."""


@dataclass(frozen=True)
class Evaluation:
    """One finished evaluation of a study.

    Attributes
    ----------
    id : (bracket, rung in which the configuration was drawn, number in that rung).
    config : hyper-parameters, native Python values.
    budget : budget of the rung.
    loss : what is minimised; inf where the evaluation failed.
    info : what the objective reports (curve, cost, scores, ...); empty where it raised.
    reason : why it failed, otherwise None.
    seconds : times since the epoch under `submitted`, `started`, `finished`.
    model_based : whether the configuration came from BOHB's model.
    """

    id: ConfigId
    config: Config
    budget: float
    loss: float
    info: Mapping[str, Any]
    reason: str | None
    seconds: Mapping[str, float]
    model_based: bool


@dataclass(frozen=True)
class Trial:
    """What an objective may know about the evaluation that it is asked for.

    Attributes
    ----------
    id : configuration id.
    seed : for everything random in this configuration's training; the same on every rung.
    budget : of this rung.
    trained : budget that this configuration already used on lower rungs.
    width, keep : how many configurations this rung has, and how many of them go on (1 on the
        highest rung).
    highest : budget of the highest rung.
    directory : folder for checkpoints, None where the study keeps no files.
    history : the evaluations that the study has finished so far, in order.
    """

    id: ConfigId
    seed: int
    budget: float
    trained: float
    width: int
    keep: int
    highest: float
    directory: Path | None
    history: Sequence[Evaluation]

    @property
    def top(self) -> bool:
        """Whether this is the highest rung."""
        return self.budget == self.highest


class Objective(Protocol):
    """What a study minimises; it must be picklable when workers > 0.

    `evaluate` returns `{"loss": float, "info": {...}}`. Known keys of `info` are `cost` (budget
    used by this call, default: the budget), `trained` (budget used by this configuration so far,
    default: the budget), `stopped` (epoch at which a rule ended it), `evaluated` (the configuration
    that was looked at in place of the asked one, which models learn from), `curve` and `epochs`
    (the whole learning curve so far), `series` (further curves by name), `validation` and `test`,
    and `reason` beside a loss that is not finite. An objective may have a method
    `possible(config)`; a configuration that it turns down is drawn again.
    """

    space: ConfigSpace.ConfigurationSpace

    def identity(self) -> dict[str, Any]:
        """JSON that tells this objective from others; logs of another one are not taken up."""
        ...

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Loss and information of `config` at `trial.budget`; raises where there is none."""
        ...


def native(value: Any) -> Any:
    """The same value out of Python's own types, which hpbandster's serialiser and JSON carry."""
    if isinstance(value, Mapping):
        return {str(k): native(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return native(value.tolist())
    if isinstance(value, list | tuple):
        return [native(v) for v in value]
    if isinstance(value, np.str_):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def trained_of(evaluation: Evaluation) -> float:
    """Budget that the configuration had used after this evaluation; 0 where it failed."""
    if evaluation.reason is not None:
        return 0
    return evaluation.info.get("trained", evaluation.budget)


def cost_of(evaluation: Evaluation) -> float:
    """Budget that this evaluation used; a failed one counts in full."""
    return evaluation.info.get("cost", evaluation.budget)


def checked(result: Any) -> dict[str, Any]:
    """The objective's result in native types; a loss that is not finite becomes inf.

    What the objective reports about a diverged run is kept, and `info["reason"]` says why it has
    failed. Raises EvaluationError where there is no number at all.
    """
    result = native(result)
    loss = result.get("loss") if isinstance(result, dict) else None
    if isinstance(loss, bool) or not isinstance(loss, int | float):
        raise EvaluationError("the objective returned no loss")
    info = result.get("info", {})
    if not math.isfinite(loss):
        return {"loss": math.inf, "info": {"reason": f"the loss is {loss}", **info}}
    return {"loss": float(loss), "info": info}


class Evaluator:
    """A process that evaluates one configuration after the other, killed when it hangs."""

    def __init__(self, objective: Objective, timeout: float | None) -> None:
        self._objective, self._timeout = objective, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self.busy = False

    def start(self) -> None:
        """Start the process and hand it the objective; `evaluate` waits until it is loaded."""
        self._pipe, child = Pipe()
        environment = os.environ | dict.fromkeys(_ONE_THREAD, "1")
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        # A session of its own: an interrupt from the keyboard is the study's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD.format(fd=child.fileno(), parent=os.getpid())],
            pass_fds=[child.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        child.close()
        self._known = 0
        self._ready = False

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Result of the objective. Raises EvaluationError with the reason where there is none."""
        self.busy = True
        try:
            if self._process is None and not self._closed:
                self.start()
            if not self._ready:
                self._ask(self._objective, _READY_WITHIN, "the objective is not loaded")
                self._ready = True
            news = list(trial.history[self._known :])
            self._known += len(news)
            question = (config, {**vars(trial), "history": news})
            return checked(self._ask(question, self._timeout, "TimeoutError: no result"))
        finally:
            self.busy = False

    def _ask(self, question: Any, timeout: float | None, problem: str) -> Any:
        try:
            # Not `send`: its pickler hands tensors over by shared memory, which needs a key that
            # the process does not have.
            self._pipe.send_bytes(pickle.dumps(question))
            if not self._pipe.poll(timeout):
                self._kill()
                raise EvaluationError(f"{problem} after {timeout:g} s")
            good, answer = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            code = self._kill(patience=5.0)
            raise EvaluationError(f"the process ended with exit code {code}") from error
        if not good:
            if not self._ready:
                self._kill()
            raise EvaluationError(answer)
        return answer

    def _kill(self, patience: float = 0.0) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        process.kill()
        return process.wait()

    def close(self) -> None:
        """End the process for good."""
        self._closed = True
        self._kill()


def _evaluate_for(fd: int, parent: int) -> None:
    """Main loop of an evaluating process; ends with its parent."""
    pipe = Connection(fd)
    history: list[Evaluation] = []
    with contextlib.suppress(EOFError), ThreadPoolExecutor(1) as pool:
        content = pipe.recv_bytes()
        try:
            objective = pickle.loads(content)
        except Exception:  # whatever a user's class raises; it becomes the evaluation's reason
            pipe.send((False, traceback.format_exc()))
            return
        pipe.send((True, None))
        while True:
            config, described = pickle.loads(pipe.recv_bytes())
            history.extend(described.pop("history"))
            trial = Trial(**described, history=history)
            future = pool.submit(objective.evaluate, config, trial)
            while not wait([future], timeout=0.5).done:
                if os.getppid() != parent:
                    os._exit(1)
            error = future.exception()
            if error is None:
                pipe.send((True, native(future.result())))
            else:
                pipe.send((False, "".join(traceback.format_exception(error))))
