"""Figures of searches over layers: their course, and what the agent of MetaQNN learned."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curvecast import layers
from curvecast.report.figures import style
from curvecast.studies.layer_search import networks_of

_KINDS = {"C": style.BLUE, "P": style.SKY, "FC": style.GREEN, "GAP": style.ORANGE, "SM": style.RED}
_COLOURS = (style.BLUE, style.SKY, style.GREEN, style.ORANGE, style.RED, style.PURPLE, style.GREY)
# The share of the networks over which the mean reward rolls.
_WINDOW = 0.05


@style.styled
def course(evaluations: pd.DataFrame) -> Figure:
    """Rolling mean reward, and the share of draws among the best, over the networks of a search.

    As figure 2 of Baker et al. (2017). Means over seeds; among the best is a network whose reward
    is in the highest 5 % of all networks of the study. Steps of epsilon are dotted.
    """
    rows = networks_of(evaluations)
    rows["best"] = (rows["reward"] >= rows["reward"].quantile(0.95)).astype(float)
    titles = {"reward": "mean reward", "best": "share among the best"}
    figure, axes = style.panels(list(titles.values()), columns=2, label="network")
    colours = dict(zip(sorted(set(rows["optimizer"])), _COLOURS * 3, strict=False))
    for axis, column in zip(axes, titles, strict=True):
        for optimizer, part in rows.groupby("optimizer"):
            means = part.groupby("number")[column].mean()
            window = max(1, round(_WINDOW * len(means)))
            axis.plot(means.rolling(window, min_periods=1).mean(), color=colours[str(optimizer)])
        first = rows.dropna(subset="epsilon").groupby("epsilon")["number"].min()
        for number in first[first > 0]:
            axis.axvline(number, color=style.LIGHT, linestyle=style.DOTTED, zorder=0)
    style.legend(figure, {name: {"color": colour} for name, colour in colours.items()})
    return figure


@style.styled
def learned(evaluations: pd.DataFrame) -> Figure:
    """Share of the kinds of layers in the networks that the agent drew, by epsilon."""
    rows = networks_of(evaluations).dropna(subset="epsilon")
    names = sorted(set(rows["optimizer"]))
    figure, axes = style.panels(names, columns=3, label="epsilon", ylabel="share of layers")
    for axis, name in zip(axes, names, strict=True):
        part = rows[rows["optimizer"] == name]
        counts = pd.DataFrame(
            [
                {"epsilon": epsilon, **dict.fromkeys(_KINDS, 0), **_counts(config)}
                for epsilon, config in zip(part["epsilon"], part["config"], strict=True)
            ]
        )
        sums = counts.groupby("epsilon").sum().sort_index(ascending=False)
        shares = sums.div(sums.sum(axis=1), axis=0)
        base = np.zeros(len(shares))
        for kind, colour in _KINDS.items():
            axis.bar(shares.index.astype(str), shares[kind], bottom=base, color=colour)
            base += shares[kind].to_numpy()
    style.legend(figure, {kind: {"color": colour} for kind, colour in _KINDS.items()})
    return figure


def _counts(config: str) -> dict[str, int]:
    kinds = [kind for kind, _ in layers.of_config(json.loads(config))]
    return {kind: kinds.count(kind) for kind in set(kinds)}
