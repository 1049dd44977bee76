"""The command: what it prints, and its exit status."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import cli

TableOf = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, table_of: TableOf) -> Path:
    """Finished runs, a model fitted by the command, and two runs under way."""
    folder = tmp_path_factory.mktemp("cli")
    table_of().to_csv(folder / "finished.csv", index=False)
    frame = table_of(2)
    frame.loc[:, "err_6":] = float("nan")
    frame.to_csv(folder / "runs.csv", index=False)
    options = "--curve-columns err_{epoch} --direction minimize --model ridge --id run"
    fractions = ["--fractions", "0.25", "0.5"]
    files = [str(folder / "finished.csv"), "--out", str(folder / "model.safetensors")]
    status = cli.main(["fit", *files, *options.split(), *fractions])
    assert status == 0
    return folder


def ask(folder: Path, command: str, *options: str) -> int:
    return cli.main(
        [command, str(folder / "model.safetensors"), str(folder / "runs.csv"), *options]
    )


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python that finds the library."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_fit_prints_the_columns_it_uses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(folder / "finished.csv").assign(started="2026-03-01", units=7)
    frame.to_csv(folder / "more.csv", index=False)
    options = "--curve-columns err_{epoch} --direction minimize --model ridge --id run"
    files = [str(folder / "more.csv"), "--out", str(folder / "more.safetensors")]
    assert cli.main(["fit", *files, *options.split(), "--architecture", "unit*"]) == 0
    out, err = capsys.readouterr()
    columns = "curve err at epochs 1 to 20; names run; settings lr, optimizer; architecture units"
    assert out.splitlines()[0] == f"Columns: {columns}"
    assert "Note: left out, dates or times: started" in err


def test_predict_prints_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "predict", "--beat", "0.2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "err after 20 epochs by ridge from 40 finished runs; 80 % interval; "
        "beats: P(better than 0.2)"
    )
    assert lines[1].split() == ["run", "seen", "epoch", "mean", "low", "high", "beats", "note"]
    assert [line.split()[:3] for line in lines[2:]] == [["r0", "5", "5"], ["r1", "5", "5"]]


def test_csv_and_json_hold_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(folder, "predict", "--format", "csv")
    text = capsys.readouterr().out
    frame = pd.read_csv(io.StringIO(text))
    ask(folder, "predict", "--format", "json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == frame["run"].tolist()
    assert [row["mean"] for row in rows] == frame["mean"].tolist()


def test_stop_answers_by_its_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, "stop", "--beat", "0.01") == cli.STOP
    assert "predicted worse" in capsys.readouterr().out
    assert ask(folder, "stop", "--beat", "9", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["decision"] for row in rows} == {"go on"}
    assert all(row["worse"] < 0.05 for row in rows)


def test_errors_are_one_line_and_status_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "predict", "--epoch", "7") == cli.BAD_DATA
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: the model was not fitted for epoch 7, only for 5, 10\n"
    with pytest.raises(SystemExit) as wrong:
        cli.main(["predict"])
    assert wrong.value.code == 2


def test_options_of_a_model_need_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(folder / "runs.csv"), "--direction", "minimize", "--curve-columns", "err_{epoch}"]
    assert cli.main(["predict", *runs]) == cli.BAD_DATA
    assert "--curve-columns belongs to a model" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "stop"])
def test_a_log_of_one_epoch_is_no_traceback(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("run,epoch,val_loss\na,1,0.5\n")
    assert cli.main([command, str(tmp_path / "log.csv")]) == cli.BAD_DATA
    assert "no epoch to predict at before the last one, 1\n" in capsys.readouterr().err
    assert cli.main([command, str(tmp_path / "log.csv"), "--epochs", "9"]) == 0


def late(frame: pd.DataFrame) -> None:
    frame.loc[3, ["err_1", "err_2", "err_3", "err_4", "err_5"]] = np.nan


def late_in_all(frame: pd.DataFrame) -> None:
    frame.loc[:, ["err_1", "err_2", "err_3"]] = np.nan


def exact(frame: pd.DataFrame) -> None:
    frame.loc[:, "err_5":] = np.repeat(frame[["err_20"]].to_numpy(), 16, axis=1)


@pytest.mark.parametrize("change", [late, late_in_all, exact])
def test_fit_chooses_on_late_values_and_on_exact_ones(
    change: Callable[[pd.DataFrame], None],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pd.read_csv(folder / "finished.csv")
    change(frame)
    frame.to_csv(tmp_path / "finished.csv", index=False)
    options = "--curve-columns err_{epoch} --direction minimize --id run --seconds 0 --out"
    out = str(tmp_path / "m.safetensors")
    assert cli.main(["fit", str(tmp_path / "finished.csv"), *options.split(), out]) == 0
    table = capsys.readouterr().out.partition("model ")[2].splitlines()[1:3]
    assert sorted(line.split()[0] for line in table) == ["pfn", "ridge"]


def test_fit_chooses_among_those_that_can_be_fitted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(folder / "finished.csv")
    frame["lr"] = [0.1, 0.2] * (len(frame) // 2)  # two configurations make few folds
    frame["optimizer"] = "sgd"
    options = "--curve-columns err_{epoch} --direction minimize --id run --out"
    for runs, status in ((len(frame), 0), (3, 0), (1, cli.BAD_DATA)):
        frame[:runs].to_csv(tmp_path / "finished.csv", index=False)
        words = [str(tmp_path / "finished.csv"), *options.split(), str(tmp_path / "m.safetensors")]
        assert cli.main(["fit", *words]) == status
    assert "at least 4 are needed" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "stop"])
def test_without_a_model_a_network_answers(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(folder / "runs.csv"), "--direction", "minimize"]
    status = cli.main([command, *runs, "--epochs", "20", "--format", "csv"])
    assert status in (0, cli.STOP)
    text = capsys.readouterr().out
    frame = pd.read_csv(io.StringIO(text))
    assert frame["run"].tolist() == ["r0", "r1"]
    if command == "predict":
        assert (frame["epoch"] == 5).all()
        assert frame["beats"].between(0, 1).all()
        assert (frame["low"] < frame["mean"]).all()
        assert (frame["mean"] < frame["high"]).all()


def test_finished_runs_are_the_context_of_the_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = pd.read_csv(folder / "finished.csv")
    running = pd.read_csv(folder / "runs.csv").assign(run=["a", "b"])
    pd.concat([finished, running]).to_csv(folder / "mixed.csv", index=False)
    assert cli.main(["predict", str(folder / "mixed.csv"), "--direction", "minimize"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert "by pfn from 40 finished runs" in first
    assert sum(line.endswith("finished") for line in rest) == 40


def test_what_a_model_knows_is_not_said_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, "predict", "--epochs", "20") == cli.BAD_DATA
    assert "the model has epochs of its own" in capsys.readouterr().err


def test_ctrl_c_and_files_that_cannot_be_written_are_no_tracebacks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--curve-columns err_{epoch} --direction minimize --model mean --id run --out"
    out = str(folder / "runs.csv/m.safetensors")
    status = cli.main(["fit", str(folder / "finished.csv"), *options.split(), out])
    assert status == cli.BAD_DATA
    assert capsys.readouterr().err == f"Error: file {folder / 'runs.csv'}: File exists\n"

    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_predict", interrupted)
    assert ask(folder, "predict") == cli.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_a_closed_pipe_ends_quietly(folder: Path) -> None:
    arguments = ["predict", str(folder / "model.safetensors"), str(folder / "runs.csv")]
    with subprocess.Popen(
        [sys.executable, "-m", "curvecast", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == cli.BAD_DATA


def test_fit_chooses_the_model_with_the_smallest_left_out_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--curve-columns err_{epoch} --direction minimize --id run --fractions .25 --out"
    out = str(folder / "chosen.safetensors")
    finished = str(folder / "finished.csv")
    assert cli.main(["fit", finished, *options.split(), out, "--seconds", "0"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["model", "error", "cover80", "seconds"]
    rows = [line.split() for line in lines[2:4]]
    assert {row[0] for row in rows} == {"ridge", "pfn"}
    chosen = min(rows, key=lambda row: float(row[1]))[0]
    assert lines[4] == f"The same again: --model {chosen}"
    assert lines[5].startswith(f"{chosen}, fitted on 40 runs for epochs 5: ")
    again = str(folder / "again.safetensors")
    assert cli.main(["fit", finished, *options.split(), again, "--model", chosen]) == 0
    assert Path(again).read_bytes() == Path(out).read_bytes()


def test_runs_that_no_model_predicts_better_than_their_last_values_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walks = np.cumsum(np.random.default_rng(0).normal(size=(30, 40)), axis=1)
    table = pd.DataFrame(walks, columns=[f"err_{i}" for i in range(1, 41)])
    table.assign(lr=np.linspace(1, 2, 30)).to_csv(tmp_path / "walks.csv", index=False)
    options = "--curve-columns err_{epoch} --direction minimize --fractions .8 --seconds 0 --out"
    arguments = [str(tmp_path / "walks.csv"), *options.split(), str(tmp_path / "m.safetensors")]
    assert cli.main(["fit", *arguments]) == 0
    assert "No model beats last_value" in capsys.readouterr().out


def test_help_needs_no_pandas() -> None:
    code = (
        "import sys, curvecast.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: sys.exit('pandas' in sys.modules)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "Is this training run worth finishing?" in done.stdout


def test_python_dash_m_is_the_command(folder: Path) -> None:
    model, runs = str(folder / "model.safetensors"), str(folder / "runs.csv")
    done = python("-m", "curvecast", "stop", model, runs, "--beat", "0")
    assert done.returncode == 3, done.stderr


@pytest.fixture(scope="module")
def long_logs(tmp_path_factory: pytest.TempPathFactory, table_of: TableOf) -> Path:
    """Long tables with a row per run and epoch: of finished runs, and of four under way."""
    folder = tmp_path_factory.mktemp("logs")
    for name, n, last in (("finished", 30, 20), ("running", 4, 9)):
        frame = table_of(n).melt(["run", "lr", "optimizer"], var_name="epoch", value_name="err")
        frame["epoch"] = frame["epoch"].str.removeprefix("err_").astype(int)
        frame[frame["epoch"] <= last].to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.mark.parametrize("model", ["ridge", "pfn"])
def test_a_model_is_fitted_on_a_log_and_asked_about_another_one(
    long_logs: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, running = str(long_logs / f"{model}.safetensors"), str(long_logs / "running.csv")
    log = [str(long_logs / "finished.csv"), "--metric", "err", "--direction", "minimize"]
    assert cli.main(["fit", *log, "--model", model, "--out", file]) == 0
    assert "settings lr, optimizer" in capsys.readouterr().out
    assert cli.main(["predict", file, running, "--format", "csv"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert rows["seen"].tolist() == [9] * 4
    assert (rows["low"] < rows["mean"]).all()
    assert (rows["mean"] < rows["high"]).all()
    assert cli.main(["stop", file, running]) in (0, 3)
    assert f"by {model} from 30 finished runs" in capsys.readouterr().out
    frame = pd.read_csv(running)
    frame.drop(columns="lr").to_csv(long_logs / "short.csv", index=False)
    assert cli.main(["predict", file, str(long_logs / "short.csv")]) == 1
    assert "short.csv, column lr: the model needs this column" in capsys.readouterr().err
    frame.assign(lr="high").to_csv(long_logs / "text.csv", index=False)
    assert cli.main(["predict", file, str(long_logs / "text.csv")]) == 1
    problem = "text.csv, row r0, column lr: 'high' is text in a column of numbers"
    assert problem in capsys.readouterr().err
    frame.rename(columns={"err": "loss"}).to_csv(long_logs / "other.csv", index=False)
    assert cli.main(["predict", file, str(long_logs / "other.csv")]) == 1
    assert "other.csv" in (err := capsys.readouterr().err)
    assert "err" in err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--id run", "--id is for a table and needs --curve-columns"),
        ("--curve-columns err_{epoch}", "needs --direction"),
        ("--curve-columns err_{epoch} --metric err", "--metric is for a log"),
    ],
)
def test_options_of_tables_and_of_logs_are_told_apart(
    long_logs: Path, options: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = long_logs / "none.safetensors"
    log = str(long_logs / "finished.csv")
    assert cli.main(["fit", log, *options.split(), "--out", str(out)]) == 1
    assert problem in capsys.readouterr().err
    assert not out.exists()
