"""A scheduler for syne-tune that predicts where a trial will end, and stops one that cannot win.

    Tuner(trial_backend, CurveScheduler(config_space, metric="loss", max_t=50), stop_criterion, 4)

Needs syne-tune >= 0.14.
"""

from __future__ import annotations

from typing import Any

from curvecast.extras import missing
from curvecast.integrations._runs import Runs
from curvecast.stopping.advice import PROMISE

try:
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.single_objective_scheduler import SingleObjectiveScheduler
except ImportError as error:
    raise ImportError(missing(error)) from error

__all__ = ["CurveScheduler"]


class CurveScheduler(SingleObjectiveScheduler):
    """Stop a trial when it is improbable that it ends better than the best one, and at `max_t`.

    Any searcher of syne-tune suggests the trials. What was advised is in `runs.history`.

    Parameters
    ----------
    config_space, metric, do_minimize, options : of syne-tune's `SingleObjectiveScheduler`
        (`searcher`, `random_seed`, `searcher_kwargs`).
    max_t : the last value of `time_attr` of a complete trial.
    time_attr : what counts epochs or steps in the results.
    promise : share of the trials that would become the best that is to survive.
    """

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        *,
        max_t: int,
        time_attr: str = "epoch",
        do_minimize: bool = True,
        promise: float = PROMISE,
        **options: Any,
    ) -> None:
        super().__init__(config_space, metric, do_minimize=do_minimize, **options)
        self.time_attr = time_attr
        self.runs = Runs("minimize" if do_minimize else "maximize", max_t, promise=promise)

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        """Stop or go on, after the searcher has seen the result."""
        super().on_trial_result(trial, result)
        epoch, value = result[self.time_attr], result[self.metrics[0]]
        ends = self.runs.stops(str(trial.trial_id), epoch, value, trial.config)
        return SchedulerDecision.STOP if ends else SchedulerDecision.CONTINUE

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        """The trial ended by itself."""
        super().on_trial_complete(trial, result)
        self.runs.end(str(trial.trial_id))

    def on_trial_error(self, trial: Trial) -> None:
        """The trial failed: what it reported counts as far as it goes."""
        super().on_trial_error(trial)
        self.runs.end(str(trial.trial_id))

    def metadata(self) -> dict[str, Any]:
        """Without the reports of the trials, which syne-tune stores itself."""
        metadata = super().metadata()
        options = metadata["scheduler_kwargs"]
        metadata["scheduler_kwargs"] = {k: v for k, v in options.items() if k != "runs"}
        return metadata
