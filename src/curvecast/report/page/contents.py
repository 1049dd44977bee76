"""Says what the report shows and in which order: the section of every table and figure.

Names are "tables/NAME" and "figures/NAME", where NAME is the path below that folder without its
extension.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

# Sections in order: their anchor, their title, and patterns of the names that they show, in order.
SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "accuracy": (
        "How well final values are predicted",
        (
            *("figures/r2/*", "tables/r2", "tables/averages", "tables/differences"),
            *("figures/spread/*", "figures/ranks/*", "tables/ranks*", "tables/task_a*"),
            *("figures/predicted_against_true/*", "figures/gallery/*"),
        ),
    ),
    "training_size": (
        "How many finished runs does it take?",
        ("figures/training_size/*", "tables/training_size"),
    ),
    "calibration": (
        "Whether the intervals hold what they promise",
        ("figures/coverage", "figures/reliability/*"),
    ),
    "stopping": (
        "What early stopping saves",
        ("figures/stopping/*/tradeoff", "tables/speedup*", "figures/stopping/*"),
    ),
    "studies": (
        "What searches reach",
        (
            *("figures/studies/*/regret", "figures/studies/*/incumbent", "figures/studies/*"),
            *("tables/studies", "tables/study_comparison", "tables/metaqnn"),
            *("tables/tuning*", "tables/effects*"),
        ),
    ),
    "networks": (
        "Networks that were trained to the end",
        ("figures/networks/*", "tables/networks"),
    ),
    "published": ("Beside published figures", ("tables/published",)),
    "ablation": ("What the parts of the input add", ("figures/ablation/*", "tables/ablation")),
    "depth": ("From shallow to deep networks", ("tables/depth",)),
    "data": ("Data sets and seconds", ("tables/datasets", "tables/*timings")),
    "further": ("Further results", ("tables/*", "figures/*")),
}
# Families of figures of which the first one is open at first; everything else is folded.
OPEN = ("r2", "training_size", "coverage", "stopping_tradeoff", "regret", "incumbent", "networks")


def arrange(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by the anchor of their section, in order.

    Every name is in exactly one section; a section that holds nothing is left out.
    """
    left = sorted(set(names))
    result: dict[str, list[str]] = {}
    for anchor, (_, patterns) in SECTIONS.items():
        for pattern in patterns:
            fitting = [name for name in left if fnmatch(name, pattern)]
            if fitting:
                result.setdefault(anchor, []).extend(fitting)
                left = [name for name in left if name not in fitting]
    return result


def family(name: str) -> str:
    """What all figures of one kind share, and the name of their caption's file.

    "figures/r2/baker" -> "r2", "figures/studies/digits/origin" -> "origin".
    """
    parts = PurePosixPath(name).parts
    if parts[1] == "stopping":
        return "stopped" if parts[2] == "stopped" else f"stopping_{parts[-1]}"
    return parts[-1] if parts[1] == "studies" else parts[1]


def label(name: str) -> str:
    """What tells a figure from others of its family: "embedded", "25 %", "digits"; or ""."""
    parts = PurePosixPath(name).parts
    if parts[1] == "stopping":
        parts = parts[:2] + parts[3:] if parts[2] == "stopped" else parts[:-1]
    rest = "/".join(parts[2:-1] if parts[1] == "studies" else parts[2:])
    return f"{rest} % of the curve" if parts[1] in ("ablation", "training_size") else rest


def names_of(paths: Iterable[Path], results: str | Path) -> dict[str, Path]:
    """Names of the files of a run: those in `figures` by their place, all others as tables."""
    names = {}
    for path in paths:
        place = path.relative_to(results).with_suffix("")
        name = place if place.parts[0] in ("figures", "tables") else "tables" / place
        names[name.as_posix()] = path
    return names
