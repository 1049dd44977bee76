"""Runs a study: decides which configuration is evaluated at which budget.

Evaluations run inside this process, for objectives that cost next to nothing, such as recorded
curves, or in several processes; the decisions are the same. Random numbers come from (seed,
configuration id) alone, so a study that was killed goes on exactly as it would have gone on.
"""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import ConfigSpace
from ConfigSpace.exceptions import ForbiddenValueError
from hpbandster.core.base_iteration import BaseIteration
from hpbandster.core.dispatcher import Job

from curvecast.curves import DataError
from curvecast.files import locked
from curvecast.protocol import seed_from
from curvecast.studies import identity, samplers
from curvecast.studies.evaluation import (
    Config,
    ConfigId,
    Evaluation,
    Evaluator,
    Objective,
    StudyError,
    Trial,
    completed,
    copying,
    native,
)
from curvecast.studies.log import CHECKPOINTS, StudyLog, resume
from curvecast.studies.settings import Settings

# That so many draws are all at random though there is a model is a bug where the chance of it, the
# sampler's share of random draws to that power, is below the second number.
_DRAWS_UNTIL_MODEL, _BY_CHANCE = 30, 1e-14
_DRAWS_UNTIL_POSSIBLE = 1000
# So many evaluations in a row without a result are no property of their configurations: the
# objective is broken, or what it needs (data, a device, space on a disk) is gone.
_BROKEN_IN_A_ROW = 20
_TICK = 1.0


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
        _check(settings.points_to_evaluate, space, possible)
        n_brackets = self.sampler.n_brackets
        self._numbers = iter(count() if n_brackets is None else range(n_brackets))
        self._brackets: dict[int, BaseIteration] = {}
        self._used = self._seconds = 0.0

    def _seed(self, *names: object) -> None:
        self.sampler.seed(seed_from("study", self.settings.seed, *names))

    def next_job(self) -> Job | None:
        """What to evaluate next; None where what runs must finish first, or nothing is left."""
        while not self._spent():
            for number, bracket in list(self._brackets.items()):
                if (planned := bracket.get_next_run()) is not None:
                    config_id, config, budget = planned
                    return Job(config_id, config=config, budget=budget)
                if bracket.is_finished:
                    del self._brackets[number]
            new = next(self._numbers, None)
            if new is None:
                return None
            self._brackets[new] = self.sampler.bracket(new, self.draw, self.log)
        return None

    def _spent(self) -> bool:
        most, seconds = self.settings.total_budget, self.settings.total_seconds
        workers = max(self.settings.workers, 1)
        return self._used >= (most or math.inf) or self._seconds >= workers * (seconds or math.inf)

    def draw(self, config_id: ConfigId, budget: float) -> tuple[Config, dict[str, Any]]:
        """The configuration of this id: the logged one, a given one, or one from the id's own seed.

        What the space forbids or the objective calls impossible is drawn again.
        """
        logged, points = self.log.configs, self.settings.points_to_evaluate
        known = logged.get(config_id)
        if known is None and len(logged) < len(points):
            known = points[len(logged)], {"model_based_pick": False}
        if known is not None:
            self.sampler.note(known[0])
            return known
        for attempt in range(_DRAWS_UNTIL_POSSIBLE):
            self._seed("draw", *config_id, *([attempt] if attempt else []))
            self._draws_with_model += self.sampler.has_model
            try:
                config, by_model = self.sampler.propose(config_id, budget)
            except ForbiddenValueError:  # BOHB's densities know of no forbidden combinations
                continue
            self._draws_by_model += by_model
            drawn = self._draws_with_model
            by_chance = self.sampler.share_at_random**drawn
            if not self._draws_by_model and drawn >= _DRAWS_UNTIL_MODEL and by_chance < _BY_CHANCE:
                raise StudyError(f"none of {drawn} draws came from the model")
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

    def finish(self, job: Job) -> None:
        """Log a job that was evaluated, and let its bracket and the sampler learn from it.

        The sampler learns from the configuration that was evaluated.
        """
        self.log(job)
        self._brackets[job.id[0]].register_result(job)
        budget = job.kwargs["budget"]
        evaluation = self.log.evaluations[job.id, budget]
        config = evaluation.info.get("evaluated", job.kwargs["config"])
        self._seed("learn", *job.id, budget)
        self.sampler.learn(job.id, config, budget, evaluation.loss)
        self.done.append(evaluation)
        self._used += evaluation.cost
        self._seconds += evaluation.seconds["finished"] - evaluation.seconds["started"]


