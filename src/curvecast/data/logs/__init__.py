"""Reads the logs of training tools as runs with curves; one file of this folder per format.

A format is one file with

    recognises(path) -> bool : whether a path (file or folder) is of this format
    read(path) -> Log

and, where it would also recognise what others do better, `GENERAL = True`: it is asked last.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.data.cells import STDIN, as_text, is_number, read_stream, read_table, text_of_its_own
from curvecast.data.columns import Layout, assemble
from curvecast.data.logs._names import direction_by_name, is_metric, is_of_validation
from curvecast.data.logs._restarts import without_outdated
from curvecast.data.stanza import Direction
from curvecast.files import DataError

Source = str | Path | pd.DataFrame
Target = Literal["end", "best", "own_end"]
RUN, EPOCH = "run", "epoch"
_CURVE = "curve:"
_PLANNED = ("epochs", "max_epochs", "num_epochs", "n_epochs", "num_train_epochs", "total_epochs")
_GROUPS = ("", *(f"{name}." for name in ("trainer", "training", "train", "config", "args", "cfg")))
_SHOWN = 3
STATES = ("state", "status")
_ENDED = (
    *("finished", "complete", "completed", "done", "ended", "stopped", "pruned", "terminated"),
    *("failed", "fail", "error", "crashed", "killed", "cancelled"),
)
# Tools that write several rows for an epoch.
_ROWS_REPEAT = {
    *("Lightning", "Transformers", "MMEngine", "printed text"),
    *("Weights & Biases", "Trackio"),
}


class Question(DataError):
    """What a log leaves open and an option answers; `problem` is the question."""


@dataclass(frozen=True)
class Log:
    """Runs as a tool logged them.

    Attributes
    ----------
    tool : name of the format.
    rows : DataFrame with the columns `run` (str), `epoch` (int, trained epochs or steps) and one
        column of floats per metric; NaN means not logged, inf a value that was logged as NaN or
        infinite. A run may log different metrics in different rows.
    settings : DataFrame, one row per run (index: run), one column per setting, text or numbers.
    planned : epochs that a run will have at its end, by run, where the log says it.
    ended : runs that do not go on, where the log says it; others without their last epoch are
        running.
    notes : remarks on what was read.
    """

    tool: str
    rows: pd.DataFrame
    settings: pd.DataFrame = field(default_factory=pd.DataFrame)
    planned: Mapping[str, int] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, in the order of the log."""
        return [str(column) for column in self.rows if column not in (RUN, EPOCH)]

    @property
    def runs(self) -> list[str]:
        """Names of the runs, in the order of the log."""
        return list(dict.fromkeys(self.rows[RUN]))


def read_log(source: Source, settings: str | Path | None = None) -> Log:
    """Read a log of any format that this folder knows.

    Parameters
    ----------
    source : a file, or a folder of runs; `-` is standard input, which may hold a table as CSV or
        JSON lines, as a pipe may; or a DataFrame, a row per run or per run and epoch.
    settings : a further table with one row per run, its first column (or `run`, `name`, `Name`,
        `id`) naming the runs: their settings, where the log has none.

    Raises
    ------
    DataError : the path does not exist, no format recognises it, or the log cannot be used.
    """
    path = path_of(source)
    if isinstance(source, pd.DataFrame):
        log = _of_table(source, path)
    elif str(source) == STDIN or path.is_fifo():
        log = _of_table(read_stream(Path(source)), path)
    elif not path.exists():
        raise DataError("there is no such file or folder", file=path)
    else:
        formats = [importlib.import_module(f"{__name__}.{name}") for name in formats_known()]
        formats.sort(key=lambda module: getattr(module, "GENERAL", False))
        reader = next((module for module in formats if module.recognises(path)), None)
        if reader is None:
            raise DataError(
                "the format is not known: no log of a tool, no table with columns `run` and "
                "`epoch` or a column per epoch, no printed lines like `epoch 3: val_loss=0.5`",
                file=path,
            )
        log = reader.read(path)
    if not len(log.rows) or not log.metrics:
        raise DataError("the log holds no curve", file=path)
    log = log if settings is None else _with_settings(log, Path(settings))
    return _without_names(_with_states(_in_order(log)))


