"""The command `curvecast search`: a study of one's own network, with a live table and a page."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curvecast import cli_logs

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from curvecast.curves import CurveSet
    from curvecast.studies.evaluation import Config, Evaluation
    from curvecast.studies.objectives.training import Training

DONE, FAILED, INTERRUPTED = 0, 1, 130
SAMPLERS = ("freeze_thaw", "bohb", "evolution", "grid", "hyperband", "random")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHOWN = 10
# The predictor may take one part in so many of the time.
_PATIENCE = 20


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    search = commands.add_parser(
        "search",
        help="search hyper-parameters of a network of your own",
        description="Typed again, an interrupted search goes on; with a larger budget an ended "
        "one does.",
    )
    search.add_argument("task", help="the network: file.py:Class or package.module:Class")
    search.add_argument(
        "--budget", required=True, type=seconds, help="time for training, such as 90s, 30m or 2h"
    )
    search.add_argument("--out", required=True, help="folder of the log, the curves and the page")
    search.add_argument("--sampler", default=SAMPLERS[0], choices=SAMPLERS)
    search.add_argument(
        "--sources",
        nargs="+",
        default=[],
        help="folders of earlier searches, or logs of any tool, to begin with the best settings",
    )
    search.add_argument("--workers", type=int, default=1, help="trainings at a time (1)")
    search.add_argument(
        "--ray", help="on a Ray cluster: auto, its address, or local (this machine)"
    )
    search.add_argument("--cpus", type=int, help="of a training on the cluster (1)")
    search.add_argument("--gpus", type=float, help="of a training on the cluster (0)")
    search.add_argument("--timeout", type=seconds, help="of one training up to its next pause")
    search.add_argument("--seed", type=int, default=0, help="of the search (0)")
    search.set_defaults(answer=_search)


def seconds(text: str) -> int:
    """Seconds in a text such as 90s, 30m, 2h or 1d."""
    match = re.fullmatch(r"([1-9]\d*)([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m, 2h or 1d")
    return int(match[1]) * _UNITS[match[2]]


def _search(options: argparse.Namespace) -> int:
    from curvecast.files import DataError
    from curvecast.studies.definitions import task_of
    from curvecast.studies.evaluation import StudyError, ranked
    from curvecast.studies.log import read_evaluations
    from curvecast.studies.objectives.training import Training
    from curvecast.studies.scheduler import run
    from curvecast.studies.settings import Settings

    if options.workers < 1:
        raise DataError(f"--workers is {options.workers}, at least 1 is needed")
    objective = Training(task_of({"task": options.task}))
    folder, status = Path(options.out), DONE
    settings = Settings(
        objective.task.name,
        options.sampler,
        seed=options.seed,
        max_budget=objective.task.n_epochs,
        total_seconds=options.budget,
        workers=options.workers,
        ray=_cluster(options),
        points_to_evaluate=_points(objective, folder / "study/study.json", options.sources),
        timeout=options.timeout,
    )
    try:
        with Board(objective, options) as board:
            run(settings, objective, folder / "study", board.watch)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except StudyError as error:
        print(f"Error: {error}", file=sys.stderr)
        status = FAILED
    log = folder / "study"
    done = read_evaluations(log) if (log / "results.json").exists() else []
    if not done:
        print("Nothing was evaluated.")
        return status
    print(_results(objective, done, folder, options))
    if status == INTERRUPTED:
        print("Interrupted; the same command goes on.")
    return status if ranked(done) else status or FAILED


def _points(objective: Training, begun: Path, sources: Sequence[str]) -> list[Config]:
    """Configurations to begin with: those of the search that goes on, or of earlier ones."""
    from curvecast.data.logs import read
    from curvecast.files import read_json
    from curvecast.studies.evaluation import native
    from curvecast.studies.portfolio import portfolio

    if begun.exists():
        study = read_json(begun)
        # In another space the search begins anew.
        if study["space"] == native(objective.space.to_serialized_dict()):
            points: list[Config] = study["settings"]["points_to_evaluate"]
            return points
    logs = [Path(source, "study") for source in sources]
    return portfolio([log if log.exists() else read(log.parent) for log in logs], objective.space)


def _cluster(options: argparse.Namespace) -> dict[str, Any] | None:
    from curvecast.files import DataError

    needs = {"num_cpus": options.cpus, "num_gpus": options.gpus}
    given = {key: value for key, value in needs.items() if value is not None}
    if given and options.ray is None:
        raise DataError("--cpus and --gpus are of a training on a cluster; give --ray as well")
    return None if options.ray is None else {"address": options.ray, **given}


def _results(
    objective: Training, done: list[Evaluation], folder: Path, options: argparse.Namespace
) -> str:
    """Write the tables and the page; returns what to print."""
    from curvecast.files import write_csv, write_json
    from curvecast.report.page import runs
    from curvecast.stopping.advice import PROMISE, advise, check
    from curvecast.studies.evaluation import ranked
    from curvecast.studies.summary import evaluations_frame

    evaluations = folder / "evaluations.csv"
    frame = evaluations_frame(done, objective.task.name, options.sampler, options.seed)
    write_csv(frame, evaluations)
    best = next(iter(ranked(done)), None)
    if best is None:
        return f"No training has a result: {done[-1].reason}\n{evaluations}"
    curves = under_way(objective, done)
    curves.to_parquet(folder / "curves.parquet")
    page = folder / "report.html"
    runs.write(page, curves, advise(curves), check(curves), promise=PROMISE, level=0.8)
    scores = {k: best.info.get(k) for k in ("validation", "test")}
    scores = {k: score for k, score in scores.items() if isinstance(score, int | float)}
    value = -curves.sign * best.loss
    chosen = {"config": best.config, curves.metric: value, "epochs": best.budget, **scores}
    write_json(chosen, folder / "best.json")
    scored = "".join(f", {name} score {score:.4g}" for name, score in scores.items())
    files = (page, folder / "best.json", evaluations, folder / "curves.parquet")
    return f"{_best(curves, best)}{scored}\n{', '.join(map(str, files))}"


def under_way(objective: Training, done: Sequence[Evaluation]) -> CurveSet:
    """The runs of a search; what is paused counts as under way, what has failed does not."""
    curves = objective.collect(done)
    last = {"-".join(map(str, e.id)): e for e in done}
    states = [
        "running" if last[run].reason is None and last[run].trained < curves.last_epoch else "ended"
        for run in curves.configs["id"]
    ]
    return replace(curves, configs=curves.configs.assign(info_state=states))


def _best(curves: CurveSet, best: Evaluation) -> str:
    value = -curves.sign * best.loss
    return f"best {curves.metric} {value:.4g} at epoch {best.budget:g}: {_text(best.config)}"


def _text(config: Config) -> str:
    items = ((k, f"{v:.3g}" if isinstance(v, float) else v) for k, v in config.items())
    return ", ".join(f"{name} {value}" for name, value in items)


class Board:
    """What a search prints: on a terminal a table that changes, elsewhere a line per new best.

    An interrupt ends the search where nothing is half done, a second one at once.
    """

    def __init__(self, objective: Training, options: argparse.Namespace) -> None:
        from rich.console import Console
        from rich.live import Live

        self._objective, self._options = objective, options
        self._live = Live(console=Console(), auto_refresh=False, transient=True)
        self._shown: Evaluation | None = None
        self._advice: pd.DataFrame | None = None
        self._next = 0.0
        self._interrupted = False

    def _interrupt(self, *_: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def __enter__(self) -> Board:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        if sys.stdout.isatty():
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        signal.signal(signal.SIGINT, self._before)

    def watch(self, done: Sequence[Evaluation], running: Sequence[tuple[Config, float]]) -> None:
        """Show the state of a search; see `scheduler.Watch`."""
        from curvecast.studies.evaluation import ranked

        if self._interrupted:
            raise KeyboardInterrupt
        best = next(iter(ranked(done)), None)
        if best is None or (best is self._shown and not self._live.is_started):
            return
        self._shown, curves = best, under_way(self._objective, done)
        head = [_best(curves, best), self._state(done, running)]
        if self._live.is_started:
            self._live.update(self._table(curves, done, head), refresh=True)
        else:
            print(f"{head[0]}; {head[1]}", flush=True)

    def _state(self, done: Sequence[Evaluation], running: Sequence[tuple[Config, float]]) -> str:
        used = sum(e.seconds["finished"] - e.seconds["started"] for e in done)
        used /= self._options.workers
        left = max(self._options.budget - used, 0)
        return (
            f"{len({e.id for e in done})} configurations, {sum(e.cost for e in done):g} epochs; "
            f"{len(running)} training, {_time(left)} of {_time(self._options.budget)} left"
        )

    def _table(
        self, curves: CurveSet, done: Sequence[Evaluation], head: list[str]
    ) -> RenderableType:
        from rich.console import Group

        from curvecast.stopping.advice import advise

        began = time.monotonic()
        if began >= self._next:
            self._advice = advise(curves)
            now = time.monotonic()
            self._next = now + _PATIENCE * (now - began)
        assert self._advice is not None
        configs = {"-".join(map(str, e.id)): _text(e.config) for e in done}
        rows = self._advice.head(_SHOWN)
        table = cli_logs.table(rows.assign(settings=rows["run"].map(configs)), "settings")
        return Group(*head, table)


def _time(left: float) -> str:
    minutes = round(left / 60)
    if left < 100:
        return f"{left:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
