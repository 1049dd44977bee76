"""Hyper-parameter studies with hpbandster's BOHB, Hyperband and random search.

The only module that imports hpbandster. A study is driven in one of two ways that take the same
decisions: through hpbandster's own master and workers (each worker hands its evaluations to a
process that can be killed), or inside this process for objectives that cost next to nothing,
such as recorded curves.

hpbandster 0.7.4 predates numpy 2 and ConfigSpace 1; what is done about it, in one place each:
every value that leaves the sampler is a native Python object (`native`; its serialiser drops
anything else and the study hangs), rungs are computed without its float logarithm (`fidelity`), the
name server takes a free port of the loopback interface, run ids are unique, a watchdog ends a
study in which nothing happens any more, and the sampler does not turn errors into random picks
(`_ModelSampler`). Random numbers come from (seed, configuration id) alone, so a study that was
killed goes on exactly as it would have gone on.

Falkner, Klein, Hutter (2018): BOHB: robust and efficient hyperparameter optimization at scale.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import logging
import math
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import Pyro4
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.util import deactivate_inactive_hyperparameters, generate_grid
from hpbandster.core.base_iteration import BaseIteration, WarmStartIteration
from hpbandster.core.dispatcher import Job
from hpbandster.core.master import Master
from hpbandster.core.nameserver import NameServer
from hpbandster.core.result import Result, json_result_logger, logged_results_to_HBS_result
from hpbandster.core.worker import Worker
from hpbandster.optimizers.config_generators.bohb import BOHB
from hpbandster.optimizers.iterations import SuccessiveHalving
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri_exp

from curvecast import fidelity
from curvecast.curves import DataError
from curvecast.files import write_text
from curvecast.protocol import seed_from
from curvecast.studies import identity
from curvecast.studies.evaluation import (
    Config,
    ConfigId,
    Evaluation,
    EvaluationError,
    Evaluator,
    Objective,
    Trial,
    checked,
    cost_of,
    native,
    trained_of,
)
from curvecast.studies.freeze_thaw import FreezeThaw
from curvecast.studies.settings import Settings

LOOPBACK = "127.0.0.1"
CHECKPOINTS = "checkpoints"
_STALLED_AFTER = 60.0
# The study looks after itself every second; a longer pause means that it was stopped (as SLURM does
# to jobs that make room for others).
_SUSPENDED = 20.0
_WORKERS_WITHIN = 60.0
# Without a bug, as many draws all at random have a chance of random_fraction ** 30.
_DRAWS_UNTIL_MODEL = 30
_DRAWS_UNTIL_POSSIBLE = 1000


class StudyError(RuntimeError):
    """A study that cannot go on; what it has logged is kept."""


def bracket_shape(settings: Settings, number: int) -> tuple[list[int], list[float]]:
    """Configurations per rung and budgets of bracket `number` (Li et al. 2018, algorithm 1).

    A bracket of random search has as many full evaluations as there are rungs, one of a grid has
    one.
    """
    budgets = fidelity.rungs(settings.min_budget, settings.max_budget, settings.eta)
    if settings.optimizer == "grid":
        return [1], budgets[-1:]
    if settings.optimizer == "random":
        return [len(budgets)], budgets[-1:]
    return fidelity.bracket(number, budgets, settings.eta)


def pause_budgets(settings: Settings) -> list[float]:
    """Budgets at which a freeze-thaw search pauses a run."""
    return fidelity.pause_budgets(settings.min_budget, settings.max_budget, settings.eta)


def freeze_thaw_budget(settings: Settings) -> float:
    """The budget of a freeze-thaw search: as much as BOHB's brackets use, or `total_budget`.

    A bracket's runs go on where the rung below ended.
    """
    total = math.inf if settings.total_budget is None else settings.total_budget
    if settings.n_brackets is None:
        return total
    shapes = (bracket_shape(settings, number) for number in range(settings.n_brackets))
    used = sum(np.diff(budgets, prepend=0) @ counts for counts, budgets in shapes)
    return min(total, float(used))


# --------------------------------------------------------------------------- the log of a study


class StudyLog(json_result_logger):
    """hpbandster's two line logs, append-only, taken up again where a killed study left them.

    Lines that a kill tore off are cut; with `directory` None nothing is written.
    """

    def __init__(self, directory: Path | None, *, writable: bool = True) -> None:
        self.configs: dict[ConfigId, tuple[Config, dict[str, Any]]] = {}
        self.evaluations: dict[tuple[ConfigId, float], Evaluation] = {}
        self._files: dict[str, Path] = {}
        self.closed = False
        if directory is not None:
            self._files = {n: directory / f"{n}.json" for n in ("configs", "results")}
            if writable:
                directory.mkdir(parents=True, exist_ok=True)
                for path in self._files.values():
                    path.touch()
                    _cut_torn_line(path)
            self._read()

    def _read(self) -> None:
        for row, line in _lines(self._files["configs"], 3):
            key, config, info = line
            if len(key) != 3 or not isinstance(config, dict):
                raise DataError("not a logged configuration", file=self._files["configs"], row=row)
            self.configs[tuple(key)] = (config, info)
        for row, (key, budget, seconds, result, exception) in _lines(self._files["results"], 5):
            if tuple(key) not in self.configs:
                raise DataError(
                    f"configuration {key} is not in configs.json; remove the study's folder to "
                    "start it again",
                    file=self._files["results"],
                    row=row,
                )
            self._remember(tuple(key), budget, seconds, result, exception)

    def _remember(
        self,
        key: ConfigId,
        budget: float,
        seconds: Mapping[str, float],
        result: Mapping[str, Any] | None,
        exception: str | None,
    ) -> None:
        config, info = self.configs[key]
        self.evaluations[key, budget] = Evaluation(
            id=key,
            config=config,
            budget=budget,
            loss=math.inf if result is None else float(result["loss"]),
            info={} if result is None else result["info"],
            reason=None if exception is None else exception.strip().splitlines()[-1],
            seconds=seconds,
            model_based=bool(info.get("model_based_pick", False)),
        )

    def new_config(self, config_id: ConfigId, config: Config, config_info: dict[str, Any]) -> None:
        """Note a configuration before it is evaluated."""
        if config_id not in self.configs:
            self.configs[config_id] = (config, config_info)
            self._append("configs", [config_id, config, config_info])

    def __call__(self, job: Job) -> None:
        """Note a finished evaluation."""
        budget = job.kwargs["budget"]
        if (job.id, budget) not in self.evaluations:
            self._append("results", [job.id, budget, job.timestamps, job.result, job.exception])
            self._remember(job.id, budget, job.timestamps, job.result, job.exception)

    def _append(self, name: str, line: list[Any]) -> None:
        if self._files:
            with open(self._files[name], "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def recall(self, job: Job) -> bool:
        """Complete a job from the log; False where it was never finished."""
        known = self.evaluations.get((job.id, job.kwargs["budget"]))
        if known is None:
            return False
        job.timestamps = dict(known.seconds)
        job.exception = known.reason
        if known.reason is None or known.info:
            job.result = {"loss": known.loss, "info": dict(known.info)}
        return True


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _lines(path: Path, width: int) -> Iterator[tuple[int, list[Any]]]:
    with open(path, encoding="utf-8") as file:
        for row, text in enumerate(file, start=1):
            if not text.endswith("\n"):  # torn off, or being written just now
                return
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(f"not JSON ({error})", file=path, row=row) from error
            if not isinstance(line, list) or len(line) != width:
                raise DataError(f"not a list of {width} entries", file=path, row=row)
            yield row, line


# ------------------------------------------------------------------------------------ sampling


class _ModelSampler(BOHB):
    """hpbandster's BOHB sampler, its candidates scored as one array and errors left to surface.

    Given the same random numbers it picks what hpbandster picks (a test compares them), some
    thirty times as fast.
    """

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        super().__init__(
            space,
            min_points_in_model=settings.min_points_in_model,
            top_n_percent=settings.top_n_percent,
            num_samples=settings.num_samples,
            random_fraction=settings.share_at_random,
            bandwidth_factor=settings.bandwidth_factor,
            min_bandwidth=settings.min_bandwidth,
        )
        self.logger = _quiet_logger()
        self.random = np.random.RandomState(settings.seed)

    def get_config(self, budget: float) -> tuple[Config, dict[str, Any]]:
        """Draw a configuration from the model of the largest budget, or at random."""
        candidates = None
        if self.kde_models and self.random.rand() >= self.random_fraction:
            candidates = self._best_candidate()
        if candidates is None:
            drawn = self.configspace.sample_configuration()
        else:
            drawn = ConfigSpace.Configuration(self.configspace, vector=candidates)
        active = deactivate_inactive_hyperparameters(dict(drawn), self.configspace)
        return dict(active), {"model_based_pick": candidates is not None}

    def _best_candidate(self) -> np.ndarray | None:
        """The drawn vector with the highest ratio of good to bad density, shape (n_parameters,).

        None where no candidate has a density (hpbandster then draws at random as well).
        """
        models = self.kde_models[max(self.kde_models)]
        vectors = self._draw_candidates(models["good"])
        good = _density(models["good"], vectors)
        bad = _density(models["bad"], vectors)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(bad > 1e-32, bad, 1e-32) / np.where(good < 1e-32, 1e-32, good)
        # A category that the bad configurations never had gives an infinite ratio: hpbandster
        # takes the first such candidate.
        unscored = ~np.isfinite(ratio) & np.isfinite(good)
        if unscored.any():
            return vectors[np.argmax(unscored)]
        if not np.isfinite(ratio).any():
            return None
        return vectors[np.nanargmin(ratio)]

    def _draw_candidates(self, kde: Any) -> np.ndarray:
        """Good observations blurred by the widened kernel, shape (num_samples, n_parameters)."""
        bandwidth = np.maximum(kde.bw, self.min_bandwidth)
        rows = np.empty(self.num_samples, dtype=np.int64)
        drawn = np.empty((self.num_samples, len(bandwidth)))
        for i in range(self.num_samples):
            rows[i] = self.random.randint(0, len(kde.data))
            for j, levels in enumerate(self.vartypes):
                if levels == 0:
                    drawn[i, j] = self.random.uniform()
                elif self.random.rand() < 1 - bandwidth[j]:
                    drawn[i, j] = int(kde.data[rows[i], j])
                else:
                    drawn[i, j] = self.random.randint(levels)
        continuous = self.vartypes == 0
        center = kde.data[rows][:, continuous]
        scale = self.bw_factor * bandwidth[continuous]
        drawn[:, continuous] = _truncated_normal(drawn[:, continuous], center, scale)
        return drawn

    def impute_conditional_data(self, array: np.ndarray) -> np.ndarray:
        """hpbandster's imputation of inactive parameters, from this sampler's random numbers."""
        filled = array.copy()
        for row in np.flatnonzero(np.isnan(array).any(axis=1)):
            datum = filled[row]
            missing = np.flatnonzero(np.isnan(datum))
            while len(missing):
                donors = np.flatnonzero(np.isfinite(array[:, missing[0]]))
                if len(donors):
                    datum[missing] = array[self.random.choice(donors), missing]
                else:
                    levels = self.vartypes[missing[0]]
                    datum[missing[0]] = (
                        self.random.rand() if levels == 0 else self.random.randint(levels)
                    )
                missing = np.flatnonzero(np.isnan(datum))
        return filled


class _RandomSampler:
    """Uniform draws; learns nothing."""

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        self.configspace = space
        self.random = np.random.RandomState(settings.seed)

    def get_config(self, budget: float) -> tuple[Config, dict[str, Any]]:
        """Draw a configuration."""
        return dict(self.configspace.sample_configuration()), {"model_based_pick": False}

    def new_result(self, job: Job, update_model: bool = True) -> None:
        """Nothing to learn."""


class _FreezeThawSampler(_RandomSampler):
    """The proposals of `freeze_thaw.FreezeThaw`, and a share of uniform draws."""

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        super().__init__(space, settings)
        self._random_fraction = settings.share_at_random
        self.search = FreezeThaw(space, pause_budgets(settings), self.random)
        self.possible: Callable[[Config], bool] | None = None

    def get_config(self, budget: float) -> tuple[Config, dict[str, Any]]:
        """Propose a configuration, or draw one."""
        proposed = None
        if self.search.ready and self.random.rand() >= self._random_fraction:
            proposed = self.search.proposed(self.possible)
        if proposed is None:
            return super().get_config(budget)
        return proposed, {"model_based_pick": True}

    def new_result(self, job: Job, update_model: bool = True) -> None:
        """Learn from a job; a failed one ends its run."""
        loss = math.inf if job.result is None else job.result["loss"]
        self.search.end(job.id, job.kwargs["config"], loss)


class _GridSampler(_RandomSampler):
    """Every combination of categories, by the number of the bracket."""

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        super().__init__(space, settings)
        for name, parameter in space.items():
            if not isinstance(parameter, ConfigSpace.CategoricalHyperparameter):
                raise DataError("a grid needs categories, not a range", column=name)
        self.grid = [dict(config) for config in generate_grid(space)]

    def at(self, bracket: int) -> tuple[Config, dict[str, Any]]:
        """The combination with this number."""
        return self.grid[bracket], {"model_based_pick": False}


def _truncated_normal(q: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Quantiles of normals truncated to [0, 1]: scipy.stats.truncnorm.ppf without its overhead.

    `q` and `center` (in [0, 1]) have shape (n, p), `scale` has shape (p,).
    """
    low, high = -center / scale, (1 - center) / scale
    with np.errstate(divide="ignore"):
        log_mass = np.log1p(-ndtr(low) - ndtr(-high))
        left = ndtri_exp(logsumexp([log_ndtr(low), np.log(q) + log_mass], axis=0))
        right = -ndtri_exp(logsumexp([log_ndtr(-high), np.log1p(-q) + log_mass], axis=0))
    return center + scale * np.where(low < 0, left, right)