def path_of(source: Source) -> Path:
    """The path of a log, which has a name; of a table without one, what stands for it."""
    if isinstance(source, pd.DataFrame):
        return Path("table")
    path = Path("stdin" if str(source) == STDIN else source)
    return path if path.name.strip(".") else path.resolve()


def _of_table(table: pd.DataFrame, path: Path) -> Log:
    if any(table.index.names):
        table = table.reset_index()
    table = table.set_axis([str(column) for column in table.columns], axis=1)
    table.index = pd.RangeIndex(1, len(table) + 1)
    for reader in (importlib.import_module(f"{__name__}.{name}") for name in ("long", "wide")):
        if reader.suits(table):
            return reader.of(table, path)
    raise DataError(
        "neither a row per run and epoch (columns `run` and `epoch`) nor a row per run", file=path
    )


def formats_known() -> list[str]:
    """Names of the formats, in alphabetical order."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if not name.startswith("_"))


def _in_order(log: Log) -> Log:
    """One row per run and epoch: the last value that was logged there; planned lengths."""
    order = log.runs
    rows, left = without_outdated(log.rows, RUN, EPOCH)
    of_epochs = rows.groupby([RUN, EPOCH], sort=True)
    # A row may hold one of several metrics.
    repeated = int((of_epochs.count().max(axis=1) - 1).clip(lower=0).sum())
    rows = of_epochs.last().reset_index()
    rows[RUN] = pd.Categorical(rows[RUN], order)
    rows = rows.sort_values([RUN, EPOCH], kind="stable").reset_index(drop=True)
    rows[RUN] = rows[RUN].astype(object)
    settings = log.settings.reindex(order) if len(log.settings) else pd.DataFrame(index=order)
    notes = (*_grouped(log.notes), *left)
    if repeated and log.tool not in _ROWS_REPEAT:
        notes += (f"{repeated} rows repeat a run and an epoch: the last value counts",)
    return _with_plan(replace(log, rows=rows, settings=settings, notes=notes))


def _grouped(notes: Sequence[str]) -> list[str]:
    """Remarks `run: what`, with at most three of the runs of which the same is to be said."""
    runs: dict[str, list[str]] = {}
    for note in notes:
        run, _, what = note.partition(": ")
        runs.setdefault(what, []).append(run)
    return [
        ", ".join(names[:_SHOWN])
        + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        + (f": {what}" if what else "")
        for what, names in runs.items()
    ]


def _with_plan(log: Log) -> Log:
    """The log with the lengths that it or one of its settings plans; runs that are through ended.

    Numbers that a run has gone beyond are no lengths: they count something else than the log does
    (epochs beside steps), or the run was continued. One more is what Lightning logs after the end.
    """
    longest = log.rows.groupby(RUN)[EPOCH].max()
    plans = {"": pd.Series(dict(log.planned), dtype=np.float64)}
    plans |= {
        name: pd.to_numeric(log.settings[name], errors="coerce")
        for name in (f"{group}{planned}" for group in _GROUPS for planned in _PLANNED)
        if name in log.settings
    }
    for name, plan in plans.items():
        lengths = plan[np.isfinite(plan) & (plan > 0)].astype(np.int64)
        # A run that plans nothing goes as far as the others.
        limits = lengths.reindex(longest.index).fillna(lengths.max())
        if len(lengths) and not (longest > limits + 1).any():
            through = frozenset(longest.index[longest >= limits])
            settings = log.settings.drop(columns=[name] if name else [])
            planned = {str(run): int(length) for run, length in lengths.items()}
            return replace(log, settings=settings, planned=planned, ended=log.ended | through)
    return replace(log, planned={})


def _with_settings(log: Log, path: Path) -> Log:
    table = read_table(path)
    name = next((c for c in (RUN, "name", "Name", "id") if c in table), table.columns[0])
    table = table.set_index(table[name].astype(str).str.strip()).drop(columns=name)
    for run in log.runs:
        if (n := int((table.index == run).sum())) != 1:
            raise DataError(f"there are {n or 'no'} rows for run {run!r}", file=path, column=name)
    return replace(log, settings=table.loc[log.runs])


def _with_states(log: Log) -> Log:
    """A setting `state` or `status` that says of runs that they have ended is no setting."""
    for name in (c for c in log.settings if str(c).lower() in STATES):
        states = log.settings[name].astype(str).str.strip().str.lower()
        if states.isin(_ENDED).any():
            ended = log.ended | set(states.index[states.isin(_ENDED)])
            log = replace(log, settings=log.settings.drop(columns=name), ended=ended)
    return log


def _without_names(log: Log) -> Log:
    """A setting that repeats the name of each run, alone or at the end of a path, is none."""
    last = pd.Series([run.rpartition("/")[2] for run in log.settings.index], log.settings.index)
    cells = log.settings.map(lambda cell: str(cell).rpartition("/")[2])
    names = [name for name in cells if (cells[name] == last).all()]
    return replace(log, settings=log.settings.drop(columns=names))


def metric_of(log: Log, metric: str | None, path: Path) -> str:
    """The metric to predict: the one that is asked for, or the only (validation) metric.

    Names whose direction is known come before others. Raises Question that lists them where the
    choice is open.
    """
    if metric is not None:
        if metric not in log.metrics:
            raise DataError(f"no metric {metric!r}; there are {', '.join(log.metrics)}", file=path)
        return metric
    of_validation = list(filter(is_of_validation, log.metrics))
    known = list(filter(is_metric, of_validation or log.metrics))
    for names in (log.metrics, of_validation, known):
        if len(names) == 1:
            return names[0]
    shown = ", ".join(known or of_validation or log.metrics)
    raise Question(f"which metric is to be predicted? Say --metric with one of {shown}", file=path)


def direction_of(metric: str, direction: Direction | None, path: Path) -> Direction:
    """`maximize` or `minimize`: as asked for, or as the metric's name says; Question otherwise."""
    if direction is not None:
        return direction
    if (said := direction_by_name(metric)) is None:
        raise Question(
            f"is a larger {metric} better? Say --direction maximize or minimize", file=path
        )
    return said


