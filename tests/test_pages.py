"""README and every page of docs run as they are printed: block after block, in one clone."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from curvecast.cli import main

ROOT = Path(__file__).resolve().parents[1]
# Blocks that are no code.
DRAWN = ("raw files ->", "[C(64,3,1)", "options:", "run,lr,optimizer", "Error: file data/mine.csv")
# Blocks that the tests of their subject run.
ELSEWHERE = {
    "from curvecast.testing import check_predictor": "test_docs.py",
    "marks = rule.marks(": "test_docs.py",
    "$ curvecast search mine.py:Digits --budget 1h": "integrations/test_cluster.py",
    "#!/bin/bash\n#SBATCH": "integrations/test_cluster.py",
}
# Files that a page asks its reader to write, by the beginning of the block.
WRITTEN = {
    "mine/resnets:": "resources/datasets.yaml",
    '"""Final values from the k runs': "src/curvecast/predictors/neighbours.py",
    '"""Reads a log with one JSON object': "src/curvecast/data/readers/lines.py",
    '"""Local search: a neighbour': "src/curvecast/studies/samplers/neighbour.py",
    '"""Percentile stopping': "src/curvecast/stopping/rules/percentile.py",
    '"""A perceptron on scikit': "mine.py",
}
# What every configuration of a page is merged into: little, and no download.
SMALL = {
    "datasets": ["embedded/breast_cancer_mlp"],
    "models": ["ols"],
    "stopping": {"datasets": []},
    "data": {"offline": True, "on_missing": "skip"},
}
CONFIG = "config/mine.yaml"
PROGRAM = r"(\$ )?([A-Z_]+=\S+ )*(\S*/)?(curvecast|snakemake|python|pip|make) "
# Of integrations.md the blocks run where the tools are: tests/integrations/test_examples.py.
PAGES = [
    "README.md",
    *(f"docs/{p.name}" for p in sorted(ROOT.glob("docs/*.md")) if p.name != "integrations.md"),
]
# Widths of columns follow from what fits into the time of a machine.
FLEXIBLE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TableOf = Callable[..., pd.DataFrame]


