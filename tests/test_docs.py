"""What the pages in docs/ tell a user to write works, and what they point at is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from curvecast.benchmark.comparisons import SUMMARY_COLUMNS
from curvecast.data import registry as datasets
from curvecast.studies import jobs
from curvecast.workflow.plan_studies import own_files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])


def blocks(page: str) -> list[str]:
    """Indented code of a page, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"(?:^(?: {4}.*)?\n)*^ {4}.*\n", text, flags=re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") + "\n" for block in found]


def with_module(folder: Path, path: str, code: str, check: str, *paths: Path) -> str:
    """Output of the code `check` beside a copy of the library with one module more, at `path`.

    `paths` can be imported from as well.
    """
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src/curvecast" / path).write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", check],
        cwd=folder / "src",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join([".", *map(str, paths)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:src|tests|profiles|config|workflow|resources|envs)/[\w./-]+)`", text)
    users_own = "config/mine.yaml"
    assert [n for n in named if n != users_own and not (ROOT / n).exists()] == []


def test_the_predictor_of_the_page_needs_its_one_file(tmp_path: Path) -> None:
    """The contract, and label, order and look in what is shown, follow from the file alone."""
    code = next(block for block in blocks("predictor.md") if "class Neighbours" in block)
    check = f"""
        import sys
        from curvecast import make_predictor
        from curvecast.code_digest import of
        from curvecast.predictors import module_of
        from curvecast.report.figures import style
        from curvecast.report.names import in_order
        from curvecast.report.page.page import methods
        from curvecast.testing import check_predictor
        assert in_order(["gp", "neighbours", "gradient_boosting"])[1] == "neighbours"
        assert style.looks(["neighbours"])["neighbours"] == style.look(style.SKY, "D")
        text = "Mean of the runs with the most similar beginning."
        said = methods(["neighbours"], "{ROOT}/resources/methods.yaml")
        assert said[0] == ("neighbours", text, "Fix and Hodges (1951)")
        assert any(path.endswith("neighbours.py") for path in of(module_of("neighbours")))
        assert not any(path.endswith("neighbours.py") for path in of(module_of("ols")))
        assert "curvecast.predictors.neighbours" not in sys.modules
        assert make_predictor("neighbours").k == 5
        check_predictor("neighbours")
    """
    with_module(tmp_path, "predictors/neighbours.py", code, textwrap.dedent(check))


def test_the_sampler_of_the_page_is_found_and_learns(tmp_path: Path) -> None:
    code = next(block for block in blocks("sampler.md") if "class Sampler" in block)
    check = """
        from toys import Bowl
        from curvecast.studies.scheduler import run
        from curvecast.studies.settings import Settings
        for optimizer in ("neighbour", "random"):
            losses = []
            for seed in range(4):
                settings = Settings("s", optimizer, seed=seed, iterations=9, workers=0)
                losses += [min(e.loss for e in run(settings, Bowl()) if e.budget == 9)]
            print(sum(losses))
    """
    path = "studies/samplers/neighbour.py"
    output = with_module(tmp_path, path, code, textwrap.dedent(check), ROOT / "tests/studies")
    local, chance = map(float, output.split())
    assert local < chance


def test_the_stopping_rule_of_the_page_needs_its_one_file(tmp_path: Path) -> None:
    """It is replayed with the others, and stops in a training loop as the page says."""
    text = (ROOT / "docs/stopping_rule.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    loop = blocks("stopping_rule.md")[-1].replace("...", "stopped = True")
    check = f"""
        import numpy as np
        from curvecast import CurveSet
        from curvecast.code_digest import of
        from curvecast.stopping import replay, rules
        from curvecast.stopping.accounting import Record
        curves = CurveSet.from_parquet("{ROOT}/resources/embedded/breast_cancer_mlp.parquet")
        frame = replay.run("rules", curves, dict(n_full=100, orderings=2))["outcomes"]
        rows = frame[frame["predictor"] == "percentile"]
        assert set(rows["setting"]) == {{"worst quarter"}} and (rows["speedup"] > 1.1).all()
        code = of("curvecast.stopping.sequential", "curvecast.stopping.rules")
        assert any(path.endswith("percentile.py") for path in code)
        rule = next(rule for rule in rules.replayed(np.arange(1, 10)) if rule.name == "percentile")
        curves = curves.take(np.isfinite(curves.values[:, curves.epochs <= 5]).all(axis=1))
        at_five = np.argsort(curves.sign * curves.values[:, curves.epochs == 5][:, 0])
        earlier = Record(curves.take(at_five[1:]))
        earlier.curves.values[50] = np.nan  # has not come so far
        run = Record(curves.take(at_five[:1]).hide_after(5))
    """
    check = textwrap.dedent(check) + loop + "assert stopped"
    with_module(tmp_path, "stopping/rules/percentile.py", code, check)


@pytest.mark.usefixtures("own_modules")
def test_the_task_of_the_page_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = next(block for block in blocks("study.md") if "class Digits" in block)
    config = next(block for block in blocks("study.md") if "study_definitions:" in block)
    (tmp_path / "mine.py").write_text(task, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    definition = {**yaml.safe_load(config)["study_definitions"]["mine"], "iterations": 2}
    made = jobs.run_job("mine", definition, "bohb", 0, tmp_path / "study")
    frame, curves = made["evaluations"], made["curves"]
    assert frame["reason"].isna().all()
    assert frame["test"].between(0.5, 1).any()
    assert curves is not None
    assert list(curves.configs.filter(regex="^(hp|ap)_")) == ["hp_lr", "ap_units"]
    assert own_files(definition) == ["mine.py"]
    before = (tmp_path / "study/study.json").read_text()
    with open(tmp_path / "mine.py", "a", encoding="utf-8") as file:
        file.write("# edited\n")
    jobs.run_job("mine", definition, "bohb", 0, tmp_path / "study")
    assert (tmp_path / "study/study.json").read_text() != before


def test_the_stanzas_of_the_page_are_valid(tmp_path: Path) -> None:
    stanza, variant = (
        yaml.safe_load(next(block for block in blocks("data_set.md") if word in block))
        for word in ("mine/resnets:", "dataset_definitions:")
    )
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump({"datasets": stanza}))
    registry = datasets.load_registry(path=tmp_path / "registry.yaml")
    assert registry["mine/resnets"]["files"][0]["path"] == "mine/resnets.csv"
    registry = datasets.load_registry(variant["dataset_definitions"])
    assert registry["lstm_log_rate"]["log"] == ["base_lr"]
    assert registry["lstm_log_rate"]["files"] == registry["baker/lstm_ptb"]["files"]


def test_every_column_of_the_main_table_is_explained() -> None:
    text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    obvious = {"dataset", "model"}
    assert {c for c in SUMMARY_COLUMNS if f"`{c}`" not in text} <= obvious
