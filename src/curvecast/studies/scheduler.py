"""Runs a study: decides which configuration is evaluated at which budget.

A study runs in one of two ways that make the same decisions: inside this process, for objectives
that cost next to nothing, such as recorded curves, or through hpbandster's master and workers
(`distributed`). Random numbers come from (seed, configuration id) alone, so a study that was
killed goes on exactly as it would have gone on.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import ConfigSpace
from ConfigSpace.exceptions import ForbiddenValueError
from hpbandster.core.base_iteration import BaseIteration
from hpbandster.core.dispatcher import Job

from curvecast.files import locked
from curvecast.protocol import seed_from
from curvecast.studies import identity, samplers
from curvecast.studies.evaluation import (
    Config,
    ConfigId,
    Evaluation,
    EvaluationError,
    Objective,
    StudyError,
    Trial,
    checked,
    native,
)
from curvecast.studies.log import CHECKPOINTS, StudyLog, resume
from curvecast.studies.settings import Settings

# Without a bug, as many draws all at random have a chance of random_fraction ** 30.
_DRAWS_UNTIL_MODEL = 30
_DRAWS_UNTIL_POSSIBLE = 1000


class Scheduler:
    """The decisions of a study, whichever way it runs.

    Attributes
    ----------
    done : finished evaluations, in order.
    """

    def __init__(
        self,
        settings: Settings,
        space: ConfigSpace.ConfigurationSpace,
        log: StudyLog,
        possible: Callable[[Config], bool] | None = None,
    ) -> None:
        self.settings, self.log = settings, log
        self.done: list[Evaluation] = []
        self._possible = None if possible is None else lambda config: possible(native(config))
        self._draws_with_model = self._draws_by_model = 0
        self.sampler = samplers.load(settings.optimizer)(space, settings)
        self.sampler.possible = self._possible

    def _seed(self, *names: object) -> None:
        self.sampler.seed(seed_from("study", self.settings.seed, *names))

    def bracket(self, number: int) -> BaseIteration:
        """The bracket with this number, nothing of it started."""
        return self.sampler.bracket(number, self.draw, self.log)

    def draw(self, config_id: ConfigId, budget: float) -> tuple[Config, dict[str, Any]]:
        """The configuration of this id: the logged one, or a new one from the id's own seed.

        What the space forbids or the objective calls impossible is drawn again.
        """
        if config_id in self.log.configs:
            return self.log.configs[config_id]
        for attempt in range(_DRAWS_UNTIL_POSSIBLE):
            self._seed("draw", *config_id, *([attempt] if attempt else []))
            self._draws_with_model += self.sampler.has_model
            try:
                config, by_model = self.sampler.propose(config_id, budget)
            except ForbiddenValueError:  # BOHB's densities know of no forbidden combinations
                continue
            self._draws_by_model += by_model
            if self._draws_with_model >= _DRAWS_UNTIL_MODEL and not self._draws_by_model:
                raise StudyError(f"none of {self._draws_with_model} draws came from the model")
            if self._possible is None or not self.sampler.redraws or self._possible(config):
                return native(config), {"model_based_pick": by_model}
        raise StudyError(f"none of {_DRAWS_UNTIL_POSSIBLE} drawn configurations is possible")

    def trial(self, config_id: ConfigId, budget: float, directory: Path | None) -> Trial:
        """Describe the evaluation of a configuration for the objective."""
        counts, budgets = self.sampler.shape(config_id[0])
        rung = budgets.index(budget)
        top = rung == len(budgets) - 1
        below = (self.log.evaluations.get((config_id, b)) for b in budgets[:rung])
        return Trial(
            id=config_id,
            seed=seed_from("trial", self.settings.seed, *config_id),
            budget=budget,
            trained=max((e.trained for e in below if e is not None), default=0),
            width=counts[rung],
            keep=1 if top else counts[rung + 1],
            highest=budgets[-1],
            directory=directory,
            history=self.done,
        )

    def new_result(self, job: Job) -> None:
        """Let the sampler learn from a logged job; the name is hpbandster's.

        It learns from the configuration that was evaluated.
        """
        budget = job.kwargs["budget"]
        evaluation = self.log.evaluations[job.id, budget]
        config = evaluation.info.get("evaluated", job.kwargs["config"])
        self._seed("learn", *job.id, budget)
        self.sampler.learn(job.id, config, budget, evaluation.loss)
        self.done.append(evaluation)


def note_divergence(job: Job) -> None:
    """Make the reason of a result without a finite loss the job's exception."""
    if job.result is not None and not math.isfinite(job.result["loss"]):
        job.exception = job.result["info"]["reason"]


def run(
    settings: Settings, objective: Objective, directory: str | Path | None = None
) -> list[Evaluation]:
    """Run a study to its end and return its evaluations in the order in which they finished.

    With a `directory` the study logs there in hpbandster's format (`configs.json`,
    `results.json`; hpbandster's `logged_results_to_HBS_result` opens them). A study that was
    killed goes on when this function is called again: every logged evaluation is looked up
    instead of computed. Logs of another study (settings, objective or code differ) are moved to
    `superseded/`.

    Raises
    ------
    StudyError : the study cannot go on (time limit, stalled, no possible configuration).
    DataError : a log that cannot be read, a space that the sampler cannot search, or another
        process that runs this study.
    """
    folder = None if directory is None else Path(directory)
    # What an objective learns in one study must not reach another one.
    objective = copy.deepcopy(objective)
    problem = "another process is running this study"
    with nullcontext() if folder is None else locked(folder / ".lock", problem):
        if folder is not None:
            resume(folder, _identity(settings, objective))
        scheduler = Scheduler(settings, objective.space, StudyLog(folder), objective.possible)
        if settings.workers:
            from curvecast.studies import distributed  # Pyro's servers start for workers alone

            distributed.run(scheduler, objective, folder)
        else:
            _run_here(scheduler, objective, folder)
        if folder is not None and (folder / CHECKPOINTS).exists():
            shutil.rmtree(folder / CHECKPOINTS)
    return scheduler.done


def _identity(settings: Settings, objective: Objective) -> dict[str, Any]:
    code = (__name__, samplers.module_of(settings.optimizer), type(objective).__module__)
    return native(
        {
            "settings": settings.identity,
            "objective": objective.identity(),
            "space": objective.space.to_serialized_dict(),
            "code": identity.of_code(*code),
        }
    )


def _run_here(scheduler: Scheduler, objective: Objective, directory: Path | None) -> None:
    """Run a study inside this process, in the order of a single worker.

    An objective says by EvaluationError that a configuration has no result; any other exception
    is its own error and ends the study.
    """
    n_brackets, total = scheduler.sampler.n_brackets, scheduler.settings.total_budget
    used = 0.0
    for number in count() if n_brackets is None else range(n_brackets):
        bracket = scheduler.bracket(number)
        while (planned := bracket.get_next_run()) is not None:
            if total is not None and used >= total:
                return
            config_id, config, budget = planned
            job = Job(config_id, config=config, budget=budget)
            if not scheduler.log.recall(job):
                job.time_it("submitted")
                job.time_it("started")
                try:
                    trial = scheduler.trial(config_id, budget, directory)
                    job.result = checked(objective.evaluate(config, trial))
                except EvaluationError as error:
                    job.exception = str(error)
                job.time_it("finished")
                note_divergence(job)
            scheduler.log(job)
            bracket.register_result(job)
            scheduler.new_result(job)
            used += scheduler.done[-1].cost
