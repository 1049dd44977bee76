"""What a change reruns: dry runs after each kind of change, on a finished run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from curvecast import code_digest

from .conftest import ROOT, Project

# What stands behind all scores of the main protocol.
SUMMARIES = {
    "R² tables",
    "published figures beside ours",
    "seconds per model",
    "figure of interval coverage",
    "figures of R² on mine",
    "reliability on mine",
}


def touch(path: Path) -> None:
    later = time.time() + 60
    os.utime(path, (later, later))


def test_nothing_is_planned_after_a_run(project: Project) -> None:
    assert project.planned() == set()


def test_touching_any_input_reruns_nothing(project: Project) -> None:
    inputs = [p for p in project.folder.rglob("*") if p.is_file() and ".snakemake" not in p.parts]
    assert len(inputs) > 60
    for path in inputs:
        touch(path)
    assert project.planned() == set()


def test_editing_a_predictor_plans_its_jobs_and_what_follows(project: Project) -> None:
    project.edit("src/curvecast/predictors/nusvr.py", '"""', '"""Edited. ')
    assert project.planned() == SUMMARIES | {
        "nusvr_rbf on mine",
        "nusvr_rbf.ablation on mine",
        "scores on mine",
        "scores on mine.ablation",
        "table of ablation",
        "figure of ablation at 25 %",
        "figures of predictions on mine",
    }


def test_a_new_model_plans_its_own_jobs_and_what_follows(project: Project) -> None:
    naive = (project.folder / "src/curvecast/predictors/naive.py").read_text(encoding="utf-8")
    new = naive.replace('"mean": {', '"other_mean": {').replace(
        '"last_value": {', '"other_last": {'
    )
    new_file = project.folder / "src/curvecast/predictors/other.py"
    new_file.write_text(new, encoding="utf-8")
    project.edit("tiny.yaml", "models: [ols, nusvr_rbf]", "models: [ols, nusvr_rbf, other_mean]")
    assert project.planned() == SUMMARIES | {
        "other_mean on mine",
        "scores on mine",
        "figures of predictions on mine",
    }


def test_a_new_data_set_plans_its_own_jobs_and_what_follows(project: Project) -> None:
    project.edit("tiny.yaml", "datasets: [mine]\ndataset", "datasets: [mine, copy]\ndataset")
    project.edit("tiny.yaml", "models: [ols", "  copy: {like: mine}\nmodels: [ols")
    planned = project.planned()
    assert {message for message in planned if "mine" in message} == set()
    assert {"curves of copy", "features of copy", "ols on copy", "nusvr_rbf on copy"} <= planned


def test_changing_the_ablation_plans_ablation_jobs_only(project: Project) -> None:
    project.edit("tiny.yaml", "features: [TS, TS+HP]", "features: [TS, HP, TS+HP]")
    assert project.planned() == {
        "nusvr_rbf.ablation on mine",
        "scores on mine.ablation",
        "table of ablation",
        "figure of ablation at 25 %",
        "published figures beside ours",
        "seconds per model",
    }


def test_a_new_variant_of_task_a_plans_task_a_only(project: Project) -> None:
    project.edit("tiny.yaml", "{name: fewer, train: 20}", "{name: fewer, train: 25}")
    assert project.planned() == {"Task A: ols on mine", "table of Task A", "seconds per model"}


def test_options_of_one_model_plan_its_jobs_only(project: Project) -> None:
    project.edit("tiny.yaml", "nusvr_linear: {draws: 3}", "nusvr_linear: {draws: 4}")
    assert project.planned() == set()
    project.edit("tiny.yaml", "nusvr_rbf: {draws: 3}", "nusvr_rbf: {draws: 4}")
    planned = project.planned()
    assert "nusvr_rbf on mine" in planned
    assert "ols on mine" not in planned


def test_a_mirror_reruns_nothing(project: Project, tmp_path: Path) -> None:
    assert project.planned("--config", f'data={{"mirrors": ["{tmp_path}"]}}') == set()


def test_every_module_that_a_rule_names_exists() -> None:
    """A module that a rule lists as code must not be renamed without the rule."""
    modules = ("features", "protocol", "benchmark.cells", "benchmark.scores", "report.page.page")
    for name in modules:
        found = code_digest.of(f"curvecast.{name}")
        path = ROOT / "src/curvecast" / f"{name.replace('.', '/')}.py"
        assert str(path) in found


def test_the_page_and_the_captions_plan_the_report_alone(project: Project) -> None:
    assert project.all_planned() == set()
    project.edit("src/curvecast/report/page/page.html", "Findings", "Found")
    assert project.all_planned() == {"report"}
    project.run()
    project.edit("workflow/report/r2.rst", "R²", "The R²")
    assert project.all_planned() == {"report"}


def test_the_report_follows_from_every_table(project: Project) -> None:
    project.edit("src/curvecast/report/figures/predictions.py", '"""', '"""Edited. ')
    assert project.all_planned() == {"figures of predictions on mine", "report"}
