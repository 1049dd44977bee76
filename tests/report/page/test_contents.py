"""Every table and figure has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from curvecast.report.page import contents


def test_everything_is_in_one_section_in_the_order_of_the_page() -> None:
    names = [
        "tables/something_new",
        "tables/r2",
        "figures/r2/baker",
        "figures/studies/digits/origin",
        "figures/coverage",
        "tables/timings",
        "tables/speedup_hyperband",
        "tables/studies",
    ]
    arranged = contents.arrange(names)
    assert arranged == {
        "accuracy": ["figures/r2/baker", "tables/r2"],
        "calibration": ["figures/coverage"],
        "stopping": ["tables/speedup_hyperband"],
        "studies": ["figures/studies/digits/origin", "tables/studies"],
        "data": ["tables/timings"],
        "further": ["tables/something_new"],
    }


@pytest.mark.parametrize(
    ("name", "family", "label"),
    [
        ("figures/r2/embedded", "r2", "embedded"),
        ("figures/gallery/baker/lstm_ptb", "gallery", "baker/lstm_ptb"),
        ("figures/ablation/25", "ablation", "25 % of the curve"),
        ("figures/training_size/2.5", "training_size", "2.5 % of the curve"),
        ("figures/studies/digits/origin", "origin", "digits"),
        ("figures/r2/2024", "r2", "2024"),
        ("figures/coverage", "coverage", ""),
        ("figures/stopping/baker/tradeoff", "stopping_tradeoff", "baker"),
        ("figures/stopping/stopped/baker/lstm_ptb", "stopped", "baker/lstm_ptb"),
    ],
)
def test_family_and_label(name: str, family: str, label: str) -> None:
    assert (contents.family(name), contents.label(name)) == (family, label)


def test_files_get_their_names_below_the_results() -> None:
    paths = ["out/tables/r2.md", "out/timings.md", "out/figures/ablation/2.5.svg"]
    names = list(contents.names_of(map(Path, paths), "out"))
    assert names == ["tables/r2", "tables/timings", "figures/ablation/2.5"]
