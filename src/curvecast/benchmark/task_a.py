"""LCBench's Task A: one split in file order, squared and absolute errors, published figures.

The first runs of the file train, the next ones are for validation, the last ones for testing;
seen are the epochs up to tau, the target is the value after the last epoch. Nothing here is tuned
on the validation runs: their errors stand beside those on the test runs because both were
published.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast import protocol
from curvecast.curves import CurveSet, DataError, read_parquet
from curvecast.predictors import make_predictor
from curvecast.report.tables import markdown as md

PARTS = ("validation", "test")
ERRORS = ("mse", "mae")
SIZES = ("n_train", "n_validation", "n_test")
COLUMNS = (
    "source",
    "dataset",
    "metric",
    "variant",
    "model",
    *SIZES,
    *(
        f"{part}_{error}{end}"
        for part in PARTS
        for error in ERRORS
        for end in ("", "_low", "_high")
    ),
    "note",
)
OURS = "this run"
PUBLISHED_ON = ("lcbench_full/Fashion-MNIST", "validation accuracy (percent)")
DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Variant:
    """One way to train a model.

    Attributes
    ----------
    name : what the table calls it.
    train, validation, test : numbers of runs.
    test_from : position of the first test run; the same for all variants.
    options : of the predictor.
    """

    name: str
    train: int
    validation: int
    test: int
    test_from: int
    options: Mapping[str, Any]

    def rows(self, curves: CurveSet) -> dict[str, np.ndarray]:
        """Positions of the runs with a finite end in "train", "validation" and "test".

        Raises
        ------
        DataError : too few runs, parts that overlap, or a configuration on both sides.
        """
        ends = {
            "train": (0, self.train),
            "validation": (self.train, self.train + self.validation),
            "test": (self.test_from, self.test_from + self.test),
        }
        if ends["validation"][1] > self.test_from or ends["test"][1] > len(curves):
            raise DataError(
                f"variant {self.name!r}: {self.train} + {self.validation} runs before the test "
                f"runs {self.test_from} to {ends['test'][1]} do not fit {len(curves)} runs",
                file=curves.name,
            )
        parts = {
            part: low + np.flatnonzero(np.isfinite(curves.final[low:high]))
            for part, (low, high) in ends.items()
        }
        trained = set(curves.groups[parts["train"]])
        for part in PARTS:
            shared = [row for row in parts[part] if curves.groups[row] in trained]
            if shared:
                raise DataError(
                    "a configuration of the training runs is repeated here",
                    file=curves.name,
                    row=curves.configs["id"].iloc[shared[0]],
                )
        return parts


def run(
    model: str, curves: CurveSet, tau: int, variants: Iterable[Variant]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every variant of a model and predict validation and test runs.

    Returns
    -------
    predictions : a row per variant and predicted run: `variant`, `n_train`, `part`,
        `configuration` (position in `curves`), `y_true`, `y_mean`, `y_std`.
    timings : a row per variant: `variant`, `seconds_fit`, `seconds_predict`, diagnostics.

    Raises
    ------
    DataError : see `Variant.rows`; unknown model or option.
    """
    predictions, timings = [], []
    for variant in variants:
        rows = variant.rows(curves)
        seed = protocol.seed_from(curves.name, "task_a", model)
        predictor = make_predictor(model, seed=seed, **variant.options)
        start = time.process_time()
        predictor.fit(curves.take(rows["train"]), [tau])
        fitted = time.process_time()
        for part in PARTS:
            if not len(rows[part]):
                continue
            prediction = predictor.predict(curves.take(rows[part]), tau)
            predictions.append(
                pd.DataFrame(
                    {
                        "variant": variant.name,
                        "n_train": len(rows["train"]),
                        "part": part,
                        "configuration": rows[part],
                        "y_true": curves.final[rows[part]],
                        "y_mean": prediction.mean,
                        "y_std": prediction.std,
                    }
                )
            )
        timings.append(
            {
                "variant": variant.name,
                "seconds_fit": round(fitted - start, 6),
                "seconds_predict": round(time.process_time() - fitted, 6),
                **predictor.diagnostics(),
            }
        )
    return pd.concat(predictions, ignore_index=True), pd.DataFrame(timings)


