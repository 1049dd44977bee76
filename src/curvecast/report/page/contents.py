"""What the report shows and in which order: the section of every table and figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes
    ----------
    anchor, title : in the page.
    items : what it holds, in order: patterns of "tables/NAME" and "figures/NAME", where NAME is
        the path below that folder without its extension.
    """

    anchor: str
    title: str
    items: tuple[str, ...]


SECTIONS = (
    Section("data", "Data sets", ("tables/datasets",)),
    Section(
        "accuracy",
        "How well final values are predicted",
        (
            "figures/r2/*",
            "tables/averages",
            "tables/r2",
            "figures/ranks/*",
            "tables/ranks*",
            "figures/spread/*",
            "tables/differences",
            "tables/task_a*",
            "figures/predicted_against_true/*",
            "figures/gallery/*",
        ),
    ),
    Section(
        "ablation", "What the parts of the input add", ("figures/ablation/*", "tables/ablation")
    ),
    Section(
        "training_size",
        "How many finished runs are needed",
        ("figures/training_size/*", "tables/training_size"),
    ),
    Section("depth", "From shallow to deep networks", ("tables/depth",)),
    Section(
        "calibration",
        "Whether the intervals hold what they promise",
        ("figures/coverage", "figures/reliability/*", "tables/calibration*", "tables/reliability*"),
    ),
    Section(
        "stopping",
        "What early stopping saves",
        (
            "figures/stopping/*/tradeoff",
            "tables/speedup*",
            "figures/stopping/*",
            "tables/stopping_[!t]*",
        ),
    ),
    Section(
        "studies",
        "What searches find",
        (
            "tables/studies",
            "tables/study_comparison",
            "figures/studies/*",
            "tables/tuning*",
            "tables/effects*",
        ),
    ),
    Section(
        "networks",
        "Networks that were trained to the end",
        ("tables/networks", "figures/networks/*"),
    ),
    Section("published", "Beside published figures", ("tables/published",)),
    Section("seconds", "Seconds", ("tables/timings", "tables/study_timings", "tables/*timings")),
    Section("further", "Further results", ("tables/*", "figures/*")),
)


def arrange(names: Iterable[str]) -> dict[str, list[str]]:
    """Names ("tables/r2", "figures/r2/baker", ...) by the anchor of their section, in order.

    Every name is in exactly one section; a section that holds nothing is left out.
    """
    left = sorted(set(names))
    result: dict[str, list[str]] = {}
    for section in SECTIONS:
        for pattern in section.items:
            fitting = [name for name in left if fnmatch(name, pattern)]
            if fitting:
                result.setdefault(section.anchor, []).extend(fitting)
                left = [name for name in left if name not in fitting]
    return result


def section_of(name: str) -> Section:
    """The section of one table or figure."""
    anchor = next(iter(arrange([name])))
    return next(section for section in SECTIONS if section.anchor == anchor)


def family(name: str) -> str:
    """What all figures of one kind share, and the name of their caption's file.

    "figures/r2/baker" -> "r2", "figures/studies/digits/origin" -> "origin".
    """
    parts = PurePosixPath(name).parts
    if parts[1] == "stopping":
        return "stopped" if parts[2] == "stopped" else f"stopping_{parts[-1]}"
    return parts[-1] if parts[1] == "studies" else parts[1]


_TITLES = {
    "r2": "R² over the fraction of the curve",
    "spread": "R² over data sets",
    "ablation": "R² by feature blocks",
    "training_size": "R² by number of training runs",
    "coverage": "Coverage of the intervals",
    "gallery": "Curves and their predictions",
    "ranks": "Average ranks",
    "reliability": "Reliability of the distributions",
    "stopping_tradeoff": "Speedup against regret",
    "stopping_best_value": "Best value over the epochs used",
    "stopping_reliability": "Whether stopped runs do end worse",
    "stopping_hyperband": "Early stopping inside Hyperband",
    "stopped": "Where runs are stopped",
    "networks": "Curves of the networks",
    "origin": "Configurations of the model and random ones",
    "importance": "Importance of hyper-parameters",
}


def title(family: str) -> str:
    """Heading of a family of figures."""
    return _TITLES.get(family, family.replace("_", " ").capitalize())


def label(name: str) -> str:
    """What tells a figure from others of its family: "embedded", "25 %", "digits"; or ""."""
    parts = PurePosixPath(name).parts
    if parts[1] == "stopping":
        parts = parts[:2] + parts[3:] if parts[2] == "stopped" else parts[:-1]
    rest = "/".join(parts[2:-1] if parts[1] == "studies" else parts[2:])
    return f"{rest} % of the curve" if rest.replace(".", "").isdigit() else rest


def names_of(paths: Iterable[str | Path], results: str | Path) -> Mapping[str, Path]:
    """Names of the files of a run: those in `figures` by their place, all others as tables."""
    found = {}
    for path in map(Path, paths):
        place = path.relative_to(results).with_suffix("")
        name = place if place.parts[0] in ("figures", "tables") else "tables" / place
        found[name.as_posix()] = path
    return found