def length_of(log: Log, metric: str, epochs: int | None) -> tuple[int, str]:
    """The last epoch of a complete run, and where that number comes from.

    It is the number that is asked for, else the longest planned length (where runs are through
    without a value there: the last epoch at which they have one), else the longest run's.
    """
    if epochs is not None:
        return epochs, "as asked for"
    rows = log.rows[log.rows[metric].notna()]
    if log.planned:
        last = max(log.planned.values())
        through = log.rows.loc[log.rows[EPOCH] == last, RUN]
        known = rows.loc[rows[RUN].isin(through) & (rows[EPOCH] <= last), EPOCH]
        return int(known.max()) if len(known) else last, "as the log plans it"
    return int(rows[EPOCH].max()), "the longest run's"


def curves_of(
    log: Log,
    path: Path,
    metric: str | None = None,
    direction: Direction | None = None,
    epochs: int | None = None,
    target: Target = "end",
) -> CurveSet:
    """The runs of a log as a CurveSet, whose `info_state` says how far each run is.

    It is `finished` (a value at the last epoch), `ended` (the log says that it does not go on) or
    `running`.

    Parameters
    ----------
    epochs : last epoch of a complete run; default: see `length_of`.
    target : what is to be predicted: the value at that epoch (`end`), the `best` value up to it
        (each value becomes the best so far), or the value with which a run ends (`own_end`: the
        last value of a run that ended early counts until the last epoch).

    Raises
    ------
    Question : the metric or its direction is open.
    DataError : no run has a value.
    """
    metric = metric_of(log, metric, path)
    direction = direction_of(metric, direction, path)
    last, _ = length_of(log, metric, epochs)
    wide = _wide(log, metric, last, path)
    ended = np.array([run in log.ended for run in wide.index])
    if target == "own_end":
        wide[ended] = wide[ended].ffill(axis=1)
    finished = wide[last].notna().to_numpy()
    state = np.select([finished, ended], ["finished", "ended"], "running")
    if target == "best":
        wide = _best_so_far(wide, direction, state == "running")
    settings, categories, notes = _legal(log.settings.loc[wide.index])
    parts = [part.reset_index(drop=True) for part in (settings, wide.add_prefix(_CURVE))]
    table = pd.concat(parts, axis=1)
    table.insert(0, "run:", range(len(table)))
    table.insert(1, "info_state", state)
    layout = Layout(
        curve_columns=_CURVE + "{epoch}",
        direction=direction,
        metric=metric,
        id="run:",
        hyperparameters=("*",),
        categorical=categories,
        info=("info_state",),
    )
    curves = assemble(table, layout, path, source=f"{path.name} ({log.tool})")
    # `info_state` says which runs have no final value.
    remarks = [note for note in curves.notes if " runs without " not in note]
    # Any text may name a run, `none` and `nan` too, which are empty cells of a table.
    configs = curves.configs.assign(id=np.array(wide.index, dtype=object))
    return replace(curves, configs=configs, notes=(*log.notes, *notes, *remarks))


