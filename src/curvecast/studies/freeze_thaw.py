"""A search that pauses every run after each look and goes on with the most promising one.

Freeze-thaw Bayesian optimisation (Swersky, Snoek, Adams 2014) in place of Hyperband's brackets:
nothing is promoted because its rung is full. `curve_process` predicts the end of every run. A
fixed share of the budget goes to first looks at new configurations, those with the largest
expected improvement; all else, one look at a time, to the run that is most likely to beat the best
one so far by a margin that is drawn anew for each look (as in ifBO, Rakotoarison et al. 2024). A
run that is not worth its epochs is simply not taken up again, and it may be later, when others
have taught the process better.

The share and the margin keep the search from faults that were seen without them. No run was ever
finished, because something new always promised a little more; or nothing was likely enough to
win once the process was too sure of itself; or one run after the other of a kind that is quick
and never excellent (linear networks) was finished, because each was likely to win by a hair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import ConfigSpace
import numpy as np
from scipy.special import ndtr

from curvecast.studies.candidates import Candidates
from curvecast.studies.curve_process import FIRST, CurveProcess, Values
from curvecast.studies.evaluation import Config, ConfigId

# Of the budget, for first looks. Chosen, like what else had variants, on the embedded collections
# and every seventh LCBench collection in the order of the alphabet (APSFailure, airlines,
# connect-4, jannis, numerai28.6); the margin also on small networks that were really trained.
FIRST_LOOKS = 0.2
# The scale of the margins, in standard deviations of the values known; half-normal.
_MARGIN = 0.5
# New configurations are neighbours of so many best runs, or uniform; those with the best
# predicted values are compared by expected improvement.
_N_BEST, _N_COMPARED = 5, 64


@dataclass
class _Run:
    vector: np.ndarray
    # Looks that were begun and that have ended, and whether it can go on.
    begun: int = 0
    ended: int = 0
    alive: bool = True

    @property
    def paused(self) -> bool:
        """Whether it waits to be taken up again."""
        return self.alive and self.begun == self.ended


class FreezeThaw:
    """The runs of a search so far, and what to do next.

    Parameters
    ----------
    space : search space; conditional parameters that are inactive lie in the middle of theirs.
    looks : budgets after which a run pauses, ascending; the last one is a complete training.
    random : where candidates and margins come from.
    """

    def __init__(
        self,
        space: ConfigSpace.ConfigurationSpace,
        looks: list[float],
        random: np.random.RandomState,
    ) -> None:
        self._looks, self._random = looks, random
        self._candidates = Candidates(space, random)
        self._process = CurveProcess()
        # As many first looks as BOHB's densities need, before anything is modelled.
        self._n_first = max(len(space) + 1, FIRST)
        self._keys: list[ConfigId] = []
        self._runs: list[_Run] = []
        # Values in the order in which they became known: number of the run, look, loss.
        self._known: list[tuple[int, int, float]] = []
        self._n_finite = 0
        self._spent = 0.0

    @property
    def spent(self) -> float:
        """Budget of all looks that were begun."""
        return self._spent

    @property
    def ready(self) -> bool:
        """Whether enough is known to propose from."""
        return len(self._known) >= self._n_first and self._n_finite >= 2

    def begin(self, key: ConfigId, config: Config) -> float:
        """Note that a run is begun or taken up; returns the budget at which it pauses."""
        if key not in self._keys:
            self._keys.append(key)
            self._runs.append(_Run(self._candidates.vector(config)))
        run = self._runs[self._keys.index(key)]
        look = self._looks[run.begun]
        self._spent += look - (self._looks[run.begun - 1] if run.begun else 0)
        run.begun += 1
        return look

    def end(self, key: ConfigId, config: Config, loss: float) -> None:
        """Note the loss after the look that was begun; one that is not finite ends the run.

        Parameters
        ----------
        config : what was really trained.
        """
        number = self._keys.index(key)
        run = self._runs[number]
        run.vector = self._candidates.vector(config)
        self._known.append((number, run.ended, loss))
        self._n_finite += math.isfinite(loss)
        run.ended += 1
        run.alive = math.isfinite(loss) and run.ended < len(self._looks)

    def taken_up(self) -> ConfigId | None:
        """The paused run to go on with; None where a new one is due."""
        paused = np.array([run.paused for run in self._runs], dtype=bool)
        first = len(self._runs) * self._looks[0]
        if not self.ready or first <= FIRST_LOOKS * self._spent or not paused.any():
            return None
        process = self._learned()
        mean, std = process.ends(self._points())
        margin = _MARGIN * abs(self._random.standard_normal())
        chance = ndtr((mean - self._best(process, mean) - margin) / std)
        return self._keys[int(np.where(paused, chance, -1.0).argmax())]

    def proposed(self, possible: Callable[[Config], bool] | None = None) -> Config | None:
        """The new configuration with the largest expected improvement.

        Parameters
        ----------
        possible : turns candidates down; the answer is None where it leaves none.
        """
        process = self._learned()
        mean, _ = process.ends(self._points())
        best = self._best(process, mean)
        vectors = np.array([run.vector for run in self._runs])
        top = np.argsort(-mean, kind="stable")[:_N_BEST]
        candidates = self._candidates.draw(vectors[top])
        if possible is not None:
            kept = [possible(self._candidates.config(vector)) for vector in candidates]
            candidates = candidates[np.array(kept, dtype=bool)]
        if not len(candidates):
            return None
        points = self._candidates.points(candidates)
        rows, mean, std = process.best_unseen(points, _N_COMPARED)
        gain = expected_improvement(mean, std, best)
        return self._candidates.config(candidates[rows[gain.argmax()]])

    def _learned(self) -> CurveProcess:
        """The process after all values; what is under way counts as predicted."""
        points = self._points()
        known = [(number, look) for number, look, _ in self._known]
        self._process.learn(self._values(points, known, [loss for _, _, loss in self._known]))
        pending = [
            (number, run.ended)
            for number, run in enumerate(self._runs)
            if run.alive and run.begun > run.ended
        ]
        if not pending:
            return self._process
        return self._process.believing(self._values(points, pending, [math.nan] * len(pending)))

    def _values(
        self, points: np.ndarray, looks: list[tuple[int, int]], losses: list[float]
    ) -> Values:
        runs = np.array([number for number, _ in looks])
        budgets = np.array([self._looks[look] for _, look in looks], dtype=np.float64)
        span = math.log(self._looks[-1] / self._looks[0]) or 1.0
        times = np.log(budgets / self._looks[-1]) / span
        return Values(points[runs], times, runs, np.array(losses, dtype=np.float64))

    def _points(self) -> np.ndarray:
        return self._candidates.points(np.array([run.vector for run in self._runs]))

    def _best(self, process: CurveProcess, ends: np.ndarray) -> float:
        """Best final value in the unit of the process; the best predicted one before there is one.

        `ends` holds the predictions for all runs.
        """
        last = len(self._looks) - 1
        finished = [loss for _, look, loss in self._known if look == last and math.isfinite(loss)]
        return float(process.unit(min(finished))) if finished else float(ends.max())


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """E[max(value - best, 0)] of Gaussian values, in their unit; a `std` of 0 is allowed.

    Jones, Schonlau, Welch (1998).
    """
    std = np.maximum(std, 1e-12)
    z = (mean - best) / std
    return std * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
