"""A callback for the Hugging Face Trainer that predicts the end, and ends what cannot win.

    Trainer(..., callbacks=[CurveCallback("eval_loss", earlier=curves)])

Needs transformers >= 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curvecast.extras import missing
from curvecast.integrations._runs import Advice, Watch

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError(missing(error)) from error

__all__ = ["CurveCallback"]


class CurveCallback(TrainerCallback):
    """Predict the end of the training with an interval at each evaluation.

    The log history (`trainer_state.json`) gets `curvecast_predicted`, `low`, `high` and `worse`;
    they stand in `curvecast.csv` in the output folder too. Epochs are steps, up to `max_steps`.
    A training that goes on from a checkpoint takes its earlier evaluations from the log history.

    Parameters
    ----------
    monitor, mode : the metric of the evaluation, and "min" or "max".
    options : of `curvecast.integrations._runs.Watch`: earlier, config, promise, stop, path, writer.

    Raises
    ------
    DataError : the metric is not evaluated. With several data sets each evaluation has its own
        metrics; the second step at which none has it raises.
    """

    def __init__(self, monitor: str = "eval_loss", mode: str = "min", **options: Any) -> None:
        self.watch = Watch(monitor, mode, **options)
        # The last step with an evaluation that lacked the metric, and none that had it.
        self._without: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Begin with the planned number of steps, or go on."""
        if self.watch.path is None and state.is_world_process_zero:
            self.watch.path = Path(args.output_dir or ".", "curvecast.csv")
        self.watch.begin(state.max_steps, history=self._logged(state.log_history))

    def _logged(self, log_history: list[dict[str, Any]]) -> list[Advice]:
        """The evaluations in a log history, with what was predicted then."""
        by_step: dict[int, dict[str, Any]] = {}
        for entry in (entry for entry in log_history if "step" in entry):
            by_step.setdefault(entry["step"], {}).update(entry)
        names = ("predicted", "low", "high", "worse")
        history = []
        for step, entry in by_step.items():
            if self.watch.monitor in entry:
                value = float(entry[self.watch.monitor])
                numbers = {name: float(entry.get(f"curvecast_{name}", "nan")) for name in names}
                history.append(
                    Advice(self.watch.RUN, step, value, **numbers, stop=False, reason="")
                )
        return history

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **given: Any,
    ) -> TrainerControl:
        """Predict, log, and end the training where that is advised.

        All processes have the same metrics, so that they decide alike.
        """
        if self.watch.runs is None or state.global_step == 0:
            return control
        metrics = metrics or {}
        if self.watch.monitor not in metrics and self._without in (None, state.global_step):
            self._without = state.global_step
            return control
        advice = self.watch.validated(state.global_step, metrics)
        self._without = None
        if advice is not None:
            scalars = {f"curvecast_{k}": v for k, v in advice.scalars().items()}
            state.log_history.append({"step": state.global_step, "epoch": state.epoch, **scalars})
        if self.watch.ends(advice):
            control.should_training_stop = True
        return control

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Warn where nothing was evaluated."""
        self.watch.end()
