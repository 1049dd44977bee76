"""Score the logs of all searches: the tables of docs/peers.md and a figure of mean ranks.

    python benchmarks/peers/table.py FOLDER [--collection lcbench]

Normalised regret: 0 is the best recorded final value, 1 the median one. The rules of the incumbent:
`highest`, the lowest loss on the highest epoch reached; `seen`, the lowest loss at any epoch; both
are scored by their run's final value. `any epoch` is the lowest loss seen itself, against the
lowest recorded (as in the freeze-thaw literature, which has 1000 epochs: a third of the budget).
By `seen`, a search that has looked at everything is not at 0, because runs rise after their lowest
loss; its regret is printed too.
Intervals: 95 %, over tables and seeds crossed, on the seeds that both searches have; a star stands
where that of the difference to freeze_thaw leaves out 0. `ahead` counts tables at the end,
`runs` those that a search begins, `s` seconds of a processor.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from recorded import TRAININGS, Search
from scipy import stats

from curvecast.studies import summary

SHARES = {"1/3": 1 / 3, "1/2": 1 / 2, "2/3": 2 / 3, "all": 1.0}
OURS, TIED = "freeze_thaw", 1e-9
# Options of freeze_thaw were chosen on these.
CHOSEN_ON = [
    f"lcbench.{name}" for name in ("APSFailure", "airlines", "connect-4", "jannis", "numerai28.6")
]


def regrets(log: pd.DataFrame, losses: np.ndarray) -> pd.DataFrame:
    """Normalised regret after each share of the budget, by rule.

    Parameters
    ----------
    log : row, epoch reached and epochs used in all, after each evaluation.
    losses : shape (n_runs, n_epochs), finite.
    """
    final, lowest = losses[:, -1], losses.min(axis=1)
    pairs = zip(log["row"], log["epoch"], strict=True)
    low = pd.Series([losses[row, :epoch].min() for row, epoch in pairs])
    evaluations = log[["row"]].assign(
        **{"study": "", "budget": log["epoch"], "stopped": np.nan},
        loss=losses[log["row"], log["epoch"] - 1],
    )
    highest = summary.incumbents(evaluations)["row"].reindex(log.index).ffill()
    seen = log["row"].where(low < low.cummin().shift(fill_value=np.inf)).ffill()
    courses = {
        "highest": (final[highest.astype(int)], final),
        "seen": (final[seen.astype(int)], final),
        "any epoch": (low.cummin(), lowest),
    }
    budgets = np.array(list(SHARES.values())) * TRAININGS * losses.shape[1]
    parts = []
    for rule, (course, of_runs) in courses.items():
        best = of_runs.min()
        regret = (pd.Series(course) - best) / (np.median(of_runs) - best)
        at = summary.at_budgets(log["used"], regret, budgets)
        parts.append(pd.DataFrame({"share": list(SHARES), "rule": rule, "regret": at}))
    return pd.concat(parts, ignore_index=True)


def all_seen(table: Path) -> float:
    """Normalised regret by the rule `seen` after every epoch of every run."""
    losses = Search(table).losses
    log = pd.DataFrame({"row": range(len(losses)), "epoch": losses.shape[1], "used": 0})
    return regrets(log, losses).query("rule == 'seen'")["regret"].iloc[-1]


def scored(folder: Path, collection: str) -> pd.DataFrame:
    """Regrets of all logs: `search, set, seed, seconds, runs, share, rule, regret`."""
    parts = []
    for table in sorted((folder / "tables").glob(f"{collection}.*.npz")):
        losses = Search(table).losses
        for file in sorted((folder / "logs").glob(f"*/{table.stem}.*.csv")):
            log = pd.read_csv(file)
            key = {"search": file.parent.name, "set": table.stem, "seed": file.stem.split(".")[-1]}
            used = {"seconds": log["seconds"].iloc[-1], "runs": log["row"].nunique()}
            parts.append(regrets(log, losses).assign(**key, **used))
    return pd.concat(parts, ignore_index=True)


def matrices(frame: pd.DataFrame, rule: str, share: str) -> dict[str, pd.DataFrame]:
    """Regrets of each search, a row per table and a column per seed that has all tables."""
    cell = frame[(frame["rule"] == rule) & (frame["share"] == share)]
    made = {}
    for search, part in cell.groupby("search"):
        matrix = part.pivot(index="set", columns="seed", values="regret")
        made[search] = matrix.reindex(index=sorted(cell["set"].unique())).dropna(axis=1)
    return {search: matrix for search, matrix in made.items() if matrix.size}


def printed(frame: pd.DataFrame, rule: str) -> None:
    """The Markdown table of one rule."""
    used = frame.groupby("search")[["runs", "seconds"]].mean()
    shares = " | ".join(SHARES)
    print(f"\n{rule}\n\n| search | seeds | {shares} | all, less {OURS} | ahead | runs | s |")
    print("|---" * (len(SHARES) + 6) + "|")
    by_share = {share: matrices(frame, rule, share) for share in SHARES}
    at_end = by_share["all"]
    for search in sorted(at_end, key=lambda s: at_end[s].to_numpy().mean()):
        cells = [search, str(at_end[search].shape[1])]
        for matrix in by_share.values():
            gap = (matrix[search] - matrix[OURS]).dropna(axis=1).to_numpy()
            low, high = summary.crossed(gap)
            cells.append(f"{matrix[search].to_numpy().mean():.3f}{'*' * (low > 0 or high < 0)}")
        if search == OURS:
            cells += ["", ""]
        else:
            means = gap.mean(axis=1)
            ahead, tied = (means < -TIED).sum(), (abs(means) <= TIED).sum()
            cells.append(f"{gap.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
            cells.append(f"{ahead} of {len(means)}, {tied} tied")
        cells += [f"{used.loc[search, 'runs']:.0f}", f"{used.loc[search, 'seconds']:.1f}"]
        print(f"| {' | '.join(cells)} |")


def listed(frame: pd.DataFrame, rule: str) -> None:
    """The mean regret at the end of every search on every table, as Markdown; best in bold."""
    at_end = matrices(frame, rule, "all")
    means = pd.DataFrame({search: m.mean(axis=1) for search, m in at_end.items()})
    means = means[means.mean().sort_values().index]
    print(f"\n{rule}, table by table\n\n| table | {' | '.join(means)} |")
    print("|---" * (means.shape[1] + 1) + "|")
    for name, row in means.iterrows():
        cells = [f"**{v:.3f}**" if v <= row.min() + TIED else f"{v:.3f}" for v in row]
        print(f"| {str(name).partition('.')[2]} | {' | '.join(cells)} |")


def draw_ranks(frame: pd.DataFrame, rule: str, file: Path) -> None:
    """Mean ranks at the end, and Nemenyi's critical difference (Demsar 2006)."""
    at_end = matrices(frame, rule, "all")
    means = pd.DataFrame({search: m.mean(axis=1) for search, m in at_end.items()})
    ranks = means.rank(axis=1).mean().sort_values()
    n_sets, k = means.shape
    critical = stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    critical *= np.sqrt(k * (k + 1) / (6 * n_sets))
    figure, axes = plt.subplots(figsize=(7, 0.4 * k + 1), layout="constrained")
    axes.hlines(np.arange(k), ranks, ranks + critical, color="0.8", lw=6)
    axes.plot(ranks, np.arange(k), "o", color="C0")
    axes.set_yticks(np.arange(k), ranks.index)
    axes.invert_yaxis()
    axes.set_xlabel(f"mean rank over {n_sets} tables (1 is best); bar: critical difference")
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--collection", default="lcbench")
    options = parser.parse_args()
    frame = scored(options.folder, options.collection)
    print(f"{frame['set'].nunique()} tables, {frame['seed'].nunique()} seeds")
    everything = [all_seen(options.folder / f"tables/{name}.npz") for name in frame["set"].unique()]
    print(f"by `seen`, a search that has looked at everything: {np.mean(everything):.3f}")
    for rule in frame["rule"].unique():
        printed(frame, rule)
        name = f"ranks.{options.collection}.{rule.replace(' ', '_')}.png"
        draw_ranks(frame, rule, options.folder / name)
    listed(frame, "highest")
    others = frame[~frame["set"].isin(CHOSEN_ON)]
    if len(others) < len(frame):
        print("\nwithout the tables on which options of freeze_thaw were chosen:")
        for rule in frame["rule"].unique():
            printed(others, rule)


if __name__ == "__main__":
    main()
