"""What a run says at its end."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd

from curvecast.files import write_csv
from curvecast.report import closing as summary


def write(text: str, path: Path) -> None:
    write_csv(pd.read_csv(StringIO(text)), path, sealed=True)


def test_closing_text_name_the_best_models_of_each_collection(tmp_path: Path) -> None:
    write(
        "collection,fraction,n_train,model,datasets,r2_median\n"
        "baker,0.25,100,ols,8,0.8\nbaker,0.25,100,mean,8,-0.01\nbaker,0.25,100,nusvr_rbf,8,0.9\n"
        "baker,0.25,10,gp,8,0.95\n"
        "baker,0.5,100,ols,8,0.99\nmine,0.25,100,ols,1,0.5\nmine,0.25,100,mean,1,\n",
        tmp_path / "tables/averages.csv",
    )
    (tmp_path / "report.html").touch()
    text = summary.closing_text(tmp_path, 0.25, left_out=["baker/b", "baker/c"], best=2)
    lines = text.splitlines()
    assert [line.split() for line in lines[2:4]] == [["nusvr_rbf", "0.900"], ["ols", "0.800"]]
    assert lines[4] == "mine: R² at 25 % of the curve, median over 1 data sets"
    assert [line.split() for line in lines[5:-2]] == [["ols", "0.500"]]
    assert lines[-2] == "LEFT OUT: baker/b, baker/c"
    assert lines[-1] == f"Report: {tmp_path}/report.html"


def test_a_study_ends_with_its_incumbent_and_not_with_an_unrelated_r2(tmp_path: Path) -> None:
    write(
        "collection,fraction,n_train,model,datasets,r2_median\nmine,0.25,100,ols,1,0.5\n",
        tmp_path / "tables/averages.csv",
    )
    write(
        "study,optimizer,best_loss,validation,test,incumbent\n"
        'usps,bohb,0.0251,0.9749,0.9721,"{""lr"": 0.01, ""units"": 64}"\n'
        "recorded,bohb,0.1,,,{}\n",
        tmp_path / "tables/studies.csv",
    )
    write(
        "network,test,test_sd,test_study_sd\nbest,0.9741,0.003,0.001\ngiven,0.96,,\n",
        tmp_path / "tables/networks.csv",
    )
    assert summary.closing_text(tmp_path, 0.25).splitlines()[1:] == [
        "study usps, bohb: the incumbent has loss 0.0251, validation 0.9749, test 0.9721",
        "  lr 0.01, units 64",
        "network best: test 0.9741 ± 0.003 (repeats) ± 0.001 (study seeds)",
        "network given: test 0.96",
    ]


def test_a_part_of_the_workflow_has_no_headline(tmp_path: Path) -> None:
    assert summary.closing_text(tmp_path, 0.25) == f"Done. What was asked for is in {tmp_path}."