def blocks(page: str) -> list[str]:
    """The code of a page, indented or fenced, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```\w*\n((?:(?!```).*\n)*)```|((?:^ {4}.*\n\n*)+)", text, re.MULTILINE)
    return [textwrap.dedent(one or other).strip("\n") + "\n" for one, other in found]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without what was installed or computed in it."""
    folder = tmp_path_factory.mktemp("clone") / "curvecast"
    computed = (".*", "results", "site", "build", "dist", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*computed))
    (folder / "config/small.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return folder


@pytest.fixture
def there(clone: Path, table_of: TableOf) -> dict[str, Any]:
    """What the pages suppose: the user's files in the clone, and names of his own program."""
    _lightning_logs(clone)
    table_of(100, last=40).to_csv(clone / "finished.csv", index=False)
    under_way = table_of(2, last=40).astype(object).assign(run=["a", "b"])
    for row, seen in enumerate((12, 2)):
        under_way.iloc[row, 3 + seen :] = ""
    under_way.to_csv(clone / "running.csv", index=False)
    (clone / "data").mkdir(exist_ok=True)
    mine = table_of(60).assign(layers=3, comment="")
    mine.to_csv(clone / "data/mine.csv", index=False)
    (clone / "mirror/mine").mkdir(parents=True, exist_ok=True)
    (clone / "mirror/mine/resnets.csv").write_bytes(b"\n" * 123456)
    (clone / "old").mkdir(exist_ok=True)
    long = table_of(12).melt(["run", "lr", "optimizer"], var_name="epoch", value_name="val_loss")
    long["epoch"] = long["epoch"].str.removeprefix("err_").astype(int)
    for name in "abcde":
        long.to_csv(clone / f"old/{name}.csv", index=False)
    begun = long["run"].isin(["r1", "r2"]) & (long["epoch"] > 8)
    long[~begun].to_csv(clone / "log.csv", index=False)
    (clone / "runs.jsonl").write_text('{"run": "a", "lr": 0.1, "epoch": 1, "acc": 0.4}\n')
    return {"train_one_epoch": lambda: 0.1}


def _lightning_logs(folder: Path) -> None:
    for run in range(8):
        version = folder / "lightning_logs" / f"version_{run}"
        version.mkdir(parents=True, exist_ok=True)
        text = f"lr: {0.001 * 2**run}\nopt: {('adam', 'sgd')[run % 2]}\n"
        (version / "hparams.yaml").write_text(text)
        epochs = np.arange(30 if run < 5 else 12)
        end = (0.75, 0.8, 0.85, 0.9, 0.88, 0.6, 0.95, 0.5)[run]
        accuracy = end * (1 - 0.8 * np.exp(-0.3 * (epochs + 1)))
        frame = pd.DataFrame({"epoch": epochs, "step": 10 * epochs + 9})
        frame["train_loss"], frame["val_acc"], frame["val_loss"] = 1 - end, accuracy, 1 - accuracy
        frame.to_csv(version / "metrics.csv", index=False)


def _write(path: Path, block: str) -> None:
    """Write a file that a page shows; a stanza goes into the registry."""
    if path.suffix == ".yaml":
        before, head, after = path.read_text(encoding="utf-8").partition("\ndatasets:\n")
        block = before + head + textwrap.indent(block, "  ") + after
    path.write_text(block, encoding="utf-8")


def _installable(words: list[str], clone: Path) -> None:
    (what,) = (word for word in words[2:] if not word.startswith("-"))
    folder, _, extra = what.rstrip("]").partition("[")
    project = tomllib.loads((clone / folder / "pyproject.toml").read_text())["project"]
    assert not extra or extra in project["optional-dependencies"]


def _made(words: list[str], clone: Path) -> None:
    _done(["make", "-n", *words[1:]], clone)


def _planned(words: list[str], clone: Path) -> str:
    """What Snakemake would do, with the configuration of the page."""
    options, _, named = " ".join(["", *words[1:]]).partition(" --configfile ")
    configs = [named] if named else [CONFIG] if (clone / CONFIG).exists() else []
    more = f"{options} -n --quiet rules --configfile config/small.yaml {' '.join(configs)}"
    return _done([sys.executable, "-m", "snakemake", *more.split()], clone)


def _known(words: list[str], clone: Path) -> None:
    start = words[1:3] if words[1] == "-m" else words[1:2]
    text = _done([sys.executable, "-W", "ignore", *start, "--help"], clone)
    assert [word for word in words if word.startswith("--") and word not in text] == []


# Commands that no test runs: why, and what is checked in their place.
NOT_RUN = {
    "pip": ("needs a network: the folder and the extra are there", _installable),
    "make": ("installs, or computes for hours: the target and what it needs are there", _made),
    "snakemake": ("takes minutes to hours, tests/workflow runs the rules: planned", _planned),
    "python": ("takes hours or a mirror: the program starts and has the options", _known),
}


def _done(command: list[str], clone: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    done = subprocess.run(
        command, cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _words(line: str) -> list[str]:
    """A command without its comment and the variables before it; its program without a folder."""
    words = shlex.split(line.removeprefix("$ "), comments=True)
    while re.match("[A-Z_]+=", words[0]):
        words.pop(0)
    return [Path(words[0]).name, *words[1:]]


def _typed(block: str, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Type the commands of a block; after a `$` its lines are what the command prints."""
    block = block.replace("\\\n", " ")
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    for line, expected in commands or [(line, "...\n") for line in block.splitlines() if line]:
        words = _words(line)
        if words[0] in NOT_RUN:
            NOT_RUN[words[0]][1](words, clone)
            continue
        assert words[0] == "curvecast"
        status = main(words[1:])
        printed = capsys.readouterr()
        assert status in (0, 3), printed.err
        same = doctest.OutputChecker().check_output
        assert same(expected, printed.out, FLEXIBLE), printed.out


@pytest.mark.usefixtures("own_modules")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_it_is_printed(
    page: str,
    clone: Path,
    there: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(clone)
    monkeypatch.setenv("CURVECAST_MIRROR", str(clone / "mirror"))
    (clone / CONFIG).unlink(missing_ok=True)
    configured = False
    for block in blocks(page):
        first = block.splitlines()[0]
        if block.startswith((*DRAWN, *ELSEWHERE)):
            continue
        if path := next((WRITTEN[start] for start in WRITTEN if first.startswith(start)), None):
            _write(clone / path, block)
        elif re.match(r"[\w/]+:(\s|$)", first):
            (clone / CONFIG).write_text(block, encoding="utf-8")
            configured = True
        elif re.match(PROGRAM, first):
            _typed(block, clone, capsys)
            configured = False
        else:
            exec(compile(block, page, "exec"), there)
    if configured:
        _planned(["snakemake"], clone)


def test_the_lists_name_what_the_pages_have() -> None:
    code = [block for page in PAGES for block in blocks(page)]
    firsts = [block.splitlines()[0] for block in code]
    named = (*DRAWN, *ELSEWHERE, *WRITTEN)
    assert [start for start in named if not any(b.startswith(start) for b in code)] == []
    programs = {match[4] for first in firsts if (match := re.match(PROGRAM, first))}
    assert programs == {"curvecast", *NOT_RUN}
    assert [name for name in ELSEWHERE.values() if not (ROOT / "tests" / name).is_file()] == []


def test_the_tour_has_the_jobs_that_its_page_counts(clone: Path) -> None:
    (clone / CONFIG).unlink(missing_ok=True)
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    said = re.search(r"\((\d+) jobs: ((?:\d+ `\w+`, )+)", page)
    assert said is not None
    printed = _planned(["snakemake", "--configfile", "config/ci.yaml"], clone)
    counted = dict(re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE))
    assert counted["total"] == said[1], printed
    assert [n for n, rule in re.findall(r"(\d+) `(\w+)`", said[2]) if counted[rule] != n] == []
