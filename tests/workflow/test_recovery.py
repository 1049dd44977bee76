"""After a kill, a full disk or a damaged file, the same command ends with the same tables."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from curvecast.files import locked

from .conftest import Project

KILLS = 20
# A part of the workflow that every kind of stage has a job in, with as few jobs as that takes.
TARGETS = ("out/tables/r2.csv", "out/tables/studies.csv")
SMALL = {
    "models: [ols, nusvr_rbf]": "models: [ols]",
    "seeds: 2\n  tabular": "seeds: 1\n  tabular",
    "studies: [toy, tabular]": "studies: [toy]",
}


def start(project: Project) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "2"]
    with open(project.folder / "said.txt", "wb") as said:
        return subprocess.Popen([*command, *TARGETS], cwd=project.folder, stdout=said, stderr=said)


def said_in(project: Project) -> str:
    text = (project.folder / "said.txt").read_text(errors="replace")
    logs = (project.folder / "out/logs").rglob("*.log")
    return text + "".join(f"\n{path}:\n{path.read_text(errors='replace')}" for path in logs)


def jobs_of(snakemake: psutil.Process) -> list[psutil.Process]:
    """Running scripts of a Snakemake."""
    children = snakemake.children(recursive=True)
    return [child for child in children if ".snakemake/scripts" in " ".join(child.cmdline())]


def bytes_of(project: Project) -> dict[str, bytes]:
    return {target: (project.folder / target).read_bytes() for target in TARGETS}


def strike(process: subprocess.Popen[bytes], after: float, *, job: bool) -> str:
    """Kill Snakemake, or else one of its jobs, `after` so many seconds; what was killed."""
    try:
        process.wait(after)
        return ""
    except subprocess.TimeoutExpired:
        pass
    snakemake = psutil.Process(process.pid)
    while job and process.poll() is None:
        try:
            found = jobs_of(snakemake)
            if found:
                found[0].kill()
                return "job"
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.02)
    if process.poll() is not None:
        return ""
    process.kill()
    return "snakemake"


@pytest.mark.slow
@pytest.mark.timeout(1500)  # a busy machine takes many times the usual minute or two
def test_twenty_kills_change_no_table(fresh: Callable[[], Project]) -> None:
    project = fresh()
    for old, new in SMALL.items():
        project.edit("tiny.yaml", old, new)
    began = time.monotonic()
    assert start(project).wait(600) == 0, said_in(project)
    whole = time.monotonic() - began
    expected = bytes_of(project)
    chance = random.Random(0)
    killed: list[str] = []
    shutil.rmtree(project.folder / "out")
    while len(killed) < KILLS:
        process = start(project)
        victim = strike(process, chance.uniform(0, 0.75 * whole), job=chance.random() < 0.5)
        code = process.wait(600)
        if victim:
            killed.append(victim)
            assert "--unlock" not in said_in(project)
        else:
            assert code == 0, said_in(project)
            assert bytes_of(project) == expected
            shutil.rmtree(project.folder / "out")  # so that later kills meet work as well
    assert start(project).wait(600) == 0, said_in(project)
    assert bytes_of(project) == expected
    assert {"snakemake", "job"} == set(killed)


def test_a_second_run_in_the_same_folder_is_refused(fresh: Callable[[], Project]) -> None:
    project, target = fresh(), "out/curves/mine.parquet"
    with locked(project.folder / "out/.lock", "the first run"):
        done = project.snakemake("--cores", "1", target)
        assert done.returncode != 0
        assert "out/.lock: another run is writing to this folder" in done.stdout + done.stderr
        assert project.planned(target) == {"curves of mine"}
    project.run(target)


def test_a_full_disk_leaves_nothing_that_looks_whole(project: Project, tmp_path: Path) -> None:
    """No file that a job writes may grow over 8 kB: larger ones are cut off, as by a full disk."""
    expected = project.tables()
    shutil.rmtree(project.folder / "out/scores")
    (project.folder / "out/tables/r2.csv").unlink()
    limit = tmp_path / "limit.sh"
    limit.write_text("ulimit -f 8\n", encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            TARGETS[0],
            "--configfile",
            "tiny.yaml",
            "--cores",
            "1",
        ],
        cwd=project.folder,
        env={**os.environ, "BASH_ENV": str(limit)},  # Snakemake starts jobs by bash
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "File too large" in done.stdout + done.stderr
    assert not list((project.folder / "out/scores").rglob("*.parquet*"))
    project.run()
    assert project.tables() == expected


def test_removed_files_are_made_again(project: Project) -> None:
    expected = project.tables()
    for name in ("scores/mine.parquet", "tables/r2.csv", "studies/toy/curves.parquet"):
        (project.folder / "out" / name).unlink()
    project.run()
    assert project.tables() == expected


def test_a_damaged_file_is_named(project: Project) -> None:
    expected = project.tables()
    name = "predictions/mine/ols.parquet"
    path = project.folder / "out" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = project.snakemake("--cores", "2")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"Error: file out/{name}: damaged, or not written by" in said
    assert "Traceback" not in said
    path.unlink()
    project.run()
    assert project.tables() == expected


def test_changed_raw_data_count_and_restored_ones_do_not(project: Project) -> None:
    raw = project.folder / "mine.csv"
    content = raw.read_bytes()
    raw.write_bytes(content.replace(b"r0,", b"first,"))
    assert {"curves of mine", "features of mine", "ols on mine"} <= project.planned()
    raw.write_bytes(content)
    assert project.planned() == set()
