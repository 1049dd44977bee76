"""Command line: `python -m curvecast.training.corpus OUT [--tasks N]` trains the corpus."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from rich.progress import track

from curvecast.curves import CurveSet, group_equal_rows
from curvecast.training.corpus import batch, recipe


def task(name: str, kind: str) -> CurveSet:
    """Train the task `name` of a kind; the same call gives the same curves on one machine."""
    drawn = recipe.draw(name, kind)
    style, searched = drawn.style, drawn.searched
    series = batch.train(drawn)
    places = {s: ("ap_" if s in ("width", "depth") else "hp_") + s for s in searched}
    runs = len(drawn.settings["width"])
    settings = pd.DataFrame(index=range(runs))
    for setting, column in places.items():
        values = drawn.settings[setting]
        settings[column] = pd.Categorical(values) if setting in recipe.CHOICES else values
    configs = settings.assign(
        id=[f"run{i:03d}" for i in range(runs)], group=group_equal_rows(settings)
    )
    fixed = {s: values[0].item() for s, values in drawn.settings.items() if s not in searched}
    return CurveSet(
        configs=configs,
        values=series.pop(f"val_{style.metric}"),
        epochs=style.epochs,
        metric=f"validation {style.metric.replace('_', ' ')}",
        direction="maximize" if style.metric in recipe.HIGHER else "minimize",
        name=name,
        source=f"trained by curvecast on {drawn.data.source} (data of the corpus)",
        log_columns=tuple(places[s] for s in searched if recipe.SEARCHED.get(s, (0, 0, 0))[2]),
        series=series,
        notes=(json.dumps({"style": asdict(style), "fixed": fixed}),),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train tasks 0..N-1 into a folder; those that are there already are skipped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="folder, one Parquet file per task")
    parser.add_argument("--tasks", type=int, default=600)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for i in track(range(options.tasks), description="tasks"):
        path = options.out / f"task_{i:04d}.parquet"
        if not path.exists():
            kind = recipe.KINDS[i % len(recipe.KINDS)]
            task(f"corpus/task_{i:04d}", kind).to_parquet(path)


if __name__ == "__main__":
    main()
