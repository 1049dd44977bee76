"""Forecasts that learn from stopped runs too.

Few runs of a search are finished, and those are the survivors: regressions on them alone waste
most curves and promise too much. But whether a run is stopped depends only on its curve until
then, so the missing ends are missing at random in a monotone pattern (Little and Rubin 2019,
"Statistical Analysis with Missing Data", section 7.4), and regressions that go backward through
the decision epochs are unbiased: the process of the last one is fitted on the finished runs; it
predicts the ends of those that were stopped there; with these the process of the decision epoch
before is fitted; and so on. The earlier the epoch, the more runs it learns from.
"""

from __future__ import annotations

import numpy as np

from curvecast import features as feature_blocks
from curvecast.curves import DataError
from curvecast.predictors.gain_gp import ITERATIONS, PRIOR, Process
from curvecast.predictors.scaling import Scaling
from curvecast.predictors.transforms import Warp


class UnfinishedProcesses:
    """Gaussian processes of the final gain, one per decision epoch.

    Parameters
    ----------
    gain : larger is better, shape (n_runs, n_epochs); nothing after the epoch at which a run was
        stopped is read.
    epochs : shape (n_epochs,).
    static : the features that a run has before it starts, shape (n_runs, n_static), NaN where
        unknown.
    decisions : decision epochs, increasing.
    stopped : position in `decisions` at which each run was stopped, `len(decisions)` for a
        finished one; shape (n_runs,).
    rng : draws the ends of stopped runs for the choice of hyper-parameters, so that the noise is
        not underestimated, and the runs that are left out beyond `n_most`.
    start : processes of the same decision epochs on fewer runs, where the search for
        hyper-parameters starts.
    n_most : at most so many runs, drawn at random, are used per decision epoch.

    Attributes
    ----------
    n_finished : how many of the runs were finished.
    warp : the scale of the final gain.

    Raises
    ------
    DataError : fewer than two finished runs.
    """

    def __init__(
        self,
        gain: np.ndarray,
        epochs: np.ndarray,
        static: np.ndarray,
        decisions: np.ndarray,
        stopped: np.ndarray,
        rng: np.random.Generator,
        start: UnfinishedProcesses | None = None,
        n_most: int = 300,
    ) -> None:
        finished = np.flatnonzero(stopped == len(decisions))
        self.n_finished = len(finished)
        if len(finished) < 2:
            raise DataError(f"{len(finished)} finished runs are too few to fit on")
        self._epochs, self._decisions = epochs, decisions
        self.warp = Warp.to_best("log_both", gain[finished, -1])
        self._scale_static = Scaling.of(static)
        end, doubt = np.full(len(gain), np.nan), np.zeros(len(gain))
        end[finished] = self.warp(gain[finished, -1])
        self._processes: dict[int, Process] = {}
        theta = PRIOR.mean
        for at in reversed(range(len(decisions))):
            train = np.flatnonzero(stopped > at)
            if len(train) > n_most:
                train = np.sort(rng.choice(train, n_most, replace=False))
            drawn = end[train] + doubt[train] * rng.normal(size=len(train))
            process = Process(*self._inputs(gain[train], static[train], at), drawn)
            if start is None:
                theta = process.tune(theta)
            else:
                theta = process.tune(start._processes[at].theta, ITERATIONS // 4)
            self._processes[at] = process.aim_at(end[train]).condition(theta)
            here = np.flatnonzero(stopped == at)
            if len(here):
                end[here], doubt[here] = self.predict(gain[here], static[here], at)

    def predict(
        self, gain: np.ndarray, static: np.ndarray, at: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of the warped final gain, from the epochs up to `decisions[at]`."""
        return self._processes[at].predict(*self._inputs(gain, static, at))

    def _inputs(
        self, gain: np.ndarray, static: np.ndarray, at: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Warped gains up to a decision epoch, their epochs, and scaled static features."""
        seen = self._epochs <= self._decisions[at]
        warped = self.warp(feature_blocks.bridge(gain[:, seen], self._epochs[seen]))
        return warped, self._epochs[seen], self._scale_static(static)
