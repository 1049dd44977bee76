"""The contract of stopping rules: from its curve a run has a score, earlier runs set a bar.

A run ends at the first decision epoch at which its score does not exceed the bar (`stops`).
Replays compute the scores of all runs at all decision epochs at once; a training loop asks
`decide` about the runs that are at one of them. `docs/stopping_rule.md` adds a rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curvecast.stopping.accounting import Record


@dataclass(frozen=True, eq=False)
class Decision:
    """The decision about each of n runs.

    Attributes
    ----------
    stop : whether to end the run now, shape (n,).
    probability : P(the final value is worse than the bar), shape (n,); 1 or 0 for rules without a
        model, NaN where there is nothing to compare with.
    reason : "", "diverged" or the rule's own `reason`, shape (n,).
    level : the probability from which on the rule ends the run, shape (n,); NaN for rules without
        a model.
    """

    stop: np.ndarray
    probability: np.ndarray
    reason: np.ndarray
    level: np.ndarray


def stops(score: Any, bar: Any) -> Any:
    """The stopping decision: a run ends where its score does not exceed the bar; NaN goes on.

    Numbers or arrays. Where a rule has a predictor, the score is the gain that the final value
    stays below with the probability of a level, so that a run ends where P(worse than the bar)
    reaches it; asked about one bar alone, it is the same to compare the level itself with that P.
    """
    return score <= bar


class Rule(ABC):
    """Decides from gains (larger is better) whether runs are worth finishing.

    Attributes
    ----------
    name, setting : columns `predictor` and `setting` of the results.
    place : position among the rules of the results.
    reason : why a run is stopped.
    alone : whether a run is not compared with others, so that already the first may be stopped.
    """

    name: ClassVar[str] = ""
    place: ClassVar[int] = 100
    reason: ClassVar[str] = "worse than the others"
    alone: ClassVar[bool] = False

    @classmethod
    def replayed(cls, epochs: np.ndarray) -> Self | None:
        """The rule as replayed on runs with these recorded epochs; None: it needs a predictor."""
        return None

    @property
    @abstractmethod
    def setting(self) -> str:
        """The options, as the tables name them."""

    def own_epochs(self, recorded: np.ndarray, usual: np.ndarray) -> np.ndarray:
        """Epochs at which this rule decides, out of the `recorded` ones; default: the usual."""
        return usual

    @abstractmethod
    def scores(self, runs: Record, at: np.ndarray) -> np.ndarray:
        """Score of every run at every decision epoch, from its values until then.

        Parameters
        ----------
        at : decision epochs, shape (n_at,).

        Returns
        -------
        Array of shape (n_runs, n_at); NaN where there is none.
        """

    def marks(self, runs: Record, at: np.ndarray) -> np.ndarray | None:
        """What a run leaves behind at every decision epoch for later runs; (n_runs, n_at).

        None: its final gain, once it is finished.
        """
        return None

    @abstractmethod
    def bar(self, marks: Sequence[float]) -> float:
        """The bar that earlier runs set by their increasing marks; -inf for too few."""

    def decide(self, runs: Record, epoch: int, bar: float) -> Decision:
        """Decide about runs that are at one decision epoch.

        Parameters
        ----------
        runs : unfinished runs, NaN after `epoch`.
        bar : what `bar` makes of the runs before.
        """
        scores = self.scores(runs, np.array([epoch]))[:, 0]
        stop = stops(scores, bar)
        return self._decision(runs, epoch, stop, np.where(bar > -np.inf, stop, np.nan))

    def _decision(
        self,
        runs: Record,
        epoch: int,
        stop: np.ndarray,
        probability: np.ndarray,
        level: float = np.nan,
    ) -> Decision:
        """A run whose last value is not finite ends as diverged, whatever the rule says."""
        diverged = ~np.isfinite(runs.gain[:, runs.columns(np.array([epoch]))[0]])
        return Decision(
            stop=stop | diverged,
            probability=np.where(diverged, 1.0, probability),
            reason=np.select([diverged, stop], ["diverged", self.reason], ""),
            level=np.full(len(runs), level),
        )
