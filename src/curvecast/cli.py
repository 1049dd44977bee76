"""The command `curvecast`: fit a predictor on finished runs, and ask it about runs under way.

Exit status: 0 done (for `stop`: every run goes on), 1 an error about data, 2 wrong usage,
3 `stop` says of at least one run that it should end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

DONE, BAD_DATA, STOP = 0, 1, 3
_DIGITS = 4
_ROLES = {
    "architecture": "columns of the architecture",
    "categorical": "columns of numbers that mean categories",
    "ignore": "columns to leave out",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    # Not above: `curvecast --help` answers before pandas and scikit-learn are there.
    from curvecast.curves import DataError

    answer: Callable[[argparse.Namespace], int] = options.answer
    try:
        return answer(options)
    except DataError as error:
        print(f"Error: {error}", file=sys.stderr)
        return BAD_DATA


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="curvecast", description="Is this training run worth finishing?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="fit a predictor on finished runs and save it")
    fit.add_argument("curves", help="table of finished runs, CSV or Parquet: a row per run")
    fit.add_argument("--curve-columns", required=True, help='their names, as "acc_{epoch}"')
    fit.add_argument("--direction", required=True, choices=("maximize", "minimize"))
    fit.add_argument("--model", default="nusvr_rbf", help="name of the predictor (nusvr_rbf)")
    fit.add_argument("--out", required=True, help="file to write, *.safetensors")
    fit.add_argument(
        "--fractions", nargs="+", type=float, help="of the curve, to predict at (.1 to .8)"
    )
    fit.add_argument("--id", help="column that names the runs")
    for name, meaning in _ROLES.items():
        fit.add_argument(f"--{name}", nargs="+", default=[], metavar="COLUMN", help=meaning)
    fit.add_argument("--seed", type=int, help="of the predictor")
    fit.set_defaults(answer=_fit)

    predict = commands.add_parser("predict", help="predict the final values of runs under way")
    _ask(predict)
    predict.add_argument("--epoch", type=int, help="see nothing after it (all that is there)")
    predict.add_argument("--level", type=float, default=0.8, help="of the interval (0.8)")
    predict.set_defaults(answer=_predict)

    stop = commands.add_parser(
        "stop",
        help="say whether runs under way should end",
        description="Exit status: 0 every run goes on, 3 at least one should end.",
    )
    _ask(stop)
    stop.add_argument(
        "--delta", type=float, default=0.9, help="share of the winners that is to survive (0.9)"
    )
    stop.set_defaults(answer=_stop)
    return parser


def _ask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="file that `curvecast fit` or the workflow saved")
    parser.add_argument(
        "curves", help="table of the runs, CSV or Parquet; epochs to come are empty"
    )
    parser.add_argument("--curve-columns", default="", help="their names, if not those fitted on")
    parser.add_argument("--beat", type=float, help="value to beat (the best finished run's)")
    parser.add_argument("--format", choices=("text", "csv", "json"), default="text")


def _fit(options: argparse.Namespace) -> int:
    from curvecast import saved
    from curvecast.data.readers.table import read_curves

    columns = {key: getattr(options, key) for key in ("id", *_ROLES)}
    curves = read_curves(options.curves, options.curve_columns, options.direction, **columns)
    model = saved.train(
        options.model,
        curves,
        options.fractions or saved.FRACTIONS,
        seed=options.seed,
        curve_columns=options.curve_columns,
    )
    saved.save(model, options.out)
    for note in curves.notes:
        print(f"Note: {note}", file=sys.stderr)
    epochs = ", ".join(map(str, model.taus))
    print(f"{model.model}, fitted on {len(model.finals)} runs for epochs {epochs}: {options.out}")
    return DONE


def _predict(options: argparse.Namespace) -> int:
    from curvecast import saved

    model = saved.load(options.model)
    runs = saved.read_runs(options.curves, model, options.curve_columns)
    beat = model.best if options.beat is None else options.beat
    frame = saved.predictions(model, runs, epoch=options.epoch, beat=beat, level=options.level)
    title = (
        f"{model.like.metric} after {model.like.last_epoch} epochs by {model.model}; "
        f"{100 * options.level:g} % interval; beats: P(better than {beat:.{_DIGITS}g})"
    )
    _print(frame, options.format, title=title)
    return DONE


def _stop(options: argparse.Namespace) -> int:
    import pandas as pd

    from curvecast import saved

    model = saved.load(options.model)
    runs = saved.read_runs(options.curves, model, options.curve_columns)
    beat = model.best if options.beat is None else options.beat
    decision = saved.decisions(model, runs, beat=beat, delta=options.delta)
    frame = pd.DataFrame(
        {
            "run": runs.curves.configs["id"],
            "decision": pd.Series(decision.stop).map({True: "stop", False: "go on"}),
            "worse": decision.probability,
            "stops_at": decision.level,
            "reason": decision.reason,
        }
    )
    frame.loc[frame["worse"].isna(), "reason"] = "too early to say"
    title = (
        f"worse: P(ends worse than {beat:.{_DIGITS}g}); a run stops where that reaches stops_at, "
        f"so that {100 * options.delta:g} % of the winners survive"
    )
    _print(frame, options.format, title=title)
    return STOP if decision.stop.any() else DONE


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
