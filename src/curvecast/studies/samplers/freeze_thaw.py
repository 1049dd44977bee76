"""Freeze-thaw: pauses every run at each of its budgets and trains the most promising one on.

Freeze-thaw Bayesian optimisation (Swersky, Snoek, Adams 2014) in place of Hyperband's brackets:
no run is promoted because its rung is full. `curve_process` predicts the end of every run. A
fixed share of the budget goes to new configurations, those with the largest expected improvement.
All else goes, up to one pause at a time, to the run that is most likely to beat the best one so
far by a margin that is drawn anew for each decision (as in ifBO, Rakotoarison et al. 2024). A run
that is not worth its epochs stays paused; it may train on later, when others have taught the
process better.

The share and the margin avoid faults that were seen without them. No run was ever finished,
because something new always promised a little more; or no run was likely enough to win once the
process was too sure of itself; or one run after the other of a kind that is quick and never
excellent (linear networks) was finished, because each was likely to win by a hair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ConfigSpace
import numpy as np
from ConfigSpace import CategoricalHyperparameter
from hpbandster.core.base_iteration import BaseIteration
from scipy.special import ndtr

from curvecast import fidelity
from curvecast.studies.curve_process import FIRST, CurveProcess, Values
from curvecast.studies.evaluation import Config, ConfigId
from curvecast.studies.log import StudyLog
from curvecast.studies.samplers import _base
from curvecast.studies.settings import Settings

# Share of the budget for new configurations. Chosen, like what else had variants, on the embedded
# collections and every seventh LCBench collection in the order of the alphabet (APSFailure,
# airlines, connect-4, jannis, numerai28.6); the margin also on small networks that were trained.
NEW_SHARE = 0.2
# The scale of the margins, in standard deviations of the values so far; half-normal.
_MARGIN = 0.5
# New configurations are neighbours of so many best runs, or uniform; those with the best
# predicted values are compared by expected improvement.
_N_BEST, _N_COMPARED = 5, 64
_N_UNIFORM, _N_NEIGHBOURS = 128, 16
# A neighbour differs by a Gaussian of one of these widths (of a range of 1) in each number, and
# takes another category with this chance.
_WIDTHS, _OTHER_CATEGORY = (0.03, 0.1, 0.2), 0.2


@dataclass
class _Run:
    vector: np.ndarray
    # Pauses for which it set out and that it has reached, and whether it can go on.
    begun: int = 0
    ended: int = 0
    alive: bool = True

    @property
    def paused(self) -> bool:
        """Whether it can train on now."""
        return self.alive and self.begun == self.ended


class Sampler(_base.Sampler):
    """The runs of a search so far, and what to do next.

    Conditional parameters that are inactive lie in the middle of their range.
    """

    share_at_random = 0.1

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        _base.refuse_ordinals(space)
        super().__init__(space, settings)
        self._pauses = fidelity.pause_budgets(
            settings.min_budget, settings.max_budget, settings.eta
        )
        self._candidates = _Candidates(space, self.random)
        self._process = CurveProcess()
        # As many configurations as BOHB's densities need, before anything is modelled.
        self._n_first = max(len(space) + 1, FIRST)
        self._runs: dict[ConfigId, _Run] = {}
        # Values in the order in which they arrived: number of the run, pause, loss.
        self._values: list[tuple[int, int, float]] = []
        # Budget up to all pauses for which runs set out.
        self.spent = 0.0

    @property
    def n_brackets(self) -> int:
        """The whole search is one bracket."""
        return 1

    @property
    def is_taught(self) -> bool:
        """Whether there are enough values to propose from."""
        finite = sum(math.isfinite(loss) for _, _, loss in self._values)
        return len(self._values) >= self._n_first and finite >= 2

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """One run at each of the pauses."""
        return [1] * len(self._pauses), self._pauses

    def bracket(self, number: int, draw: _base.Draw, log: StudyLog) -> BaseIteration:
        """The only bracket; it ends with the budget."""
        return _Search(self, draw, log)

    @property
    def total_budget(self) -> float:
        """Budget of the search: as much as BOHB's brackets use, at most the settings' total."""
        total = self.settings.total_budget or math.inf
        return min(total, _base.budget_of_brackets(self.settings))

    def begin(self, key: ConfigId, config: Config) -> float:
        """Note that a run starts or goes on; returns the budget at which it pauses."""
        run = self._runs.setdefault(key, _Run(self._candidates.vector(config)))
        pause = self._pauses[run.begun]
        self.spent += pause - (self._pauses[run.begun - 1] if run.begun else 0)
        run.begun += 1
        return pause

    def learn(self, config_id: ConfigId, config: Config, budget: float, loss: float) -> None:
        """Note the loss at the pause that was begun; one that is not finite ends the run.

        Parameters
        ----------
        config : the one that was evaluated.
        """
        run = self._runs[config_id]
        run.vector = self._candidates.vector(config)
        self._values.append((list(self._runs).index(config_id), run.ended, loss))
        run.ended += 1
        run.alive = math.isfinite(loss) and run.ended < len(self._pauses)

    def continued(self) -> ConfigId | None:
        """The paused run to train on; None where a new one is due."""
        paused = np.array([run.paused for run in self._runs.values()], dtype=bool)
        new = len(self._runs) * self._pauses[0]
        if not self.is_taught or new <= NEW_SHARE * self.spent or not paused.any():
            return None
        process = self._learned()
        mean, std = process.ends(self._points())
        margin = _MARGIN * abs(self.random.standard_normal())
        chance = ndtr((mean - self._best(process, mean) - margin) / std)
        return list(self._runs)[int(np.where(paused, chance, -1.0).argmax())]

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """The new configuration with the largest expected improvement, or a uniform draw."""
        if self.is_taught and self.random.rand() >= self.share_at_random:
            best = self.most_promising()
            if best is not None:
                return best, True
        return super().propose(config_id, budget)

    def most_promising(self) -> Config | None:
        """The possible candidate with the largest expected improvement; None without one."""
        process = self._learned()
        mean, _ = process.ends(self._points())
        best = self._best(process, mean)
        vectors = np.array([run.vector for run in self._runs.values()])
        top = np.argsort(-mean, kind="stable")[:_N_BEST]
        candidates = self._candidates.draw(vectors[top])
        while len(candidates):
            points = self._candidates.points(candidates)
            rows, mean, std = process.best_unseen(points, _N_COMPARED)
            gain = expected_improvement(mean, std, best)
            # from the largest gain on, because to ask about all costs more than the decision
            for row in rows[np.argsort(-gain, kind="stable")]:
                config = self._candidates.config(candidates[row])
                if self.possible is None or self.possible(config):
                    return config
            candidates = np.delete(candidates, rows, axis=0)
        return None

    def _learned(self) -> CurveProcess:
        """The process after all values; what is under way counts as predicted."""
        points = self._points()
        reached = [(number, pause) for number, pause, _ in self._values]
        losses = [loss for _, _, loss in self._values]
        self._process.learn(self._as_values(points, reached, losses))
        pending = [
            (number, run.ended)
            for number, run in enumerate(self._runs.values())
            if run.alive and run.begun > run.ended
        ]
        if not pending:
            return self._process
        unknown = self._as_values(points, pending, [math.nan] * len(pending))
        return self._process.believing(unknown)

    def _as_values(
        self, points: np.ndarray, reached: list[tuple[int, int]], losses: list[float]
    ) -> Values:
        runs = np.array([number for number, _ in reached])
        budgets = np.array([self._pauses[pause] for _, pause in reached], dtype=np.float64)
        span = math.log(self._pauses[-1] / self._pauses[0]) or 1.0
        times = np.log(budgets / self._pauses[-1]) / span
        return Values(points[runs], times, runs, np.array(losses, dtype=np.float64))

    def _points(self) -> np.ndarray:
        return self._candidates.points(np.array([run.vector for run in self._runs.values()]))

    def _best(self, process: CurveProcess, ends: np.ndarray) -> float:
        """Best final value in the unit of the process; the best predicted one before there is one.

        `ends` holds the predictions for all runs.
        """
        last = len(self._pauses) - 1
        finished = [loss for _, at, loss in self._values if at == last and math.isfinite(loss)]
        return float(process.unit(min(finished))) if finished else float(ends.max())


class _Search(BaseIteration):
    """A freeze-thaw search as hpbandster's iteration: no rungs, and it ends with its budget.

    What the log holds comes first, in the order of the log.
    """

    def __init__(self, sampler: Sampler, draw: _base.Draw, log: StudyLog) -> None:
        super().__init__(0, [0], [0.0], draw, result_logger=log)
        self._sampler = sampler
        self._logged = [config_id for config_id, _ in log.evaluations]

    def get_next_run(self) -> tuple[ConfigId, Config, float] | None:
        """What to evaluate next; None once the budget is used."""
        if self._sampler.spent >= self._sampler.total_budget:
            self.is_finished = self.num_running == 0
            return None
        config_id = self._logged.pop(0) if self._logged else self._sampler.continued()
        if config_id is None:
            fresh = (key for key, datum in self.data.items() if datum.status == "QUEUED")
            config_id = next(fresh, None) or self.add_configuration()
        while config_id not in self.data:  # of several workers, another one was done first
            self.add_configuration()
        datum = self.data[config_id]
        datum.budget = self._sampler.begin(config_id, datum.config)
        datum.status = "RUNNING"
        self.num_running += 1
        return config_id, datum.config, datum.budget

    def add_configuration(
        self, config: Config | None = None, config_info: dict[str, object] | None = None
    ) -> ConfigId:
        """Draw one more configuration."""
        config_id = (0, 0, len(self.data))
        self.num_configs[0] += 1
        return super().add_configuration(*self.config_sampler(config_id, self.budgets[0]))


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """E[max(value - best, 0)] of Gaussian values, in their unit; a `std` of 0 is allowed.

    Jones, Schonlau, Welch (1998).
    """
    std = np.maximum(std, 1e-12)
    z = (mean - best) / std
    return std * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))


class _Candidates:
    """Configurations as ConfigSpace's vectors (numbers in 0..1, categories by position, or NaN)."""

    def __init__(
        self, space: ConfigSpace.ConfigurationSpace, random: np.random.RandomState
    ) -> None:
        self._space, self._random = space, random
        # A parent stands before its children in the space, so its own condition comes first.
        self._conditions = sorted(space.conditions, key=lambda c: int(c.child_vector_id or 0))
        # Of each parameter; 0 where it is a number.
        self._levels = np.array(
            [
                getattr(p, "size", 0) if isinstance(p, CategoricalHyperparameter) else 0
                for p in space.values()
            ]
        )

    def vector(self, config: Config) -> np.ndarray:
        return ConfigSpace.Configuration(self._space, values=config).get_array()

    def config(self, vector: np.ndarray) -> Config:
        return dict(ConfigSpace.Configuration(self._space, vector=vector))

    def points(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates for a kernel, shape (n, n_coordinates).

        Numbers in 0..1, inactive ones in the middle; categories one-hot over the root of 2, so
        that two of them are at distance 1.
        """
        columns = []
        for column, levels in zip(vectors.T, self._levels, strict=True):
            if levels:
                columns += [(column == level) / np.sqrt(2) for level in range(levels)]
            else:
                columns.append(np.where(np.isnan(column), 0.5, column))
        return np.column_stack(columns)

    def draw(self, best: np.ndarray) -> np.ndarray:
        """Draws from the space, and neighbours of the vectors `best`; shape (n, n_parameters)."""
        random, parameters = self._random, self._space.values()
        drawn = [p.sample_vector(_N_UNIFORM, seed=random) for p in parameters]
        near = np.repeat(best, _N_NEIGHBOURS, axis=0)
        width = np.resize(_WIDTHS, len(near))[:, None]
        # What takes the place of another category, or of a parameter that was inactive.
        fresh = np.column_stack([p.sample_vector(len(near), seed=random) for p in parameters])
        other = random.rand(*near.shape) < _OTHER_CATEGORY
        step = np.clip(near + width * random.standard_normal(near.shape), 0, 1)
        moved = np.where(self._levels > 0, np.where(other, fresh, near), step)
        vectors = np.concatenate(
            [np.column_stack(drawn), np.where(np.isnan(moved), fresh, moved)]
        ).astype(np.float64)
        return self._valid(vectors)

    def _valid(self, vectors: np.ndarray) -> np.ndarray:
        """The vectors that the space allows, with NaN where a parameter is inactive."""
        # there and back: an integer lies at its place, where clauses compare it
        pairs = zip(self._space.values(), vectors.T, strict=True)
        columns = np.array([p.to_vector(p.to_value(column)) for p, column in pairs])
        for condition in self._conditions:
            active = condition.satisfied_by_vector_array(columns)
            columns[condition.child_vector_id, ~active] = np.nan
        forbidden = np.zeros(len(vectors), dtype=bool)
        for clause in self._space.forbidden_clauses:
            forbidden |= clause.is_forbidden_vector_array(columns)
        return columns.T[~forbidden]
