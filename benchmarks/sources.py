"""What a search gains that begins with the best configurations of earlier ones.

    CURVECAST_MIRROR=... python benchmarks/sources.py --out results/benchmarks/sources

Recorded LCBench curves. The sources are searches by freeze_thaw (3000 epochs each) among the even
rows of other data sets, three of them or all 34; the search on a data set then has its odd rows
alone, so that no configuration of the sources can be drawn again. Printed: mean normalised regret
after 1/12 and 1/3 of 3000 epochs, and the paired differences, with 95 % intervals over data sets
and seeds crossed; and the same over the sets on which the size of the portfolio was not chosen.
Source searches in the folder are not made again.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from prior import DEVELOPMENT

from curvecast.curves import CurveSet
from curvecast.data.readers import read
from curvecast.data.registry import load_registry
from curvecast.protocol import seed_from
from curvecast.studies import summary
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.portfolio import portfolio
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

TOTAL, LOOKED_AT, SHARES = 3000.0, (1 / 12, 1 / 3), ("1/12", "1/3")


def half(name: str, odd: int) -> CurveSet:
    """The even or the odd rows of a data set."""
    stanza = load_registry()[name]
    root = Path(os.environ["CURVECAST_MIRROR"])
    curves = read(name, stanza, [root / file["path"] for file in stanza["files"]])
    return curves.take(np.arange(len(curves)) % 2 == odd)


def searched(
    curves: CurveSet, seed: int, total: float, folder: Path | None = None, **more: object
) -> pd.DataFrame:
    """Evaluations of a search by freeze_thaw."""
    settings = Settings(
        *(curves.name, "freeze_thaw"),
        seed=seed_from(curves.name, seed),
        **{"max_budget": 50, "total_budget": total, "workers": 0, **more},
    )
    done = run(settings, Recorded(curves), folder)
    return summary.evaluations_frame(done, curves.name, "freeze_thaw", seed)


def regrets(frame: pd.DataFrame, curves: CurveSet) -> np.ndarray:
    """Normalised regret after the shares of the budget."""
    steps = pd.Series(summary.regret(frame, curves).to_numpy(), index=frame["used"])
    return np.array([steps[steps.index <= share * TOTAL].iloc[-1] for share in LOOKED_AT])


def source(job: tuple[str, int, Path]) -> None:
    """An earlier search; one that is in the folder already goes on where it ended."""
    name, seed, folder = job
    searched(half(name, 0), seed, TOTAL, folder / f"{Path(name).name}.{seed}")


def compared(job: tuple[str, int, Path]) -> list[dict[str, object]]:
    """Regrets on one data set without sources, with three, and with all others."""
    name, seed, folder = job
    target = half(name, 1)
    rng = np.random.default_rng(seed_from(name, "sources", seed))
    others = rng.permutation([n for n in lcbench() if n != name])
    logs = [folder / f"{Path(other).name}.{seed}" for other in others]
    rows = []
    for label, used in (("none", []), ("3", logs[:3]), ("all", logs)):
        points = portfolio(used, Recorded(target).space)
        frame = searched(target, seed, LOOKED_AT[-1] * TOTAL, points_to_evaluate=points)
        values = dict(zip(SHARES, regrets(frame, target), strict=True))
        rows.append({"set": name, "seed": seed, "sources": label, **values})
    return rows


def lcbench() -> list[str]:
    """The names of the data sets."""
    return [name for name in load_registry() if name.startswith("lcbench/")]


def printed(table: pd.DataFrame) -> None:
    """Means, and differences to a search without sources."""
    for share in SHARES:
        matrices = {
            label: part.pivot(index="set", columns="seed", values=share).to_numpy()
            for label, part in table.groupby("sources")
        }
        for label, matrix in matrices.items():
            gap = matrix - matrices["none"]
            low, high = summary.crossed(gap)
            print(
                f"{share} of the budget, sources {label}: {matrix.mean():.4f}, less none "
                f"{gap.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    jobs = [(name, seed, options.out) for seed in range(options.seeds) for name in lcbench()]
    with ProcessPoolExecutor(options.processes) as pool:
        list(pool.map(source, jobs))
        rows = [row for part in pool.map(compared, jobs) for row in part]
    table = pd.DataFrame(rows)
    printed(table)
    print("without the sets on which options were chosen:")
    printed(table[~table["set"].isin([f"lcbench/{name}" for name in DEVELOPMENT])])


if __name__ == "__main__":
    main()
