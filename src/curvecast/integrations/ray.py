"""A scheduler for Ray Tune that predicts where a trial will end, and stops one that cannot win.

    TuneConfig(metric="loss", mode="min", scheduler=CurveScheduler(max_t=50), num_samples=100)

Needs ray[tune] >= 2.
"""

from __future__ import annotations

from typing import Any

from curvecast.curves import DataError
from curvecast.extras import missing
from curvecast.integrations._runs import Runs, check_promise, direction_of
from curvecast.stopping.advice import PROMISE

try:
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler
except ImportError as error:
    raise ImportError(missing(error)) from error

__all__ = ["CurveScheduler"]


class CurveScheduler(FIFOScheduler):
    """Stop a trial when it is improbable that it ends better than the best one, and at `max_t`.

    Trials start in the order of submission. What was advised is in `runs.history`. With `pause` the
    search is freeze-thaw (Swersky et al. 2014): every trial begins, and then those train on that
    are predicted to end best, while the others wait with their checkpoints.

    Parameters
    ----------
    max_t : the last value of `time_attr` of a complete trial.
    time_attr : what counts epochs or steps in the results.
    metric, mode : of the results, and "min" or "max"; default: those of the `TuneConfig`.
    promise : share of the trials that would become the best that is to survive.
    pause : let a trial wait while one with a better predicted end could train. The trainable has to
        save checkpoints and to go on from one.

    Raises
    ------
    DataError : `promise` is no share, or neither the scheduler nor the `TuneConfig` says metric and
        mode.
    """

    def __init__(
        self,
        max_t: int,
        *,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        promise: float = PROMISE,
        pause: bool = False,
    ) -> None:
        super().__init__()
        self._pause = pause
        self._ends: dict[str, float] = {}
        check_promise(promise)
        self._max_t, self._time_attr, self._promise = max_t, time_attr, promise
        self._metric, self._mode = metric, mode
        self.runs: Runs | None = None

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Metric and mode of the `TuneConfig`; False where both say one."""
        if (self._metric and metric) or (self._mode and mode):
            return False
        self._metric, self._mode = self._metric or metric, self._mode or mode
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial waits to begin, or the experiment was restored (`Tuner.restore`) with it.

        Of such a trial Ray tells the last result, so no more of it is known than that.
        """
        if self.runs is None:
            if self._metric is None or self._mode is None:
                raise DataError("the scheduler needs metric and mode, here or in the TuneConfig")
            self.runs = Runs(direction_of(self._mode), self._max_t, promise=self._promise)
        run, last = trial.trial_id, trial.last_result
        if self.runs.has_reported(run) or not {self._metric, self._time_attr} <= set(last):
            return  # it failed and is tried again, or begins
        self.runs.start(run, trial.config)
        self.runs.report(run, last[self._time_attr], last[self._metric])
        if trial.is_finished():
            self.runs.end(run)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop or go on; results without the metric or the time are passed over."""
        if self._metric not in result or self._time_attr not in result:
            return TrialScheduler.CONTINUE
        assert self.runs is not None
        epoch, value = result[self._time_attr], result[self._metric]
        if self.runs.stops(trial.trial_id, epoch, value, trial.config):
            return TrialScheduler.STOP
        sign = 1.0 if self._mode == "max" else -1.0
        self._ends[trial.trial_id] = sign * self.runs.history[-1].predicted
        better = [t for t in self._waiting(tune_controller) if self._end(t) > self._end(trial)]
        return TrialScheduler.PAUSE if self._pause and better else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial to start or to go on with: one that has not begun, else the best predicted."""
        if not self._pause:
            return super().choose_trial_to_run(tune_controller)
        return max(self._waiting(tune_controller), key=self._end, default=None)

    def _waiting(self, tune_controller: Any) -> list[Trial]:
        return [
            t for t in tune_controller.get_trials() if t.status in (Trial.PENDING, Trial.PAUSED)
        ]

    def _end(self, trial: Trial) -> float:
        """Predicted gain at the end; of a trial that has not begun inf."""
        return self._ends.get(trial.trial_id, float("inf"))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """The trial ended by itself."""
        if self.runs is not None:
            self.runs.end(trial.trial_id)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The trial failed: what it reported counts as far as it goes."""
        if self.runs is not None:
            self.runs.end(trial.trial_id)

    def debug_string(self) -> str:
        """How many trials were stopped, for Ray's status."""
        stopped = sum(advice.stop for advice in self.runs.history) if self.runs else 0
        return f"Using CurveScheduler: {stopped} trials were stopped early."