def _density(kde: Any, points: np.ndarray) -> np.ndarray:
    """`kde.pdf(points)` of a statsmodels KDEMultivariate as one array program, shape (n,)."""
    kernels = np.empty((len(points), *kde.data.shape))
    for j, kind in enumerate(kde.var_type):
        gap = kde.data[None, :, j] - points[:, None, j]
        if kind == "c":
            kernels[..., j] = np.exp(-(gap**2) / (2 * kde.bw[j] ** 2)) / np.sqrt(2 * np.pi)
        else:
            with np.errstate(divide="ignore"):
                other = kde.bw[j] / np.float64(len(np.unique(kde.data[:, j])) - 1)
            kernels[..., j] = np.where(gap == 0, 1 - kde.bw[j], other)
    continuous = np.array([kind == "c" for kind in kde.var_type])
    with np.errstate(invalid="ignore"):  # an infinite kernel times one that underflowed
        together = kernels.prod(axis=2).sum(axis=1)
    return together / np.prod(kde.bw[continuous]) / kde.nobs


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("curvecast.hpbandster")
    logger.setLevel(logging.ERROR)
    return logger


class _Course:
    """The decisions of a study: which configuration at which budget; shared by both drivers."""

    def __init__(
        self,
        settings: Settings,
        space: ConfigSpace.ConfigurationSpace,
        log: StudyLog,
        previous: Sequence[Path],
        possible: Callable[[Config], bool] | None = None,
    ) -> None:
        self.settings, self.space, self.log, self.possible = settings, space, log, possible
        self.done: list[Evaluation] = []
        self._draws_with_model = self._draws_by_model = 0
        kinds: dict[str, Any] = {
            "bohb": _ModelSampler, "freeze_thaw": _FreezeThawSampler, "grid": _GridSampler,
        }  # fmt: skip
        self.sampler = kinds.get(settings.optimizer, _RandomSampler)(space, settings)
        if isinstance(self.sampler, _GridSampler):
            self.settings = settings.model_copy(update={"iterations": len(self.sampler.grid)})
        if isinstance(self.sampler, _FreezeThawSampler) and possible is not None:
            self.sampler.possible = self._is_possible
        for directory in previous:
            self._seed("warm start", directory.name)
            WarmStartIteration(_finished(directory), self.sampler)

    def _seed(self, *names: object) -> None:
        seed = seed_from("study", self.settings.seed, *names)
        self.sampler.random.seed(seed)
        self.space.seed(seed)

    @property
    def n_brackets(self) -> int | None:
        """How many there are; None where the budget ends the study."""
        return 1 if isinstance(self.sampler, _FreezeThawSampler) else self.settings.n_brackets

    def bracket(self, number: int) -> BaseIteration:
        """The bracket with this number, nothing of it started."""
        if isinstance(self.sampler, _FreezeThawSampler):
            total = freeze_thaw_budget(self.settings)
            return _Thawing(self.sampler.search, total, self.draw, self.log)
        counts, budgets = bracket_shape(self.settings, number)
        return _Bracket(number, counts, budgets, config_sampler=self.draw, result_logger=self.log)

    def draw(self, config_id: ConfigId, budget: float) -> tuple[Config, dict[str, Any]]:
        """The configuration of this id: the logged one, or a new one from the id's own seed.

        What the space forbids or the objective calls impossible is drawn again.
        """
        if config_id in self.log.configs:
            return self.log.configs[config_id]
        if isinstance(self.sampler, _GridSampler):
            config, info = self.sampler.at(config_id[0])
            return native(config), info
        for attempt in range(_DRAWS_UNTIL_POSSIBLE):
            self._seed("draw", *config_id, *([attempt] if attempt else []))
            self._draws_with_model += bool(getattr(self.sampler, "kde_models", None))
            try:
                config, info = self.sampler.get_config(budget)
            except ForbiddenValueError:  # BOHB's densities know of no forbidden combinations
                continue
            self._draws_by_model += info["model_based_pick"]
            if self._draws_with_model >= _DRAWS_UNTIL_MODEL and not self._draws_by_model:
                raise StudyError(f"none of {self._draws_with_model} draws came from the model")
            if self._is_possible(config):
                return native(config), info
        raise StudyError(f"none of {_DRAWS_UNTIL_POSSIBLE} drawn configurations is possible")

    def _is_possible(self, config: Config) -> bool:
        return self.possible is None or self.possible(native(config))

    def new_result(self, job: Job, update_model: bool = True) -> None:
        """Let the model learn; the name is hpbandster's."""
        self._seed("learn", *job.id, job.kwargs["budget"])
        self.sampler.new_result(_as_evaluated(job), update_model)
        if update_model:
            self.done.append(self.log.evaluations[job.id, job.kwargs["budget"]])

    def trial(self, config_id: ConfigId, budget: float, directory: Path | None) -> Trial:
        """Describe the evaluation of a configuration for the objective."""
        if isinstance(self.sampler, _FreezeThawSampler):
            budgets = pause_budgets(self.settings)
            counts = [1] * len(budgets)
        else:
            counts, budgets = bracket_shape(self.settings, config_id[0])
        rung = budgets.index(budget)
        top = rung == len(budgets) - 1
        below = (self.log.evaluations.get((config_id, b)) for b in budgets[:rung])
        return Trial(
            id=config_id,
            seed=seed_from("trial", self.settings.seed, *config_id),
            budget=budget,
            trained=max((trained_of(e) for e in below if e is not None), default=0),
            width=counts[rung],
            keep=1 if top else counts[rung + 1],
            highest=budgets[-1],
            directory=directory,
            history=self.done,
        )


