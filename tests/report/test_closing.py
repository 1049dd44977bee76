"""What a run says at its end."""

from __future__ import annotations

from pathlib import Path

from curvecast.report import closing as summary


def test_closing_text_name_the_best_models_of_each_collection(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/averages.csv").write_text(
        "collection,fraction,model,datasets,r2_median\n"
        "baker,0.25,ols,8,0.8\nbaker,0.25,mean,8,-0.01\nbaker,0.25,nusvr_rbf,8,0.9\n"
        "baker,0.5,ols,8,0.99\nmine,0.25,ols,1,0.5\nmine,0.25,mean,1,\n"
    )
    (tmp_path / "report.html").touch()
    text = summary.closing_text(tmp_path, 0.25, left_out=["baker/b", "baker/c"], best=2)
    lines = text.splitlines()
    assert [line.split() for line in lines[2:4]] == [["nusvr_rbf", "0.900"], ["ols", "0.800"]]
    assert lines[4] == "mine: R² at 25 % of the curve, median over 1 data sets"
    assert [line.split() for line in lines[5:-2]] == [["ols", "0.500"]]
    assert lines[-2] == "LEFT OUT: baker/b, baker/c"
    assert lines[-1] == f"Report: {tmp_path}/report.html"


def test_a_part_of_the_workflow_has_no_headline(tmp_path: Path) -> None:
    assert summary.closing_text(tmp_path, 0.25) == f"Done. What was asked for is in {tmp_path}."
