"""The report of a real run, opened in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curvecast.report.page import contents

from .conftest import Project


def names(project: Project, pattern: str) -> set[str]:
    """What the page calls the files of a run."""
    found = (p.relative_to(project.folder / "out") for p in (project.folder / "out").glob(pattern))
    return {str(path.with_suffix("")).replace("/", "-") for path in found}


@pytest.mark.parametrize("width", [1400, 400])
def test_report_shows_every_table_and_figure(
    finished: Project, look_at: Callable[[Path, int], dict[str, Any]], width: int
) -> None:
    page = finished.folder / "out/report.html"
    assert page.stat().st_size < 30e6
    found = look_at(page, width)
    assert found["wider"] <= 0
    assert width < 1400 or found["height"] <= 9000
    figures = {name for name, pixels in found["images"] if pixels > 100}
    assert figures == names(finished, "figures/**/*.svg")
    assert len(figures) >= 12
    for path in (finished.folder / "out/figures").rglob("*.svg"):
        name = path.relative_to(finished.folder / "out").with_suffix("").as_posix()
        caption = finished.folder / f"workflow/report/{contents.family(name)}.rst"
        assert caption.is_file(), f"{name} has no caption"
    tables = names(finished, "tables/*.md") | {"tables-timings", "tables-study_timings"}
    shown = {table["id"] for table in found["tables"] if table["rows"]}
    assert tables - shown <= {"tables-published"}  # nothing is published about a table of its own
    sections = {section["id"]: section for section in found["sections"]}
    assert {"accuracy", "ablation", "depth", "calibration", "studies", "jobs"} <= set(sections)
    for section in sections.values():
        assert section["rows"] + section["figures"] + section["findings"] > 0 or (
            section["id"] == "published" and section["words"] > 30
        )
    assert sections["findings"]["findings"] >= 5


def test_the_run_ends_with_the_path_of_the_report(project: Project) -> None:
    (project.folder / "out/report.html").unlink()
    text = project.run()
    assert "Report: out/report.html" in text
