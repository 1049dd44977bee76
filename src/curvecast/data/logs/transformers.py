"""Hugging Face Trainer: `trainer_state.json` of each run, or of its checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd
from pydantic import BaseModel, FiniteFloat

from curvecast.data.cells import flat
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import logged_numbers, no_metric, run_files, settings_of, table_of
from curvecast.files import DataError
from curvecast.validation import validated

_FILE = "trainer_state.json"


class _State(BaseModel):
    """What is read of the file; other keys are passed over."""

    global_step: int
    log_history: list[dict[str, Any]]
    max_steps: int | None = None
    epoch: FiniteFloat | None = None
    trial_params: dict[str, Any] | None = None


def recognises(path: Path) -> bool:
    """Whether there is a `trainer_state.json`."""
    return bool(run_files(path, _FILE))


def _is_whole(at: Any) -> TypeGuard[float]:
    return isinstance(at, int | float) and float(at).is_integer()


def read(path: Path) -> Log:
    """Read the log: epochs where all evaluations fall on whole ones, else optimizer steps."""
    states: dict[str, tuple[_State, Path]] = {}
    for name, file in run_files(path, _FILE).items():
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"not the state of a Trainer ({error})", file=file) from error
        state = validated(_State, content, "not the state of a Trainer", file=file)
        run = re.sub(r"/?checkpoint-\d+$", "", name) or path.name
        if run not in states or states[run][0].global_step <= state.global_step:
            states[run] = state, file
    entries = [(run, e) for run, (s, _) in states.items() for e in s.log_history]
    evaluated = [e for _, e in entries if any(key.startswith("eval_") for key in e)]
    whole = all(_is_whole(e.get(EPOCH)) for e in evaluated or [e for _, e in entries])
    rows, planned = [], {}
    for run, entry in entries:
        at = entry.get(EPOCH if whole else "step")
        if _is_whole(at):
            numbers = {k: v for k, v in logged_numbers(entry).items() if not no_metric(k)}
            rows.append({RUN: run, EPOCH: int(at), **numbers})
    for run, (state, _) in states.items():
        steps, at = state.max_steps or 0, state.epoch or 0.0
        planned[run] = round(steps * at / max(state.global_step, 1)) if whole else steps
    settings = {
        run: settings_of(run, file.parent) | flat(state.trial_params or {})
        for run, (state, file) in states.items()
    }
    return Log("Transformers", pd.DataFrame(rows), table_of(settings), planned)
