"""Describes how a study searches; imports nothing that runs it, because every plan reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from curvecast.curves import DataError
from curvecast.studies import samplers
from curvecast.validation import Strict, one_line

Optimizer = Literal[samplers.NAMES]  # type: ignore[valid-type]

# Whole numbers stay whole: what is written and what reaches a job are the same.
Positive = Annotated[int | float, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1)]


class Parts(Strict):
    """How the runs of a collection are divided, and what is predicted from what.

    Attributes
    ----------
    n_train, n_validation, n_test : runs of the three splits, without a common configuration.
    tau : last epoch that is seen.
    in_file_order : split as in LCBench's task A (the first runs train); otherwise the order is
        drawn, from a seed that the collection's name gives.
    """

    n_train: AtLeastOne
    n_validation: AtLeastOne
    n_test: AtLeastOne
    tau: AtLeastOne
    in_file_order: bool = False


class Ray(Strict):
    """A Ray cluster that evaluates.

    Attributes
    ----------
    address : of the cluster; `auto` is the one that this machine belongs to, `local` this machine
        alone.
    num_cpus, num_gpus : that an evaluation takes.
    """

    address: str = "auto"
    num_cpus: AtLeastOne = 1
    num_gpus: Annotated[int | float, Field(ge=0)] = 0


class Search(Strict):
    """Keys of a search that a study definition and its settings share.

    Attributes
    ----------
    eta : one in eta configurations goes on to the next rung.
    min_budget, max_budget : budgets of the lowest and the highest rung; whole numbers (epochs)
        give whole rungs.
    iterations : number of brackets; default: 4, or no limit where a total ends the study.
        freeze_thaw uses the budget of as many brackets of BOHB.
    total_budget : no evaluation is started once this much budget is used; for studies inside
        this process only.
    total_seconds : no evaluation is started once the evaluations have taken so long, per worker;
        what an earlier, killed process evaluated counts.
    workers : processes that evaluate at the same time; 0 evaluates inside this process.
    ray : the cluster that the workers are on; default: processes of this machine.
    timeout : seconds after which one evaluation counts as hung; default: no limit.
    time_limit : seconds after which the study ends with an error; default: no limit.
    random_fraction : share of configurations that are drawn uniformly although there is a model;
        default: that of the sampler.
    points_to_evaluate : configurations to begin with, before the sampler proposes any.
    """

    eta: Annotated[int | float, Field(ge=2)] = 3
    min_budget: Positive = 1
    max_budget: Positive = 9
    iterations: AtLeastOne | None = None
    total_budget: Positive | None = None
    total_seconds: Positive | None = None
    workers: Annotated[int, Field(ge=0)] = 1
    ray: Ray | None = None
    timeout: Positive | None = None
    time_limit: Positive | None = None
    random_fraction: Annotated[int | float, Field(ge=0, le=1)] | None = None
    points_to_evaluate: list[dict[str, Any]] = Field([])

    @model_validator(mode="after")
    def _is_possible(self) -> Search:
        if self.min_budget > self.max_budget:
            raise ValueError("min_budget is above max_budget")
        if self.total_budget is not None and self.workers > 0:
            raise ValueError("total_budget needs workers: 0 (inside this process)")
        if self.ray is not None and not self.workers:
            raise ValueError("ray needs workers: the number of evaluations at a time")
        return self


class Settings(Search):
    """How one search of a study goes: `Search`, and which one it is.

    Attributes
    ----------
    name : name of the study.
    optimizer : name of a module in `studies/samplers`.
    seed : of the search.
    """

    name: str
    optimizer: Optimizer = "bohb"
    seed: int = 0

    def __init__(self, name: str, optimizer: str = "bohb", **search: Any) -> None:
        """Check the settings. Raises DataError."""
        given = {"name": name, "optimizer": optimizer, **search}
        try:
            super().__init__(**given)
        except ValidationError as error:
            problem = one_line(error, given, type(self).model_json_schema())
            raise DataError(f"study {name!r}: {problem}") from None

    @property
    def n_brackets(self) -> int | None:
        """Number of brackets; None where only a total ends the study."""
        ends = self.total_budget is not None or self.total_seconds is not None
        return self.iterations if self.iterations is not None or ends else 4

    @property
    def identity(self) -> dict[str, Any]:
        """What decides about the course of the study, without what only ends or speeds it."""
        ends = {"iterations", "total_budget", "total_seconds", "timeout", "time_limit"}
        return self.model_dump(exclude=ends | {"workers", "ray"})
