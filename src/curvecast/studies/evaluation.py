"""Defines an evaluation of a study: what goes in, what comes out, and the objective between."""

from __future__ import annotations

import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curvecast.files import DataError

if TYPE_CHECKING:
    import ConfigSpace

    from curvecast.curves import CurveSet
    from curvecast.studies.settings import Settings

Config = dict[str, Any]
ConfigId = tuple[int, int, int]


class StudyError(RuntimeError):
    """A study that cannot go on; its log stays."""


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
    model_based : whether the configuration came from the sampler's model.
    """

    id: ConfigId
    config: Config
    budget: float
    loss: float
    info: Mapping[str, Any]
    reason: str | None
    seconds: Mapping[str, float]
    model_based: bool

    @property
    def trained(self) -> float:
        """Budget that the configuration had used after this evaluation; 0 where it failed."""
        return self.info.get("trained", self.budget) if self.reason is None else 0

    @property
    def cost(self) -> float:
        """Budget that this evaluation used; a failed one counts in full."""
        return self.info.get("cost", self.budget)


def ranked(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Those with a loss, the best first: the higher budget, and on one budget the lower loss."""
    whole = [e for e in evaluations if math.isfinite(e.loss)]
    return sorted(whole, key=lambda e: (-e.budget, e.loss))


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
    directory : folder for checkpoints, None where the study writes no files.
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


class Objective(ABC):
    """What a study minimises; it must be picklable when workers > 0.

    `evaluate` returns `{"loss": float, "info": {...}}`. Known keys of `info` are `cost` (budget
    used by this call, default: the budget), `trained` (budget used by this configuration so far,
    default: the budget), `stopped` (epoch at which a rule ended it), `evaluated` (the configuration
    that was evaluated in place of the asked one, which samplers learn from), `curve` and `epochs`
    (the whole learning curve so far), `series` (further curves by name), `validation` and `test`,
    and `reason` beside a loss that is not finite.
    """

    space: ConfigSpace.ConfigurationSpace
    # A method here turns configurations down; another one is drawn in place of each.
    possible: Callable[[Config], bool] | None = None

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """JSON that tells this objective from others; a study continues no log of another one."""

    @abstractmethod
    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Loss and information of `config` at `trial.budget`; raises where there is none."""

    def check(self, settings: Settings) -> None:  # noqa: B027
        """Raise DataError for settings of a study with which no evaluation can succeed."""

    def collect(self, evaluations: Sequence[Evaluation]) -> CurveSet | None:
        """The runs of a study as a curve collection; None where nothing is trained."""
        return None


class Evaluator:
    """Where evaluations run: inside this process, one at a time."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def submit(self, config: Config, trial: Trial) -> Future[Any]:
        """Start an evaluation.

        An objective says by EvaluationError that a configuration has no result; any other
        exception is its own error and ends the study.
        """
        future: Future[Any] = Future()
        try:
            future.set_result(self._objective.evaluate(config, trial))
        except EvaluationError as error:
            future.set_exception(error)
        return future

    def reason(self, error: BaseException) -> str:
        """Why an evaluation failed."""
        return str(error)

    def close(self) -> None:
        """End what was started."""


@contextmanager
def copying() -> Iterator[None]:
    """Raise DataError for an objective that cannot be copied or sent to another process."""
    try:
        yield
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        problem = f"the objective cannot be copied for the study's processes ({error})"
        raise DataError(problem) from error


def packed(objective: Objective) -> bytes:
    """An objective as another process loads it. Raises DataError, see `copying`."""
    with copying():
        return pickle.dumps(objective)


def native(value: Any) -> Any:
    """The same value out of Python's own types, which hpbandster's serialiser and JSON carry.

    Arrays and tensors become lists, or numbers where they have no axis.
    """
    if isinstance(value, Mapping):
        return {str(k): native(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [native(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


def completed(result: Any) -> tuple[dict[str, Any] | None, str | None]:
    """The objective's result in native types, and why it has failed.

    A loss that is not finite becomes inf; what the objective reports about a diverged run stays.
    """
    result = native(result)
    loss = result.get("loss") if isinstance(result, dict) else None
    if isinstance(loss, bool) or not isinstance(loss, int | float):
        return None, "the objective returned no loss"
    info = result.get("info", {})
    if math.isfinite(loss):
        return {"loss": float(loss), "info": info}, None
    info = {"reason": f"the loss is {loss}", **info}
    return {"loss": math.inf, "info": info}, info["reason"]
