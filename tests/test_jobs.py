"""What a job does around its work, and what a run says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from curvecast import DataError, jobs, summary


def test_output_goes_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with jobs.logged(tmp_path / "job.log"):
        print("three duplicates dropped")
    assert (tmp_path / "job.log").read_text() == "three duplicates dropped\n"
    assert capsys.readouterr().out == ""


def test_bad_data_are_one_line_and_a_failed_job(tmp_path: Path) -> None:
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


def test_closing_words_name_the_best_models_of_each_collection(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/averages.csv").write_text(
        "collection,fraction,model,datasets,r2_median\n"
        "baker,0.25,ols,8,0.8\nbaker,0.25,mean,8,-0.01\nbaker,0.25,nusvr_rbf,8,0.9\n"
        "baker,0.5,ols,8,0.99\nmine,0.25,ols,1,0.5\nmine,0.25,mean,1,\n"
    )
    words = summary.closing_words(tmp_path, 0.25, left_out=["baker/b", "baker/c"], best=2)
    lines = words.splitlines()
    assert [line.split() for line in lines[2:4]] == [["nusvr_rbf", "0.900"], ["ols", "0.800"]]
    assert lines[4] == "mine: R² at 25 % of the curve, median over 1 data sets"
    assert [line.split() for line in lines[5:-1]] == [["ols", "0.500"]]
    assert lines[-1] == "LEFT OUT: baker/b, baker/c"
