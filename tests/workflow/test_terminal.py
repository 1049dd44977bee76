"""What a run prints: a line per stage, and the progress with the time left."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curvecast.workflow import terminal
from curvecast.workflow.terminal import Progress, duration

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


@pytest.fixture
def printed(monkeypatch, capsys):
    """A run of 100 jobs of the rules `short` (1 s) and `long` (10 s); what it prints."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    shown = Progress(lambda rule: {"all": "all"}.get(rule, "predict"), 2, lambda: False)

    def record(text="", level=logging.INFO, **extra):
        made = logging.makeLogRecord({"msg": text, "levelno": level, **extra})
        return shown.filter(made)

    stats = {"short": 80, "long": 19, "all": 1, "total": 100}
    assert not record("Job stats: ...", event="run_info", stats=stats)
    left = None
    for job in range(100):
        rule = "all" if job == 99 else "long" if job % 5 == 4 else "short"
        assert not record(event="job_info", jobid=job, rule_name=rule)
        assert not record("Execute 1 jobs...", event="job_started", jobs=[job])
        now[0] += {"short": 1, "long": 10, "all": 0}[rule]
        assert not record(event="job_finished", job_id=job)
        if job == 49:
            left = shown.left()
    assert record("a warning", logging.WARNING)
    assert record("what the run says")
    assert not record("Select jobs to execute...")
    return left, capsys.readouterr().err.splitlines()


def test_a_run_prints_a_line_per_stage_and_per_tenth(printed):
    _, lines = printed
    assert len(lines) == 11
    assert lines[-2].endswith("predict: done, 99 jobs")
    assert "10 of 100 jobs" in lines[0]


def test_the_time_left_knows_which_jobs_are_long(printed):
    left, lines = printed
    # 40 short and 9 long ones on two cores, and `all` at the mean of all
    assert left == pytest.approx((40 + 90 + 140 / 50) / 2)
    assert "50 of 100 jobs, about 66 s left" in lines[4]


def test_a_dry_run_prints_everything():
    shown = Progress(str, 1, lambda: True)
    assert shown.filter(logging.makeLogRecord({"event": "job_info", "jobid": 1, "rule_name": "a"}))


def test_times_are_said_as_a_person_does():
    assert [duration(s) for s in (7, 99, 100, 3599, 7200)] == [
        "7 s",
        "99 s",
        "2 min",
        "60 min",
        "2.0 h",
    ]


def test_an_interrupt_unlocks_and_ends_in_one_line():
    code = (
        "from curvecast.workflow.terminal import interrupted as i; i(lambda: print('unlocked'), 2)"
    )
    done = subprocess.run(
        [sys.executable, "-uc", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 130
    assert done.stdout == "unlocked\n"
    assert done.stderr.strip().startswith("Interrupted")
    assert len(done.stderr.splitlines()) == 2


def test_a_job_that_gets_the_interrupt_of_its_run_ends_silently():
    code = "import os, signal, curvecast; os.kill(os.getpid(), signal.SIGINT); print('on')"
    environment = {**ENVIRONMENT, "CURVECAST_SCHEDULER": str(os.getpid())}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == -signal.SIGINT
    assert done.stdout + done.stderr == ""