class _Bracket(SuccessiveHalving):
    """Successive halving whose configurations are drawn by their id."""

    def add_configuration(
        self, config: Config | None = None, config_info: dict[str, Any] | None = None
    ) -> ConfigId:
        config_id = (self.HPB_iter, self.stage, self.actual_num_configs[self.stage])
        return super().add_configuration(*self.config_sampler(config_id, self.budgets[self.stage]))


class _Thawing(BaseIteration):
    """The only iteration of a freeze-thaw search: no rungs, and it ends with its budget.

    What the log holds is done first, in the order of the log.
    """

    def __init__(
        self,
        search: FreezeThaw,
        total: float,
        draw: Callable[[ConfigId, float], tuple[Config, dict[str, Any]]],
        log: StudyLog,
    ) -> None:
        super().__init__(0, [0], [0.0], draw, result_logger=log)
        self._search, self._total = search, total
        self._logged = [config_id for config_id, _ in log.evaluations]

    def get_next_run(self) -> tuple[ConfigId, Config, float] | None:
        """What to evaluate next; None once the budget is used."""
        if self._search.spent >= self._total:
            self.is_finished = self.num_running == 0
            return None
        config_id = self._logged.pop(0) if self._logged else self._search.taken_up()
        if config_id is None:
            fresh = (key for key, datum in self.data.items() if datum.status == "QUEUED")
            config_id = next(fresh, None) or self.add_configuration()
        while config_id not in self.data:  # of several workers, another one was done first
            self.add_configuration()
        datum = self.data[config_id]
        datum.budget = self._search.begin(config_id, datum.config)
        datum.status = "RUNNING"
        self.num_running += 1
        return config_id, datum.config, datum.budget

    def add_configuration(
        self, config: Config | None = None, config_info: dict[str, Any] | None = None
    ) -> ConfigId:
        """Draw one more configuration."""
        config_id = (0, 0, len(self.data))
        self.num_configs[0] += 1
        return super().add_configuration(*self.config_sampler(config_id, self.budgets[0]))


