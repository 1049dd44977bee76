"""The schedule of MetaQNN's agent, and what a search over layers has reached and learned."""

from __future__ import annotations

import bisect
import json
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd

from curvecast import layers
from curvecast.studies.summary import interval, last_incumbents

# Epsilon, and the number of networks drawn with it, of the published search of 2700 networks.
SCHEDULE = {1.0: 1500, 0.9: 100, 0.8: 100, 0.7: 100, **{e / 10: 150 for e in range(6, 0, -1)}}
_TOTAL = sum(SCHEDULE.values())


def epsilon_at(number: int, n_networks: int) -> float:
    """Chance of any action in place of the best one, for network `number` of `n_networks`.

    The published schedule, scaled to the length of the search.
    """
    ends = [end * n_networks / _TOTAL for end in accumulate(SCHEDULE.values())]
    return list(SCHEDULE)[min(bisect.bisect_right(ends, number), len(ends) - 1)]


def networks_of(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Evaluations of networks at the full budget with what MetaQNN's figures show of them.

    Parameters
    ----------
    evaluations : `summary.evaluations_frame`; configurations that are no lists of layers are left
        out.

    Returns
    -------
    Their rows with `number` (of the network in its search, from 0), `network` (text), `reward`
    (minus the loss, 0 where it failed) and `epsilon` (NaN but for metaqnn).
    """
    rows = evaluations[evaluations["config"].str.contains('"layer_1"', regex=False)]
    keys = ["study", "optimizer", "seed"]
    top = rows["budget"] == rows.groupby(keys)["budget"].transform("max")
    rows = rows[top].copy()
    rows["number"] = rows.groupby(keys).cumcount()
    count = rows.groupby(keys)["number"].transform("size")
    rows["network"] = [layers.text_of(layers.of_config(json.loads(c))) for c in rows["config"]]
    rows["reward"] = np.where(np.isfinite(rows["loss"]), -rows["loss"], 0.0)
    agent = rows["optimizer"].str.contains("metaqnn")
    epsilons = [epsilon_at(n, total) for n, total in zip(rows["number"], count, strict=True)]
    rows["epsilon"] = np.where(agent, epsilons, np.nan)
    return rows


def search_rows(evaluations: pd.DataFrame, n_first: int = 100) -> pd.DataFrame:
    """`metaqnn.csv`: one row per study and optimizer, means over seeds.

    Columns: `study, optimizer, seeds, networks, unique, epochs` (lower rungs included), `speedup`
    and `speedup_after` (epochs without stopping over epochs with it: of all networks, and of those
    after the first `n_first`; ratios of sums), `change, change_low, change_high` (final accuracy of
    the incumbent minus that of the same seeds without stopping, with its 95 % interval),
    `validation, test` (of the incumbents) and `reward_1.0` ... `reward_0.1` (by epsilon). A search
    with stopping is compared with the one of the same optimizer in its study, or in the study
    whose name lacks the ending `_stopped`.
    """
    whole = dict(list(evaluations.groupby(["study", "optimizer"], sort=False)))
    rows = []
    for (study, optimizer), part in networks_of(evaluations).groupby(
        ["study", "optimizer"], sort=False
    ):
        by_seed = part.groupby("seed")
        last = last_incumbents(whole[study, optimizer]).set_index("seed")
        row: dict[str, Any] = {
            **{"study": study, "optimizer": optimizer, "seeds": len(by_seed)},
            "networks": by_seed.size().mean(),
            "unique": by_seed["network"].nunique().mean(),
            "epochs": whole[study, optimizer].groupby("seed")["cost"].sum().mean(),
        }
        name = str(optimizer).removeprefix("f-").partition(":")[0]
        other = (str(study).removesuffix("_stopped"), name)
        if other != (study, optimizer) and other in whole:
            row |= _saved(part, networks_of(whole[other]), n_first)
            without = last_incumbents(whole[other]).set_index("seed")
            gaps = (without["loss"] - last["loss"]).dropna().to_numpy()
            low, high = interval(gaps)
            row |= {"change": gaps.mean(), "change_low": low, "change_high": high}
        row |= {"validation": -last["loss"].mean(), "test": last["test"].mean()}
        row |= {f"reward_{e}": r for e, r in part.groupby("epsilon")["reward"].mean()[::-1].items()}
        rows.append(row)
    columns = ["study", "optimizer", "seeds", "networks", "unique", "epochs", "speedup"]
    columns += ["speedup_after", "change", "change_low", "change_high", "validation", "test"]
    return pd.DataFrame(rows).reindex(columns=[*columns, *(f"reward_{e}" for e in SCHEDULE)])


def _saved(part: pd.DataFrame, other: pd.DataFrame, n_first: int) -> dict[str, float]:
    """Speedups against the same networks trained to the end: all, and those after the first."""
    epochs = other["cost"].max()
    late = part[part["number"] >= n_first]
    return {
        "speedup": len(part) * epochs / part["cost"].sum(),
        "speedup_after": len(late) * epochs / late["cost"].sum() if len(late) else np.nan,
    }
