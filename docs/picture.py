"""Draws advice.png of the README: the search of `curvecast demo`, with what it advises.

PYTHONPATH=src python docs/picture.py
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from curvecast import advise, demo, read

COLOURS = {"stop": "#d55e00", "go on": "#0072b2"}
GREY, TEXT = "#b8c0c9", "#1d2530"
HERE = Path(__file__).parent


def draw(log: Path, ends: pd.Series) -> Figure:
    """The curves of a log, the predicted ends with 80 % intervals, and the true ends."""
    curves = read(log, "val_loss", "minimize", epochs=demo.EPOCHS)
    advice = advise(curves).set_index("run")
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(2.1, 1))
    for run, values in zip(curves.configs["id"], curves.values, strict=True):
        if run in advice.index:
            colour = COLOURS[advice["advice"][run]]
            axes.plot(curves.epochs, values, color=colour, linewidth=1.8, zorder=3)
            seen = advice["epoch"][run]
            axes.plot(seen, advice["value"][run], "o", color=colour, markersize=5, zorder=4)
        else:
            axes.plot(curves.epochs, values, color=GREY, linewidth=0.9)
    order = advice.sort_values("predicted")
    for place, row in enumerate(order.itertuples()):
        colour = COLOURS[row.advice]
        beside.plot([place, place], [row.low, row.high], color=colour, linewidth=3, alpha=0.45)
        beside.plot(place, row.predicted, "o", color=colour, markersize=5)
        beside.plot(place, ends[row.Index], "x", color=TEXT, markersize=7, markeredgewidth=1.6)
    best = curves.final[np.isfinite(curves.final)].min()
    for part in (axes, beside):
        part.axhline(best, color=TEXT, linewidth=0.9, linestyle=(0, (4, 3)))
        part.spines[["top", "right"]].set_visible(False)
        part.grid(axis="y", color="#e6eaee")
        part.set_axisbelow(True)
    beside.text(11.4, best * 0.97, "best finished run", ha="right", va="top", fontsize=9)
    axes.set(yscale="log", xlabel="epoch", ylabel="validation loss", xlim=(0, demo.EPOCHS))
    axes.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    axes.minorticks_off()
    beside.set_xticks(range(len(order)), order.index, rotation=90)
    axes.set_title("18 runs are finished, 12 are under way", loc="left", fontsize=11)
    counts = advice["advice"].value_counts()
    title = f"Predicted ends: stop {counts['stop']}, {counts['go on']} go on"
    beside.set_title(title, loc="left", fontsize=11)
    for kind, colour in COLOURS.items():
        axes.plot([], [], "o-", color=colour, label=kind)
    axes.plot([], [], color=GREY, label="finished")
    axes.plot([], [], "x", color=TEXT, label="true end, seen later")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    settings, losses = demo.train()
    with tempfile.TemporaryDirectory() as folder:
        demo.show(f"{folder}/log.csv")
        figure = draw(Path(folder, "log.csv"), pd.Series(losses[:, -1], settings["run"]))
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120)
    Image.open(buffer).convert("RGB").quantize(64).save(HERE / "advice.png", optimize=True)
