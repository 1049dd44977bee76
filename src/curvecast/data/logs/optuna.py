"""Optuna: a study in an SQLite storage or a journal, with the intermediate values of its trials."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curvecast.data.cells import header_of, kind_of
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import table_of, trained
from curvecast.data.logs._sqlite import is_sqlite, tables
from curvecast.extras import missing
from curvecast.files import DataError

_EXPORT = {"number", "value", "state"}


def recognises(path: Path) -> bool:
    """Whether a file is Optuna's database, its journal, or an export of trials as a table."""
    if not path.is_file():
        return False
    if is_sqlite(path):
        return "trial_intermediate_values" in tables(path)
    return _is_journal(path) or (kind_of(path) != "" and set(header_of(path)) >= _EXPORT)


def _is_journal(path: Path) -> bool:
    with path.open("rb") as stream:
        return b'"op_code"' in stream.readline(10_000)


def read(path: Path) -> Log:
    """Read the study; trials that failed or were pruned have ended.

    Raises DataError where optuna is not installed or cannot read the file, where there are several
    studies, and for the table of `trials_dataframe`, which has no intermediate values.
    """
    if not is_sqlite(path) and not _is_journal(path):
        raise DataError(
            "an export of trials has no curves: give the storage, the .db file, instead", file=path
        )
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise DataError(missing(error), file=path) from error
    try:
        storage: str | optuna.storages.BaseStorage = f"sqlite:///{path}"
        if not is_sqlite(path):
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        names = optuna.get_all_study_names(storage)
        study = optuna.load_study(study_name=names[0], storage=storage) if len(names) == 1 else None
        trials = study.trials if study else []
    except Exception as error:  # of optuna, its database or JSON, whatever is damaged
        raise DataError(f"optuna cannot read it ({error})", file=path) from error
    if study is None:
        raise DataError(f"it holds {len(names)} studies, not one: {', '.join(names)}", file=path)
    if len(study.directions) != 1:
        raise DataError(f"the study has {len(study.directions)} objectives, not one", file=path)
    maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
    metric = "score" if maximize else "loss"
    going = (optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.WAITING)
    rows, settings, ended = [], {}, set()
    for trial in trials:
        run = f"trial {trial.number}"
        settings[run] = dict(trial.params)
        if trial.state not in going:
            ended.add(run)
        for step, value in sorted(trial.intermediate_values.items()):
            rows.append((run, step, float("inf") if value != value else value))
    if not rows:
        raise DataError("no trial has reported an intermediate value", file=path)
    table = pd.DataFrame(rows, columns=[RUN, EPOCH, metric])
    table[EPOCH] = trained(table[EPOCH].to_numpy())
    note = f"the study's values, to {'maximize' if maximize else 'minimize'}, are called {metric}"
    return Log("Optuna", table, table_of(settings), ended=frozenset(ended), notes=(note,))