def table(
    predictions: Mapping[tuple[str, str], pd.DataFrame],
    metrics: Mapping[str, str],
    published: pd.DataFrame,
) -> pd.DataFrame:
    """Errors of all variants, with the published ones below.

    Parameters
    ----------
    predictions : frames of `run` by (data set, model).
    metrics : what the curves of a data set show.
    published : frame of `load_published`.

    Returns
    -------
    The columns `COLUMNS`, in the unit of the metric (squared for mse). `_low` and `_high` bound
    the 95 % interval of the bootstrap over runs (percentiles of 2000 draws, the same for all
    models of a data set).
    """
    rows = []
    for (dataset, model), frame in sorted(predictions.items()):
        for variant, of_variant in frame.groupby("variant", sort=False):
            row: dict[str, Any] = {
                "source": OURS,
                "dataset": dataset,
                "metric": metrics[dataset],
                "variant": variant,
                "model": model,
                "n_train": int(of_variant["n_train"].iloc[0]),
            }
            for part in PARTS:
                mine = of_variant[of_variant["part"] == part]
                row[f"n_{part}"] = len(mine)
                if len(mine):
                    gap = (mine["y_mean"] - mine["y_true"]).to_numpy()
                    seed = protocol.seed_from(dataset, "task_a", part)
                    row |= _errors(part, gap, seed)
            rows.append(row)
    theirs = published.assign(dataset=PUBLISHED_ON[0], metric=PUBLISHED_ON[1])
    return pd.concat([pd.DataFrame(rows), theirs], ignore_index=True).reindex(columns=COLUMNS)


def _errors(part: str, gap: np.ndarray, seed: int) -> dict[str, float]:
    drawn = np.random.default_rng(seed).integers(len(gap), size=(DRAWS, len(gap)))
    found: dict[str, float] = {}
    for name, loss in (("mse", gap**2), ("mae", np.abs(gap))):
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(loss[drawn].mean(axis=1), [tail, 1 - tail])
        found |= {
            f"{part}_{name}": float(loss.mean()),
            f"{part}_{name}_low": float(low),
            f"{part}_{name}_high": float(high),
        }
    return found


def load_published(path: str | Path) -> pd.DataFrame:
    """Read `lcbench_task_a_mse.csv`: `source, model, validation_mse, test_mse, note`.

    Raises
    ------
    DataError : a missing column.
    """
    frame = pd.read_csv(path)
    names = {"who": "source", "val_mse": "validation_mse"}
    for column in ("who", "model", "val_mse", "test_mse", "note"):
        if column not in frame:
            raise DataError("missing column", file=path, column=column)
    frame = frame.drop(columns="source", errors="ignore").rename(columns=names)
    return frame[["source", "model", "validation_mse", "test_mse", "note"]]


def load(
    folder: str | Path, paths: Sequence[str | Path]
) -> tuple[dict[tuple[str, str], pd.DataFrame], dict[str, str]]:
    """Read files `{folder}/{dataset}/{model}.task_a.parquet` whose metadata hold the metric.

    Returns the frames by (data set, model), and the metric by data set.
    """
    found, metrics = {}, {}
    for path in sorted(map(Path, paths)):
        dataset = path.relative_to(folder).parent.as_posix()
        frame, meta = read_parquet(path)
        found[dataset, path.name.removesuffix(".task_a.parquet")] = frame
        metrics[dataset] = str(meta["metric"])
    return found, metrics


def markdown(frame: pd.DataFrame) -> str:
    """The frame of `table` for people: a table per data set, the smallest test error first."""
    sections = []
    for (dataset, metric), part in frame.groupby(["dataset", "metric"], sort=True):
        ordered = part.sort_values("test_mse", kind="stable")
        shown = pd.DataFrame(
            {
                "source": ordered["source"],
                "model": ordered["model"],
                "variant": ordered["variant"].fillna(""),
                "runs": [_sizes(row) for row in ordered[list(SIZES)].itertuples(index=False)],
                **{
                    f"{part_name} {error.upper()}": [
                        _interval(*row)
                        for row in ordered[
                            [f"{part_name}_{error}{end}" for end in ("", "_low", "_high")]
                        ].itertuples(index=False)
                    ]
                    for part_name in PARTS
                    for error in ERRORS
                },
                "note": ordered["note"].fillna(""),
            }
        )
        alone = set(part["source"]) - {OURS} and OURS not in set(part["source"])
        said = "Published only: this run did not have these curves.\n\n" if alone else ""
        sections.append(f"## {dataset}, {metric}\n\n{said}" + md.table(shown))
    return "\n".join(
        [
            "# LCBench Task A\n",
            "One split in file order (runs: training/validation/test); seen are the first epochs, "
            "the target is the value after the last one. Errors in the unit of the metric, squared "
            "for MSE, with 95 % bootstrap intervals over the runs: they say nothing about another "
            "split or another seed. Nothing was tuned on the validation runs. Published figures "
            "are of validation accuracy in percent and compare with the same metric alone.\n",
            *sections,
        ]
    )


def _sizes(row: Sequence[float]) -> str:
    return "" if np.isnan(row[0]) else "/".join(f"{int(size)}" for size in row)


def _interval(value: float, low: float, high: float) -> str:
    """A value with its interval, three significant digits; "" where there is none."""
    if np.isnan(value):
        return ""
    return f"{value:.4g}" + ("" if np.isnan(low) else f" ({low:.3g} .. {high:.3g})")
