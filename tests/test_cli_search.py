"""`curvecast search`: a study of a network in a file, in one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import curvecast
from curvecast import CurveSet
from curvecast.cli import main
from curvecast.studies.log import read_evaluations

TASK = '''
import time

import ConfigSpace
import numpy as np

from curvecast.studies.objectives.task import Session, Task


class Valley(Task):
    """A loss that falls to (x - .3)^2, and breaks beyond .9."""

    name, source = "trained/valley", "test"
    target, metric, direction = "loss", "loss", "minimize"
    n_epochs = 9

    def space(self):
        space = ConfigSpace.ConfigurationSpace()
        space.add(ConfigSpace.Float("x", (0.0, 1.0)))
        return space

    def start(self, config, seed):
        return Run(config["x"])


class Run(Session):
    def __init__(self, x):
        self.x, self.epoch = x, 0

    def train_epoch(self):
        time.sleep(0.01)
        self.epoch += 1
        if self.x > 0.9:
            raise RuntimeError("beyond the edge")

    def evaluate(self):
        return {"loss": (self.x - 0.3) ** 2 + float(np.exp(-self.epoch))}

    def scores(self):
        return {"validation": self.evaluate()["loss"], "test": 7.0}

    def state(self):
        return {"epoch": np.array(self.epoch)}

    def resume(self, epoch, state):
        self.epoch = epoch
'''


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_modules: None) -> str:
    (tmp_path / "valley_of_search.py").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return "valley_of_search.py:Valley"


def evaluated(folder: Path) -> list[tuple[object, ...]]:
    return [(e.id, e.budget, e.loss) for e in read_evaluations(folder / "study")]


def test_a_search_writes_its_best_and_goes_on_with_a_larger_budget(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["search", task, "--budget", "5s", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    first = evaluated(out)
    best = json.loads((out / "best.json").read_text())
    assert best["epochs"] == 9
    assert best["config"]["x"] == pytest.approx(0.3, abs=0.1)
    assert best["loss"] == min(loss for _, budget, loss in first if budget == 9)
    assert best["test"] == 7
    assert f"best loss {best['loss']:.4g} at epoch 9" in printed.splitlines()[-2]
    assert "s of 5 s left" in printed
    curves = CurveSet.from_parquet(out / "curves.parquet")
    assert set(curves.configs["info_state"]) == {"running", "ended"}
    assert len(pd.read_csv(out / "evaluations.csv")) == len(first)
    assert "valley" in (out / "report.html").read_text()

    assert main(["search", task, "--budget", "7s", "--out", str(out)]) == 0
    second = evaluated(out)
    assert second[: len(first)] == first
    assert len(second) > len(first)


def test_a_network_that_never_trains_is_an_error(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = TASK.replace('return Run(config["x"])', 'raise OSError("no data here")')
    (tmp_path / "broken_of_search.py").write_text(broken)
    begun = ["search", "broken_of_search.py:Valley", "--budget", "1h", "--out", str(tmp_path / "o")]
    assert main(begun) == 1
    printed = capsys.readouterr()
    assert "20 evaluations in a row have no result" in printed.err
    assert printed.err.strip().endswith("OSError: no data here")
    assert printed.out == "Nothing was evaluated.\n"


def test_a_second_search_begins_with_the_best_of_the_first(task: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["search", task, "--budget", "3s", "--out", str(first)]) == 0
    command = ["search", task, "--budget", "1s", "--out", str(second), "--sources", str(first)]
    assert main(command) == 0
    ranked = sorted(read_evaluations(first / "study"), key=lambda e: (-e.budget, e.loss))
    best = list(dict.fromkeys(e.config["x"] for e in ranked if e.reason is None))[:5]
    done = read_evaluations(second / "study")
    assert list(dict.fromkeys(e.config["x"] for e in done))[: len(best)] == best
    # the first one goes on, and the second one with what it began with
    assert main(["search", task, "--budget", "5s", "--out", str(first)]) == 0
    assert main([*command[:3], "2s", *command[4:]]) == 0
    assert evaluated(second)[: len(done)] == [(e.id, e.budget, e.loss) for e in done]


def test_a_search_begins_with_the_best_of_any_log(task: str, tmp_path: Path) -> None:
    rows = ["run,epoch,val_loss,x", "a,1,3,0.1", "a,2,2,0.1", "b,1,2,0.7", "b,2,1,0.7"]
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    command = ["search", task, "--budget", "1s", "--out", str(out), "--sources", "log.csv"]
    assert main(command) == 0
    begun = list(dict.fromkeys(e.config["x"] for e in read_evaluations(out / "study")))
    assert begun[:2] == [0.7, 0.1]


def test_another_space_begins_anew_with_the_sources(task: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("run,epoch,val_loss,x,y\na,1,3,0.7,0.4\na,2,2,0.7,0.4\n")
    command = ["search", task, "--budget", "1s", "--sources", "log.csv", "--out"]
    assert main([*command, "out"]) == 0
    file = tmp_path / "valley_of_search.py"
    other = file.with_name("valley_and_more.py")
    parameter = 'space.add(ConfigSpace.Float("x", (0.0, 1.0)))'
    assert parameter in file.read_text()
    more = f'{parameter}; space.add(ConfigSpace.Float("y", (0.0, 1.0)))'
    other.write_text(file.read_text().replace(parameter, more))
    assert main([*command, "out"]) == 0
    assert {tuple(e.config) for e in read_evaluations(tmp_path / "out/study")} == {("x",)}
    assert main(["search", "valley_and_more.py:Valley", *command[2:], "out"]) == 0
    done = read_evaluations(tmp_path / "out/study")
    assert done[0].config == {"x": 0.7, "y": 0.4}
    assert (tmp_path / "out/study/superseded/results.json").exists()


def test_a_search_that_has_tried_everything_shows_what_it_has(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "valley_of_search.py"
    levels = file.read_text().replace('Float("x", (0.0, 1.0))', 'Categorical("x", [0.1, 0.3])')
    file.write_text(levels)
    assert main(["search", task, "--budget", "1h", "--sampler", "evolution", "--out", "out"]) == 1
    printed = capsys.readouterr()
    assert "none of 1000 draws has a new configuration" in printed.err
    assert json.loads((tmp_path / "out/best.json").read_text())["config"] == {"x": 0.3}
    assert "report.html" in printed.out


def test_an_interrupted_search_keeps_what_it_has(task: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "curvecast", "search", task, "--budget", "1h", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(curvecast.__file__).parents[1])}
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    given["env"] = environment
    # a new session, in which a terminal's interrupt reaches the workers as well
    process = subprocess.Popen(command, start_new_session=True, **given)
    results = tmp_path / "out/study/results.json"
    while not results.exists() or results.read_text().count("\n") < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    refused = subprocess.run(command, **given)
    assert refused.returncode == 1
    assert "another process is running this study" in refused.stderr
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert printed.rstrip().endswith("Interrupted; the same command goes on.")
    assert "Traceback" not in errors
    assert len(pd.read_csv(tmp_path / "out/evaluations.csv")) == len(evaluated(tmp_path / "out"))
    assert (tmp_path / "out/report.html").exists()


def test_trainings_that_break_have_no_result(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "valley_of_search.py"
    slow = file.read_text().replace("time.sleep(0.01)", "time.sleep(0.2)")
    file.write_text(slow.replace("self.x > 0.9", "True"))
    options = ["--budget", "1s", "--sampler", "random", "--workers", "2"]
    assert main(["search", task, *options, "--out", "out"]) == 1
    assert "No training has a result: RuntimeError: beyond the edge" in capsys.readouterr().out
    assert not (tmp_path / "out/best.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.py:Net", "--budget", "1s"], "no such file with a task"),
        (["valley_of_search.py:Net", "--budget", "1s"], "no such task"),
        (["Net", "--budget", "1s"], "unknown task 'Net'"),
        (["valley_of_search.py:Valley", "--budget", "1s", "--workers", "0"], "--workers is 0"),
        (["valley_of_search.py:Valley", "--budget", "1s", "--gpus", "1"], "give --ray as well"),
        (["valley_of_search.py:Valley", "--budget", "1s", "--sources", "."], "format is not known"),
    ],
)
def test_what_cannot_be_searched_is_one_line(
    task: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", *arguments, "--out", "out"]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize("text", ["2", "h", "-1h", "1.5h", "0s", "two hours"])
def test_a_budget_is_a_time(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["search", "mine.py:Net", f"--budget={text}", "--out", "out"])
    assert "is no time such as 90s, 30m, 2h or 1d" in capsys.readouterr().err
