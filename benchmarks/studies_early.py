"""Plain BOHB, and a search that predicts the ends of its runs, on networks that are trained.

    python benchmarks/studies_early.py --out results/benchmarks/early

Per seed 16 brackets on scikit-learn's digits, or with `--data usps` on 2000 training images of
USPS (with CURVECAST_MIRROR set), in one process; what a folder has logged is not trained again. A
minute per seed on one core with digits, several with USPS. Printed are the epochs that the second
search used (freeze_thaw, or with `--search f-bohb` BOHB with a stopping rule), and those after
which it was as good as plain BOHB at its end: per seed, and for the mean over seeds; and the
difference in loss between it after 40 % of the epochs and plain BOHB at its end, with a 95 %
interval over seeds.
Seeds below 18 were looked at when options were chosen.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd

from curvecast.data import preflight, registry
from curvecast.files import DataError
from curvecast.studies import summary
from curvecast.studies.early import EarlyEnd
from curvecast.studies.objectives.digits import DigitsMLP
from curvecast.studies.objectives.training import Training
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import load_space
from curvecast.training import images, mlp

EARLY = 0.4
USPS = "task/usps"


class UspsMLP(DigitsMLP):
    """The same networks on USPS; the pixels are scaled as the digits are."""

    def __post_init__(self) -> None:
        stanza = registry.load_registry()[USPS]
        (raw,) = registry.files_of(stanza)
        if (file := preflight.locate(raw, "raw", preflight.mirrors())) is None:
            raise DataError("is in no mirror", file=raw.path)
        usps = images.load(USPS, stanza, [file]).share(1 / 3)
        self.name, self.collection, self.source = "trained/usps_mlp", USPS, usps.source
        x, x_val = (part.x.reshape(len(part), -1) for part in (usps.train, usps.validation))
        centre, scale = x.mean(axis=0), x.std()
        x, x_val = (x - centre) / scale, (x_val - centre) / scale
        self._data = mlp.Data(x, usps.train.y, x_val, usps.validation.y, usps.n_classes)


DATA = {"digits": DigitsMLP, "usps": UspsMLP}


def one(data: str, optimizer: str, early: EarlyEnd | None, seed: int, folder: Path) -> pd.DataFrame:
    """Evaluations of one seed."""
    label = optimizer if early is None else f"f-{optimizer}"
    objective = Training(DATA[data](n_epochs=27), load_space("mlp.lcbench_256"), early)
    settings = Settings(
        data, optimizer, min_budget=1, max_budget=27, iterations=16, workers=0, seed=seed
    )
    began = time.process_time()
    evaluations = run(settings, objective, folder / f"{label}.{seed}")
    frame = summary.evaluations_frame(evaluations, data, label, seed)
    print(f"{label} seed {seed}: {time.process_time() - began:.0f} s", flush=True)
    return frame


def losses_at(frame: pd.DataFrame, budgets: np.ndarray) -> np.ndarray:
    """Loss of the incumbent at used budgets, shape (n_budgets,); inf before there is one."""
    known = summary.incumbents(frame)
    known = known[known["budget"] == frame["budget"].max()]
    return np.nan_to_num(summary.at_budgets(known["used"], known["loss"], budgets), nan=np.inf)


def first(budgets: np.ndarray, losses: np.ndarray, goal: float) -> float:
    """The first budget at which the losses are at the goal; inf where they never are."""
    reached = np.flatnonzero(losses <= goal)
    return float(budgets[reached[0]]) if len(reached) else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", choices=sorted(DATA), default="digits")
    parser.add_argument("--first", type=int, default=18, help="first seed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--search", choices=["freeze_thaw", "f-bohb"], default="freeze_thaw")
    options = parser.parse_args()
    other = ("bohb", EarlyEnd()) if options.search == "f-bohb" else ("freeze_thaw", None)
    searches = (("bohb", None), other)
    seeds = range(options.first, options.first + options.seeds)
    frames = [[one(options.data, *each, s, options.out) for each in searches] for s in seeds]
    total = max(plain["used"].max() for plain, _ in frames)
    budgets = np.arange(1, total + 1)
    plain, found = (np.array([losses_at(pair[i], budgets) for pair in frames]) for i in (0, 1))
    for row, (seed, (_, frame)) in enumerate(zip(seeds, frames, strict=True)):
        epochs = first(budgets, found[row], plain[row, -1])
        print(
            f"seed {seed}: loss {plain[row, -1]:.4f} in {total:g} epochs, {options.search} "
            f"{found[row, -1]:.4f} in {frame['used'].max():g}; as good after {epochs:g}"
        )
    epochs = first(budgets, found.mean(axis=0), plain[:, -1].mean())
    print(
        f"mean: {plain[:, -1].mean():.4f} and {found[:, -1].mean():.4f}; as good after {epochs:g} "
        f"epochs ({epochs / total:.2f})"
    )
    gap = found[:, int(EARLY * total) - 1] - plain[:, -1]
    low, high = summary.interval(gap)
    print(f"after {EARLY:.0%} of the epochs: {gap.mean():+.4f} [{low:+.4f}, {high:+.4f}]")


if __name__ == "__main__":
    main()