def _wide(log: Log, metric: str, last: int, path: Path) -> pd.DataFrame:
    """A row per run, a column per epoch up to `last`, itself included if no run has reached it."""
    rows = log.rows[log.rows[metric].notna() & (log.rows[EPOCH] <= last)]
    if not len(rows) or not last:
        raise DataError(f"no run has a value up to epoch {last or 1}", file=path, column=metric)
    wide = rows.pivot(index=RUN, columns=EPOCH, values=metric).reindex(log.runs)
    if last not in wide:
        wide[last] = np.nan
    return wide


def _best_so_far(wide: pd.DataFrame, direction: Direction, running: np.ndarray) -> pd.DataFrame:
    """Each value as the best finite one so far; that of a run under way that diverged stays."""
    finite = wide.where(np.isfinite(wide))
    best = finite.cummax(axis=1) if direction == "maximize" else finite.cummin(axis=1)
    best = best.ffill(axis=1).fillna(wide).where(wide.notna())
    return best.mask(np.isinf(wide) & running[:, None], wide)


def _legal(settings: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Settings that can be inputs, which of them are categories, and a remark on the others.

    A setting with numbers and text, or with infinite numbers (`0.1` and `auto`, `1.0` and `inf`),
    is one of categories; where most runs have a text of their own it tells nothing.
    """
    categories: list[str] = []
    out: list[str] = []
    for name in settings:
        text = as_text(settings[name].to_numpy(dtype=object, na_value=""))
        text = text[text != "nan"]
        finite = [is_number(cell) and np.isfinite(float(cell)) for cell in text]
        if any(map(is_number, text)) and not all(finite):
            (out if text_of_its_own(text) else categories).append(str(name))
    note = f"left out, numbers and text, most runs with their own: {', '.join(out)}"
    return settings.drop(columns=out), categories, [note] if out else []


def read(
    source: Source,
    metric: str | None = None,
    direction: Direction | None = None,
    *,
    epochs: int | None = None,
    target: Target = "end",
    settings: str | Path | None = None,
) -> CurveSet:
    """Read the log of any tool as learning curves: `read_log`, then `curves_of`, which see."""
    log = read_log(source, settings)
    return curves_of(log, path_of(source), metric, direction, epochs, target)