def _as_evaluated(job: Job) -> Job:
    """The job with the configuration that was really looked at."""
    evaluated = (job.result or {}).get("info", {}).get("evaluated")
    if evaluated is None:
        return job
    other = copy.copy(job)
    other.kwargs = {**job.kwargs, "config": evaluated}
    return other


def _finished(directory: Path) -> Result:
    """An earlier study as hpbandster's warm start takes it: without failed evaluations."""
    result = logged_results_to_HBS_result(str(directory))
    for datum in result.data.values():
        for budget in [b for b, r in datum.results.items() if r is None]:
            del datum.results[budget], datum.time_stamps[budget], datum.exceptions[budget]
    return result


# ------------------------------------------------------------------------------------- drivers


class _Worker(Worker):
    """hpbandster's worker, its computation done by a process that may crash or hang."""

    def __init__(self, evaluator: Evaluator, course: _Course, directory: Path | None, **where: Any):
        super().__init__(logger=_quiet_logger(), **where)
        self._evaluator, self._course, self._directory = evaluator, course, directory

    def compute(
        self, config_id: ConfigId, config: Config, budget: float, working_directory: str
    ) -> dict[str, Any]:
        bracket, rung, number = config_id
        trial = self._course.trial((bracket, rung, number), budget, self._directory)
        return self._evaluator.evaluate(config, trial)


