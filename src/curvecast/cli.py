"""The command `curvecast`: fit a predictor on finished runs, and ask it about runs under way.

Exit status: 0 done (for `stop`: every run goes on), 1 an error about data, 2 wrong usage,
3 `stop` says of at least one run that it should end, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from curvecast import __version__, cli_logs, cli_search
from curvecast.extras import missing

if TYPE_CHECKING:
    import pandas as pd

    from curvecast.curves import CurveSet
    from curvecast.saved import Saved

DONE, BAD_DATA, STOP, INTERRUPTED = 0, 1, 3, 130
_FINITE = cli_logs.within("a finite number", math.isfinite)
_DIGITS = 4
_ROLES = {
    "hyperparameters": "columns of the settings (all that have no other role and can be settings)",
    "architecture": "columns of the architecture",
    "categorical": "columns of numbers that mean categories",
    "ignore": "columns to leave out",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    # Not above: `curvecast --help` answers before pandas and scikit-learn are there.
    from curvecast.files import DataError

    if isinstance(sys.stdout, io.TextIOWrapper):  # a run may have a name that it cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    answer: Callable[[argparse.Namespace], int] = options.answer
    try:
        status = answer(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who reads the answer has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_DATA
    except KeyboardInterrupt:
        return INTERRUPTED
    except DataError as error:
        problem = str(error)
    except ImportError as error:
        problem = missing(error)
    except OSError as error:
        # A file is written under another name first, and then gets its own.
        problem = f"file {error.filename2 or error.filename}: {error.strerror}"
    print(f"Error: {problem}", file=sys.stderr)
    return BAD_DATA


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="curvecast", description="Is this training run worth finishing?"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="show on a small search what this is, in ten seconds")
    demo.add_argument("--out", default="curvecast_demo.csv", help="its log (curvecast_demo.csv)")
    demo.set_defaults(answer=_demo)

    fit = commands.add_parser("fit", help="fit a predictor on finished runs and save it")
    fit.add_argument("curves", help="runs: the log of any tool, or a table with a row per run")
    cli_logs.metric_options(fit)
    fit.add_argument("--curve-columns", default="", help='of a table, as "acc_{epoch}"')
    fit.add_argument(
        "--model",
        help="name of the predictor (that with the smallest error here), or pfn:FILE or "
        "ensemble:FILE with a file of `adapt`",
    )
    fit.add_argument(
        "--seconds",
        type=cli_logs.SECONDS,
        default=60,
        help="to spend on choosing the predictor (60)",
    )
    fit.add_argument("--out", required=True, help="file to write, *.safetensors")
    fit.add_argument(
        "--fractions", nargs="+", type=float, help="of the curve, to predict at (.1 to .8)"
    )
    fit.add_argument("--id", help="column of a table that names the runs")
    for name, meaning in _ROLES.items():
        fit.add_argument(f"--{name}", nargs="+", metavar="COLUMN", help=f"{meaning}; * may stand")
    fit.add_argument("--seed", type=int, help="of the predictor")
    fit.set_defaults(answer=_fit)

    predict = commands.add_parser("predict", help="predict the final values of runs under way")
    _ask(predict)
    predict.add_argument("--epoch", type=int, help="see nothing after it (all that is there)")
    predict.add_argument("--level", type=cli_logs.SHARE, default=0.8, help="of the interval (0.8)")
    predict.set_defaults(answer=_predict)

    stop = commands.add_parser(
        "stop",
        help="say whether runs under way should end",
        description="Exit status: 0 every run goes on, 3 at least one should end.",
    )
    _ask(stop)
    stop.add_argument(
        *("--promise", "--delta"),
        dest="delta",
        type=cli_logs.PROMISE,
        default=0.9,
        help="share of the would-be winners to survive (0.9)",
    )
    stop.set_defaults(answer=_stop)
    cli_logs.add(commands)
    cli_search.add(commands)
    return parser


def _ask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        nargs="?",
        help="file that `curvecast fit` or the workflow saved; without it, or with pfn:FILE of "
        "`curvecast adapt`, a network answers that has seen other trainings",
    )
    parser.add_argument(
        "curves",
        help="runs: the log of any tool, or a table with a row per run, where epochs to come are "
        "empty",
    )
    parser.add_argument("--curve-columns", default="", help="their names, if not those fitted on")
    cli_logs.metric_options(parser)
    parser.add_argument("--beat", type=_FINITE, help="value to beat (the best finished run's)")
    parser.add_argument("--format", choices=("text", "csv", "json"), default="text")


def _asked(options: argparse.Namespace) -> tuple[Saved, CurveSet, float, str]:
    """The model, the runs, the value to beat and what that is."""
    from curvecast import saved
    from curvecast.files import DataError
    from curvecast.stopping.advice import MODEL

    named = {key: getattr(options, key) for key in ("metric", "direction", "epochs")}
    name = options.model or MODEL
    if name.partition(":")[0] == MODEL:
        if options.curve_columns:
            raise DataError("--curve-columns belongs to a model that `curvecast fit` saved")
        model, runs = saved.without_training(options.curves, model=name, **named)
    elif given := [key for key, value in named.items() if value is not None]:
        raise DataError(f"the model has {given[0]} of its own", file=options.model)
    else:
        model = saved.load(options.model)
        runs = saved.read_runs(options.curves, model, options.curve_columns)
    if options.beat is not None:
        return model, runs, options.beat, f"{options.beat:.{_DIGITS}g}"
    beat, meaning = model.bar(runs)
    return model, runs, beat, f"{beat:.{_DIGITS}g}, {meaning}"


def _demo(options: argparse.Namespace) -> int:
    from curvecast import demo

    demo.show(options.out)
    return DONE


def _fit(options: argparse.Namespace) -> int:
    from curvecast import choice, saved

    curves = _fitted_on(options)
    for note in curves.notes:
        print(f"Note: {note}", file=sys.stderr)
    print(_roles(curves, options.id))
    fractions = options.fractions or saved.FRACTIONS
    more = {key: getattr(options, key) for key in ("seed", "curve_columns", "id")}
    if options.model is None:
        model, tried = choice.choose(curves, fractions, seconds=options.seconds, **more)
        title = "error: of left-out runs, as a share of last_value's; the smallest one is chosen"
        _print(tried, "text", title=title)
        if tried["error"].min() >= 1:
            print("No model beats last_value on these runs: their last values say as much.")
        print(f"The same again: --model {model.model}")
    else:
        model = saved.train(options.model, curves, fractions, **more)
    saved.save(model, options.out)
    few = len(model.taus) <= len(saved.FRACTIONS)
    epochs = ", ".join(map(str, model.taus)) if few else f"{model.taus[0]} to {model.taus[-1]}"
    print(f"{model.model}, fitted on {len(model.finals)} runs for epochs {epochs}: {options.out}")
    return DONE


def _fitted_on(options: argparse.Namespace) -> CurveSet:
    """The runs of a log, or of a table whose curve columns are named."""
    from curvecast.data import logs
    from curvecast.data.readers.table import read_curves
    from curvecast.files import DataError

    given = {key: getattr(options, key) for key in ("id", *_ROLES)}
    columns = {key: value for key, value in given.items() if value is not None}
    if options.curve_columns:
        for name in ("metric", "epochs"):
            if getattr(options, name) is not None:
                raise DataError(f"--{name} is for a log, --curve-columns for a table")
        if options.direction is None:
            raise DataError("--curve-columns needs --direction maximize or minimize")
        return read_curves(options.curves, options.curve_columns, options.direction, **columns)
    if columns:
        raise DataError(f"--{next(iter(columns))} is for a table and needs --curve-columns")
    return logs.read(options.curves, options.metric, options.direction, epochs=options.epochs)


def _roles(curves: CurveSet, id: str | None) -> str:
    """The columns that are used, by role."""
    parts = [f"curve {curves.metric} at epochs {curves.epochs[0]} to {curves.last_epoch}"]
    parts += [f"names {id}"] if id else []
    for role, prefix in (("settings", "hp_"), ("architecture", "ap_")):
        names = [str(c).removeprefix(prefix) for c in curves.configs if str(c).startswith(prefix)]
        parts.append(f"{role} {', '.join(names) or 'none'}")
    return f"Columns: {'; '.join(parts)}"


def _predict(options: argparse.Namespace) -> int:
    from curvecast import saved

    model, runs, beat, shown = _asked(options)
    frame = saved.predictions(model, runs, epoch=options.epoch, beat=beat, level=options.level)
    title = (
        f"{runs.metric} after {runs.last_epoch} epochs by {model.model} from {len(model.finals)} "
        f"finished runs; {100 * options.level:g} % interval; beats: P(better than {shown})"
    )
    _print(frame, options.format, title=title)
    return DONE


def _stop(options: argparse.Namespace) -> int:
    from curvecast import saved

    model, runs, beat, shown = _asked(options)
    frame = saved.decisions(model, runs, beat=beat, delta=options.delta)
    title = (
        f"rule predicted, by {model.model} from {len(model.finals)} finished runs: a run stops "
        f"where worse, P(ends worse than {shown}), reaches stops_at; {100 * options.delta:g} % of "
        "the would-be winners are to survive"
        + ("" if model.predictor.calibrated else ", which is known of pfn alone")
    )
    _print(frame, options.format, title=title)
    return STOP if (frame["decision"] == "stop").any() else DONE


def _print(frame: pd.DataFrame, style: str, *, title: str) -> None:
    """A table on standard output; missing numbers are empty, in JSON null."""
    if style == "csv":
        print(frame.to_csv(index=False), end="")
    elif style == "json":
        rows = [{str(k): _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]
        print(json.dumps(rows, indent=2))
    else:
        texts = [[str(name) for name in frame.columns]]
        texts += [[_text(value) for value in row] for row in frame.itertuples(index=False)]
        widths = [max(len(row[i]) for row in texts) for i in range(len(frame.columns))]
        print(title)
        for row in texts:
            line = (text.ljust(width) for text, width in zip(row, widths, strict=True))
            print("  ".join(line).rstrip())


def _plain(value: Any) -> Any:
    """A cell for JSON."""
    import pandas as pd

    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _text(value: Any) -> str:
    """A cell for a table."""
    value = _plain(value)
    if value is None:
        return ""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
