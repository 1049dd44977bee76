"""The workflow on a real SLURM of one node: the same tables, also after a job was cancelled."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from one_node_slurm import PARTITION, missing, slurm

from .conftest import ROOT, Project

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text(encoding="utf-8"))
# What a site changes, and shorter waits than a real controller would like.
SITE = [
    *("--default-resources", f"slurm_partition={PARTITION}", "in_turn=1"),
    *("mem_mb=2000 * attempt", "runtime=20 * attempt"),
    *("--slurm-no-account", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--latency-wait", "10"),
]
# From raw curves to tables by way of every kind of submission.
TABLES = [f"out/tables/{name}.csv" for name in ("r2", "ablation", "studies", "study_comparison")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if reason := missing():
        pytest.skip(reason)
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def in_queue(cluster: dict[str, str]) -> list[dict[str, str]]:
    """Jobs that SLURM knows, ended ones too: id, state, cores, memory (MB), minutes, comment."""
    names = ("id", "state", "cores", "memory", "limit", "comment")
    done = subprocess.run(
        ["squeue", "--states=all", "--noheader", "--format=%A|%T|%C|%m|%l|%k"],
        env=cluster,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [dict(zip(names, line.split("|"), strict=True)) for line in done.stdout.splitlines()]


def cancel_training(
    cluster: dict[str, str], project: Project, running: subprocess.Popen[str]
) -> str:
    """Cancel the submission of trainings as soon as the first of them writes its log; its id."""
    while running.poll() is None:
        if list(project.folder.glob("out/logs/predict/mine/*.log")):
            (job,) = (job for job in in_queue(cluster) if "predict" in job["comment"])
            subprocess.run(["scancel", job["id"]], env=cluster, check=True, timeout=60)
            return job["id"]
        time.sleep(0.1)
    raise AssertionError("no training was begun")


@pytest.mark.slow
@pytest.mark.timeout(1500)  # a busy machine takes many times the usual minute or two
def test_a_cancelled_job_is_done_again_and_the_tables_are_those_of_a_local_run(
    cluster: dict[str, str], finished: Project, fresh: Callable[[], Project], tmp_path: Path
) -> None:
    project = fresh()
    command = [sys.executable, "-m", "snakemake", *TABLES, "--configfile", "tiny.yaml"]
    with open(tmp_path / "said.txt", "w+", encoding="utf-8") as said:
        running = subprocess.Popen(
            [*command, "--profile", "profiles/slurm", *SITE],
            cwd=project.folder,
            env=cluster,
            stdout=said,
            stderr=said,
            text=True,
        )
        cancelled = cancel_training(cluster, project, running)
        code = running.wait(900)
        said.seek(0)
        text = said.read()
    assert code == 0, text
    jobs = in_queue(cluster)
    states = {job["id"]: job["state"] for job in jobs}
    assert states.pop(cancelled) == "CANCELLED"
    assert set(states.values()) == {"COMPLETED"}
    assert "Trying to restart job" in text
    # Sixteen jobs in seven submissions and one more for the cancelled one.
    kinds = sorted(job["comment"].split("_")[1] for job in jobs)
    once = ["prepare", "replay", "report", "scores"]
    assert kinds == sorted([*once, "predict", "predict", "study", "study"])
    # The second attempt asks for twice the memory and time.
    first, second = sorted(
        (job for job in jobs if "predict" in job["comment"]), key=lambda job: int(job["id"])
    )
    assert int(second["memory"][:-1]) == 2 * int(first["memory"][:-1])
    made, expected = project.tables(), finished.tables()
    assert set(TABLES) < set(made)
    assert made == {name: expected[name] for name in made}


def test_every_rule_that_is_submitted_travels_with_others_or_is_long() -> None:
    """A rule without a group is a submission per file: right for long jobs only."""
    alone = {"tuned_and_untuned", "task_a", "network"}
    text = "\n".join(p.read_text(encoding="utf-8") for p in ROOT.glob("workflow/rules/*.smk"))
    rules = re.split(r"^ *rule(?= ?\w*:)", text, flags=re.MULTILINE)[1:]
    submitted = [rule for rule in rules if "localrule: True" not in rule]
    names = {rule.split(":")[0].strip() for rule in submitted if "together(" not in rule}
    assert names == alone
    groups = re.findall(r'together\("(\w+)"\)', text)
    assert set(groups) == set(PROFILE["group-components"])
