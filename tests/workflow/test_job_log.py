"""What a job does around its work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curvecast import DataError
from curvecast.studies.evaluation import StudyError
from curvecast.workflow import job as jobs


def test_output_goes_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with jobs.logged(tmp_path / "job.log"):
        print("three duplicates dropped")
    assert (tmp_path / "job.log").read_text() == "three duplicates dropped\n"
    assert capsys.readouterr().out == ""


def test_bad_data_are_one_line_and_a_failed_job(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), jobs.logged(tmp_path / "study.log"):
        raise StudyError("none of 1000 drawn configurations is possible")
    assert (tmp_path / "study.log").read_text().startswith("Error: none of 1000 drawn")
    with pytest.raises(SystemExit) as stopped, jobs.logged(tmp_path / "job.log"):
        raise DataError("no such column", file="a.csv", column="lr")
    assert stopped.value.code == 1
    assert (tmp_path / "job.log").read_text() == "Error: file a.csv, column lr: no such column\n"


def test_other_errors_keep_their_traceback(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), jobs.logged(tmp_path / "job.log"):
        raise ZeroDivisionError("by design")
    log = (tmp_path / "job.log").read_text()
    assert "Traceback" in log
    assert log.endswith("ZeroDivisionError: by design\n")


def test_a_job_ends_with_the_snakemake_that_started_it(tmp_path: Path) -> None:
    code = "import curvecast, time; time.sleep(60)"  # asleep before it has imported all it needs
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as scheduler:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(jobs.__file__).parents[2]),
            "CURVECAST_SCHEDULER": str(scheduler.pid),
        }
        job = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
        with pytest.raises(subprocess.TimeoutExpired):
            job.wait(3)
        scheduler.kill()
    assert job.wait(20) == -signal.SIGKILL