class _Master(Master):
    """hpbandster's master over a `_Course`; evaluations that are logged are not sent out again."""

    def __init__(self, course: _Course, evaluators: Sequence[Evaluator], **where: Any) -> None:
        self._course, self._evaluators = course, evaluators
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._deadline = time.monotonic() + (course.settings.time_limit or math.inf)
        self._last_sign = self._last_look = time.monotonic()
        super().__init__(
            config_generator=course,
            result_logger=course.log,
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
        return self._course.bracket(iteration)

    def _submit_job(self, config_id: ConfigId, config: Config, budget: float) -> None:
        job = Job(config_id, config=config, budget=budget)
        if self._course.log.recall(job):
            self.num_running_jobs += 1
            self.job_callback(job)
        else:
            super()._submit_job(config_id, native(config), native(budget))

    def job_callback(self, job: Job) -> None:
        if self._course.log.closed:
            return
        if job.exception is not None:
            job.exception = job.exception.split(f"{EvaluationError.__name__}: ", 1)[-1].strip()
        _note_divergence(job)
        try:
            super().job_callback(job)
        except BaseException as error:
            # This thread belongs to Pyro, which would drop the error: the study raises it.
            self._failure = error
            raise
        finally:
            self._last_sign = time.monotonic()
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
        now = time.monotonic()
        if now - self._last_look > _SUSPENDED:  # this process itself stood still
            self._last_sign = now
        self._last_look = now
        if self._failure is not None:
            raise StudyError(f"the study cannot go on: {self._failure}") from self._failure
        if now > self._deadline:
            raise StudyError(f"not finished within {self._course.settings.time_limit:g} s")
        if not self.num_running_jobs or any(e.busy for e in self._evaluators):
            self._last_sign = now
        if now - self._last_sign > _STALLED_AFTER:
            raise StudyError(f"{self.num_running_jobs} evaluations were sent out and never begun")

    def watch(self) -> None:
        """Wake the master every second until the study has ended; for a thread of its own."""
        while not self._ended.wait(1):
            with self.thread_cond:
                self.thread_cond.notify_all()

    def end(self) -> None:
        """Stop the watch and hpbandster's threads."""
        self._ended.set()
        self.shutdown(shutdown_workers=True)


def _note_divergence(job: Job) -> None:
    """Make the reason of a result without a finite loss the job's exception."""
    if job.result is not None and not math.isfinite(job.result["loss"]):
        job.exception = job.result["info"]["reason"]


def _run_distributed(course: _Course, objective: Objective, directory: Path | None) -> None:
    """Drive a study by hpbandster's master, and workers that each own a process."""
    settings = course.settings
    # Pyro's loops look up from their sockets this often; its 2 s are what an end would wait for.
    Pyro4.config.POLLTIMEOUT = 0.2
    run_id = f"{settings.name}.{settings.seed}.{uuid.uuid4().hex}".replace("/", ".")
    evaluators = [Evaluator(objective, settings.timeout) for _ in range(settings.workers)]
    for evaluator in evaluators:
        evaluator.start()
    name_server = NameServer(run_id, host=LOOPBACK, port=0)
    host, port = name_server.start()
    where = {"run_id": run_id, "nameserver": host, "nameserver_port": port, "host": LOOPBACK}
    master = _Master(course, evaluators, **where)
    try:
        for number, evaluator in enumerate(evaluators):
            _Worker(evaluator, course, directory, id=number, **where).run(background=True)
        threading.Thread(target=master.watch, daemon=True).start()
        master.run(n_iterations=course.n_brackets, min_n_workers=settings.workers)
    finally:
        course.log.closed = True
        for evaluator in evaluators:
            evaluator.close()
        master.end()
        name_server.shutdown()


def _run_here(course: _Course, objective: Objective, directory: Path | None) -> None:
    """Drive a study inside this process, in the order of a single worker.

    An objective says by EvaluationError that a configuration has no result; any other exception
    is its own error and ends the study.
    """
    settings = course.settings
    numbers = count() if course.n_brackets is None else range(course.n_brackets)
    used = 0.0
    for number in numbers:
        bracket = course.bracket(number)
        while (run := bracket.get_next_run()) is not None:
            if settings.total_budget is not None and used >= settings.total_budget:
                return
            config_id, config, budget = run
            job = Job(config_id, config=config, budget=budget)
            if not course.log.recall(job):
                job.time_it("submitted")
                job.time_it("started")
                trial = course.trial(config_id, budget, directory)
                try:
                    job.result = checked(objective.evaluate(config, trial))
                except EvaluationError as error:
                    job.exception = str(error)
                job.time_it("finished")
                _note_divergence(job)
            course.log(job)
            bracket.register_result(job)
            course.new_result(job)
            used += cost_of(course.done[-1])


def run(
    settings: Settings,
    objective: Objective,
    directory: str | Path | None = None,
    *,
    previous: Sequence[str | Path] = (),
) -> list[Evaluation]:
    """Run a study to its end and return its evaluations in the order in which they finished.

    With a `directory` the study logs there in hpbandster's format (`configs.json`,
    `results.json`; `open_result` reads them). A study that was killed goes on when it is called
    again: every logged evaluation is looked up instead of computed. Logs of another study
    (settings, objective, data or code differ) are moved to `superseded/`.

    Parameters
    ----------
    previous : folders of earlier studies over the same space; their evaluations warm-start
        BOHB's model.

    Raises
    ------
    StudyError : the study cannot go on (time limit, stalled, already running, full disk).
    DataError : a log that cannot be read.
    """
    folder = None if directory is None else Path(directory)
    # What an objective learns in one study must not reach another one.
    objective = copy.deepcopy(objective)
    space = objective.space
    if settings.optimizer in ("bohb", "freeze_thaw"):
        _check_space(space)
    earlier = [Path(p) for p in previous]
    if earlier and settings.optimizer == "freeze_thaw":
        raise DataError(f"study {settings.name!r}: freeze_thaw learns from no earlier study")
    with _alone_in(folder):
        if folder is not None:
            _take_up(folder, _identity(settings, objective, space, earlier))
        possible = getattr(objective, "possible", None)
        course = _Course(settings, space, StudyLog(folder), earlier, possible)
        drive = _run_distributed if settings.workers else _run_here
        drive(course, objective, folder)
        if folder is not None and (folder / CHECKPOINTS).exists():
            shutil.rmtree(folder / CHECKPOINTS)
    return course.done


def open_result(directory: str | Path) -> Result:
    """hpbandster's own view of a study's files."""
    return logged_results_to_HBS_result(str(directory))


def read_evaluations(directory: str | Path) -> list[Evaluation]:
    """Finished evaluations of a study, running or ended, in the order in which they finished."""
    return list(StudyLog(Path(directory), writable=False).evaluations.values())


def _check_space(space: ConfigSpace.ConfigurationSpace) -> None:
    for name, parameter in space.items():
        if isinstance(parameter, ConfigSpace.OrdinalHyperparameter | ConfigSpace.Constant):
            raise DataError(
                f"BOHB's model has no {type(parameter).__name__}; write it as an integer or leave "
                "it out of the space",
                column=name,
            )


@contextlib.contextmanager
def _alone_in(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(f"{folder}: another process is running this study") from error
        yield


def _identity(
    settings: Settings,
    objective: Objective,
    space: ConfigSpace.ConfigurationSpace,
    previous: Sequence[Path],
) -> dict[str, Any]:
    return native(
        {
            "settings": settings.identity,
            "objective": objective.identity(),
            "space": space.to_serialized_dict(),
            "code": identity.of_code(__name__, type(objective).__module__),
            "previous": identity.of_files(p / "results.json" for p in previous),
        }
    )


def _take_up(folder: Path, described: dict[str, Any]) -> None:
    """Keep the folder's logs if they are of this very study, otherwise move them aside."""
    file = folder / "study.json"
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) != described:
        aside = folder / "superseded"
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir()
        for name in ("study.json", "configs.json", "results.json", CHECKPOINTS):
            if (folder / name).exists():
                (folder / name).rename(aside / name)
    write_text(json.dumps(described, indent=1, sort_keys=True), file)
