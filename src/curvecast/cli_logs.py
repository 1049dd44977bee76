"""The commands about logs of other tools: `inspect`, `report` and `watch`."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from curvecast.curves import CurveSet
    from curvecast.data.logs import Log

DONE, STOP = 0, 3
_SHOWN = 12
# Seconds, a year: what a process can sleep at most is not much more.
_LONGEST = 3e7


def within(what: str, fits: Callable[[Any], bool], kind: type = float) -> Callable[[str], Any]:
    """The type of an option whose number has to fit; `what` says what it has to be."""

    def read(text: str) -> Any:
        try:
            if fits(value := kind(text)):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")

    return read


SHARE = within("a number above 0 and below 1", lambda x: 0 < x < 1)
PROMISE = within("a number above 0 and at most 1", lambda x: 0 < x <= 1)
SECONDS = within("a number of seconds", lambda x: 0 <= x <= _LONGEST)
COUNT = within("a whole number above 0", lambda n: n > 0, int)


def add(commands: Any) -> None:
    """Add the commands to the parser's."""
    inspect = commands.add_parser("inspect", help="say what a log of any tool holds")
    _log(inspect)
    inspect.set_defaults(answer=_inspect)

    report = commands.add_parser("report", help="write a page of advice on the runs of a log")
    _log(report)
    _advice(report)
    report.add_argument("--out", default="curvecast.html", help="the page (curvecast.html)")
    report.set_defaults(answer=_report)

    watch = commands.add_parser(
        "watch",
        help="advise again whenever a log grows",
        description="Exit status: 3 as soon as a run should end, 0 when none is under way.",
    )
    _log(watch)
    _advice(watch)
    watch.add_argument("--out", help="page to write again each time")
    watch.add_argument(
        "--every", type=SECONDS, default=30, help="seconds between two readings (30)"
    )
    watch.add_argument(
        "--exec",
        help="command for each run that should end, {run} in it is the run's name, quoted; "
        "then watching goes on",
    )
    watch.set_defaults(answer=_watch)

    adapt = commands.add_parser(
        "adapt", help="teach pfn your earlier runs; the answer is --model pfn:FILE from then on"
    )
    adapt.add_argument("paths", nargs="+", help="logs of any tool, one per task, five or more")
    metric_options(adapt)
    adapt.add_argument("--out", required=True, help="file to write, *.safetensors")
    adapt.add_argument("--steps", type=COUNT, help="of the training (1.5 per run, at most 5000)")
    adapt.add_argument("--seed", type=int, default=0, help="of the training (0)")
    adapt.set_defaults(answer=_adapt)


def metric_options(parser: argparse.ArgumentParser) -> None:
    """Add what a log may leave open."""
    parser.add_argument("--metric", help="to predict, where the log has several")
    parser.add_argument("--direction", choices=("maximize", "minimize"), help="of the metric")
    parser.add_argument("--epochs", type=COUNT, help="last epoch of a complete run")


def _log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", help="file or folder that a tool logged into; - reads a table")
    metric_options(parser)
    parser.add_argument(
        "--target",
        choices=("end", "best", "own_end"),
        default="end",
        help="predict the value at the last epoch (end), the best one, or that at a run's own end",
    )
    parser.add_argument("--settings", help="table of the runs' settings, a row per run")


def _advice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--promise",
        type=PROMISE,
        default=0.9,
        help="share of the would-be winners to survive (0.9)",
    )
    parser.add_argument("--model", default="pfn", help="predictor (pfn), or pfn:FILE of `adapt`")
    parser.add_argument("--level", type=SHARE, default=0.8, help="of the intervals (0.8)")


def _adapt(options: argparse.Namespace) -> int:
    from curvecast.data.logs import read
    from curvecast.training.adapted import adapt

    sources = [
        read(path, options.metric, options.direction, epochs=options.epochs)
        for path in options.paths
    ]
    adapt(sources, options.out, steps=options.steps, seed=options.seed, show=_progress)
    print(f"From now on: --model pfn:{options.out}")
    return DONE


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


def _curves(options: argparse.Namespace) -> CurveSet:
    from curvecast.data.logs import read

    return read(
        options.path,
        options.metric,
        options.direction,
        epochs=options.epochs,
        target=options.target,
        settings=options.settings,
    )


def _inspect(options: argparse.Namespace) -> int:
    from curvecast.data.logs import Question, curves_of, length_of, metric_of, path_of, read_log

    path = path_of(options.path)
    log = read_log(options.path, options.settings)
    print(f"format    {log.tool}")
    print(f"metrics   {_list(log.metrics)}")
    for note in log.notes:
        print(f"note      {note}")
    try:
        metric = metric_of(log, options.metric, path)
        curves = curves_of(
            log, path, metric, options.direction, options.epochs, target=options.target
        )
    except Question as question:
        print(f"runs      {len(log.runs)}: {_list(log.runs)}")
        print(f"settings  {_settings(log)}")
        print(f"question  {question.problem}")
        return DONE
    states = curves.configs["info_state"].value_counts()
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    last, why = length_of(log, metric, options.epochs)
    print(f"runs      {len(curves)}: {counts}")
    recorded = curves.values[:, (curves.values == curves.values).any(axis=0)].shape[1]
    print(f"epochs    {curves.epochs[0]} to {last} ({why}), {recorded} recorded")
    print(f"predicts  {metric} at epoch {last}, to {curves.direction}")
    print(f"settings  {_settings(log)}")
    for note in curves.notes[len(log.notes) :]:
        print(f"note      {note}")
    command = ["curvecast", "report", options.path]
    for name in ("metric", "direction", "epochs", "settings"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    command += ["--target", options.target] if options.target != "end" else []
    print(f"next      {shlex.join(command)}")
    return DONE


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f", ... ({len(names)})" if len(names) > _SHOWN else "")