def _check(
    points: Sequence[Config],
    space: ConfigSpace.ConfigurationSpace,
    possible: Callable[[Config], bool] | None,
) -> None:
    """Raise DataError for a category or a given configuration that the study cannot evaluate."""
    for name, parameter in space.items():
        for choice in getattr(parameter, "choices", ()):
            if native(choice) is not None and not isinstance(native(choice), str | float | int):
                problem = f"the category {choice!r} is no text, number or truth value"
                raise DataError(problem, column=name)
    for number, point in enumerate(points, start=1):
        try:
            ConfigSpace.Configuration(space, values=point)
        except (ValueError, KeyError) as error:
            problem = " ".join(str(error).split())
            raise DataError(f"points_to_evaluate: number {number} ({problem})") from error
        if possible is not None and not possible(point):
            raise DataError(f"points_to_evaluate: number {number} cannot be trained")


# Is told of the evaluations that have finished, and of the configurations and budgets under way.
Watch = Callable[[Sequence[Evaluation], Sequence[tuple[Config, float]]], None]


def run(
    settings: Settings,
    objective: Objective,
    directory: str | Path | None = None,
    watch: Watch = lambda done, running: None,
) -> list[Evaluation]:
    """Run a study to its end and return its evaluations in the order in which they finished.

    With a `directory` the study logs there in hpbandster's format (`configs.json`,
    `results.json`; hpbandster's `logged_results_to_HBS_result` opens them). A study that was
    killed goes on when this function is called again: every logged evaluation is read
    instead of computed. Logs of another study (settings, objective or code differ) are moved to
    `superseded/`, and come back when it is run again next. `watch` is called before every wait for
    an evaluation, once a second or more often; what it raises ends the study.

    Raises
    ------
    StudyError : the study cannot go on (time limit, no possible configuration, 20 evaluations in a
        row that raised or crashed: these are not logged, so that they are evaluated again).
    DataError : a log that cannot be read, a space that the sampler cannot search, settings that
        the objective cannot be evaluated with, or another process that runs this study.
    """
    folder = None if directory is None else Path(directory)
    objective.check(settings)
    # What an objective learns in one study must not reach another one.
    with copying():
        objective = copy.deepcopy(objective)
    problem = "another process is running this study"
    with nullcontext() if folder is None else locked(folder / ".lock", problem):
        scheduler = Scheduler(settings, objective.space, StudyLog(None), objective.possible)
        with _evaluators(settings, objective) as evaluators:
            # Here: a study that is refused leaves the log of another one where it is.
            if folder is not None:
                resume(folder, _identity(settings, objective))
                scheduler.log = StudyLog(folder)
            _evaluate_all(scheduler, evaluators, folder, watch)
        if folder is not None and (folder / CHECKPOINTS).exists():
            shutil.rmtree(folder / CHECKPOINTS)
    return scheduler.done


def _evaluators(
    settings: Settings, objective: Objective
) -> AbstractContextManager[Sequence[Evaluator]]:
    # Here, because each of these needs a library that the others do without.
    if not settings.workers:
        return nullcontext([Evaluator(objective)])
    if settings.ray is not None:
        from curvecast.studies import cluster

        return cluster.evaluators(objective, settings.workers, settings.timeout, settings.ray)
    from curvecast.studies import processes

    return processes.evaluators(objective, settings.workers, settings.timeout)


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


def _evaluate_all(
    scheduler: Scheduler, evaluators: Sequence[Evaluator], directory: Path | None, watch: Watch
) -> None:
    """Run a study on evaluators, each of which has at most one evaluation at a time."""
    limit = scheduler.settings.time_limit or math.inf
    began = time.monotonic()
    running: dict[Future[Any], tuple[Job, Evaluator]] = {}
    free, broken = list(evaluators), 0
    while (job := scheduler.next_job() if free else None) is not None or running:
        if job is not None and scheduler.log.recall(job):
            scheduler.finish(job)
            continue
        if job is not None:
            job.time_it("submitted")
            job.time_it("started")
            config, budget = job.kwargs["config"], job.kwargs["budget"]
            evaluator = free.pop()
            future = evaluator.submit(native(config), scheduler.trial(job.id, budget, directory))
            running[future] = (job, evaluator)
            continue
        under_way = [(job.kwargs["config"], job.kwargs["budget"]) for job, _ in running.values()]
        watch(scheduler.done, under_way)
        left = began + limit - time.monotonic()
        wait(running, max(min(left, _TICK), 0), FIRST_COMPLETED)
        if left <= 0:
            raise StudyError(f"not finished within {limit:g} s")
        for future in [future for future in running if future.done()]:
            job, evaluator = running.pop(future)
            free.append(evaluator)
            error = future.exception()
            if error is None:
                job.result, job.exception = completed(future.result())
            else:
                job.exception = evaluator.reason(error)
            job.time_it("finished")
            scheduler.finish(job)
            broken = 0 if error is None else broken + 1
            if broken == _BROKEN_IN_A_ROW:
                scheduler.log.forget(broken)
                raise StudyError(f"{broken} evaluations in a row have no result:\n{job.exception}")
