"""Forecasts that learn from stopped runs too.

Few runs of a search are finished, and those are the survivors: regressions on them alone waste
most curves and promise too much. But whether a run is stopped depends only on its curve until
then, so the missing ends are missing at random in a monotone pattern (Little and Rubin 2019,
"Statistical Analysis with Missing Data", section 7.4), and regressions that go backward through
the looks are unbiased: the process of the last look is fitted on the finished runs; it predicts
the ends of those that were stopped there; with these the process of the look before is fitted;
and so on. The earlier the look, the more runs it learns from.
"""

from __future__ import annotations

import numpy as np

from curvecast import features as feature_blocks
from curvecast.curves import DataError
from curvecast.predictors.gain_gp import ITERATIONS, PRIOR, Process
from curvecast.predictors.scaling import Scaling
from curvecast.predictors.transforms import Warp

_N_TUNE = 96


class UnfinishedProcesses:
    """Gaussian processes of the final gain, one per look, from finished and stopped runs.

    Parameters
    ----------
    gain : larger is better, shape (n_runs, n_epochs); nothing after the look at which a run was
        stopped is read.
    epochs : shape (n_epochs,).
    static : what is known before a run starts, shape (n_runs, n_static), NaN where unknown.
    looks : epochs at which runs may be stopped, increasing.
    stopped : position in `looks` at which each run was stopped, `len(looks)` for a finished one;
        shape (n_runs,).
    rng : draws the ends of stopped runs for the choice of hyper-parameters, so that the noise is
        not taken for smaller than it is, and the runs that are left out beyond `n_most`.
    start : processes of the same looks on fewer runs, where the search for hyper-parameters
        starts.
    n_most : at most so many runs, drawn at random, are used per look.

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
        looks: np.ndarray,
        stopped: np.ndarray,
        rng: np.random.Generator,
        start: UnfinishedProcesses | None = None,
        n_most: int = 300,
    ) -> None:
        finished = np.flatnonzero(stopped == len(looks))
        self.n_finished = len(finished)
        if len(finished) < 2:
            raise DataError(f"{len(finished)} finished runs are too few to fit on")
        self._epochs, self._looks = epochs, looks
        self.warp = Warp.to_best("log_both", gain[finished, -1])
        self._scale_static = Scaling.of(static)
        hp = self._scale_static(static)
        end, doubt = np.full(len(gain), np.nan), np.zeros(len(gain))
        end[finished] = self.warp(gain[finished, -1])
        self._processes: list[Process] = []
        theta = PRIOR.mean
        for look in reversed(range(len(looks))):
            train = np.flatnonzero(stopped > look)
            if len(train) > n_most:
                train = np.sort(rng.choice(train, n_most, replace=False))
            seen = self._seen(look)
            process = Process(
                self._warped(gain[train], look),
                epochs[seen],
                hp[train],
                end[train] + doubt[train] * rng.normal(size=len(train)),
            )
            first = theta if start is None else start._processes[look].theta
            theta = process.tune(first, _N_TUNE, ITERATIONS if start is None else ITERATIONS // 4)
            process.aim_at(end[train]).condition(theta)
            self._processes.insert(0, process)
            here = np.flatnonzero(stopped == look)
            if len(here):
                end[here], doubt[here] = self._ask(process, gain[here], hp[here], look)

    def predict(
        self, gain: np.ndarray, static: np.ndarray, look: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of the warped final gain, from the epochs up to `looks[look]`."""
        return self._ask(self._processes[look], gain, self._scale_static(static), look)

    def _ask(
        self, process: Process, gain: np.ndarray, hp: np.ndarray, look: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return process.predict(self._warped(gain, look), self._epochs[self._seen(look)], hp)

    def _warped(self, gain: np.ndarray, look: int) -> np.ndarray:
        return self.warp(feature_blocks.forward_fill(gain[:, self._seen(look)]))

    def _seen(self, look: int) -> np.ndarray:
        return self._epochs <= self._looks[look]