def _settings(log: Log) -> str:
    import pandas as pd

    texts = []
    for name in log.settings:
        values = log.settings[name].dropna()
        numbers = pd.to_numeric(values, errors="coerce")
        if values.astype(str).nunique() < 2:
            continue
        if numbers.notna().all():
            text = f"{numbers.min():g} to {numbers.max():g}"
        else:
            text = _list(sorted(set(values.astype(str))))
        texts.append(f"{name} ({text})")
    if equal := len(log.settings.columns) - len(texts):
        texts.append(f"{equal} equal in all runs")
    return "; ".join(texts) or "none"


def _report(options: argparse.Namespace) -> int:
    from curvecast.stopping.advice import advise, left_out

    curves = _curves(options)
    advice = advise(curves, promise=options.promise, model=options.model, level=options.level)
    _write(curves, advice, options)
    print(f"{curves.metric} at epoch {curves.last_epoch}: {_sentence(advice)}; {options.out}")
    if note := left_out(curves, options.model):
        print(f"Note: {note}")
    return DONE


def _write(curves: CurveSet, advice: pd.DataFrame, options: argparse.Namespace) -> None:
    from curvecast.report.page import runs
    from curvecast.stopping.advice import check, left_out

    checked = check(curves, promise=options.promise, model=options.model)
    if note := left_out(curves, options.model):
        curves = replace(curves, notes=(*curves.notes, note))
    given = {"promise": options.promise, "level": options.level}
    runs.write(options.out, curves, advice, checked, **given)


def _sentence(advice: pd.DataFrame) -> str:
    stop = advice.loc[advice["advice"] == "stop", "run"].tolist()
    if not stop:
        return f"stop none of {len(advice)} runs under way"
    return f"stop {len(stop)} of {len(advice)} runs under way: {_list(stop)}"


def _watch(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from curvecast.data.logs import Question
    from curvecast.files import DataError
    from curvecast.stopping.advice import advise

    if options.path == "-" or Path(options.path).is_fifo():
        raise DataError("standard input cannot be watched, only a file or a folder")
    before, ended, waiting = None, set(), ""
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            state = _state(Path(options.path), options.out)
            if state == before:
                time.sleep(options.every)
                continue
            first, before = before is None, state
            try:
                curves = _curves(options)
            except (DataError, OSError) as error:
                if isinstance(error, Question) or (first and not Path(options.path).exists()):
                    raise
                # It is too young, or a program is writing it: the next state tells more.
                if not live.console.is_terminal and waiting != str(error):
                    print(f"Waiting: {error}", file=sys.stderr, flush=True)
                live.update(Text(f"Waiting: {error}"), refresh=True)
                waiting = str(error)
                continue
            advice = advise(
                curves, promise=options.promise, model=options.model, level=options.level
            )
            live.update(table(advice) if len(advice) else _sentence(advice), refresh=True)
            if options.out:
                _write(curves, advice, options)
            stop = [r for r in advice.loc[advice["advice"] == "stop", "run"] if r not in ended]
            if stop and not options.exec:
                return STOP
            for run in stop:
                _end(run, options.exec)
            ended |= set(stop)
            if set(advice["run"]) <= ended:
                return STOP if ended else DONE


def _end(run: str, command: str) -> None:
    """Run the user's command for a run."""
    command = command.replace("{run}", shlex.quote(run))
    if status := subprocess.run(command, shell=True).returncode:
        print(f"Note: status {status} of {command}", file=sys.stderr)


def _state(path: Path, page: str | None) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files of a log but the page: what changes when it grows.

    SQLite may write to `NAME-wal` beside a database; it makes that file, empty, and `NAME-shm` when
    the database is read as well.
    """
    out, own = [], Path(page).resolve() if page else None
    beside = path.with_name(f"{path.name}-wal")
    for file in [path, beside] if path.is_file() else sorted(path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # a program may remove it meanwhile
            stat = file.stat()
            left_out = file.name.endswith("-shm") or file.resolve() == own
            if S_ISREG(stat.st_mode) and stat.st_size and not left_out:
                out.append((str(file), stat.st_size, stat.st_mtime_ns))
    return out


def table(advice: pd.DataFrame, *more: str) -> Any:
    """Advice for a terminal, with `more` of its columns; runs to stop are in another colour."""
    from rich.table import Table
    from rich.text import Text

    columns = (
        "run",
        "advice",
        "epoch",
        "value",
        "predicted",
        "low",
        "high",
        "best",
        "worse",
        *more,
    )
    table = Table(*columns)
    for row in advice[list(columns)].itertuples(index=False):
        # Text: the name of a run may have brackets, which would be markup.
        cells = [Text(f"{cell:.4g}" if isinstance(cell, float) else str(cell)) for cell in row]
        table.add_row(*cells, style="dark_orange3" if row.advice == "stop" else "")
    return table
