"""Each format of a log: a small file in its exact layout is read as the runs that it holds."""

import gzip
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import curvecast
from curvecast.data.logs import curves_of, formats_known, read_log
from curvecast.files import DataError

WRITTEN = Path(__file__).parent / "written"
LENGTHS = [5, 5, 3, 5]
VALUES = [[0.1 + 0.1 * run + 0.01 * e for e in range(n)] for run, n in enumerate(LENGTHS)]
LR = [0.1, 0.2, 0.3, 0.4]
OPT = ["sgd", "adam", "sgd", "adam"]


def written(tool):
    """A function that unpacks what `written/make.py` let a tool write."""

    def unpack(folder):
        with zipfile.ZipFile(WRITTEN / f"{tool}.zip") as archive:
            archive.extractall(folder)
        return folder

    return unpack


def _json_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _csv(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


def _long(folder):
    rows = [
        {"run": f"r{i}", "lr": LR[i], "opt": OPT[i], "epoch": e + 1, "val_acc": value}
        for i, values in enumerate(VALUES)
        for e, value in enumerate(values)
    ]
    _csv(folder / "long.csv", pd.DataFrame(rows))
    return folder / "long.csv"


def _wide(folder):
    frame = pd.DataFrame({"run": [f"r{i}" for i in range(4)], "lr": LR, "opt": OPT})
    for e in range(5):
        frame[f"val_acc_{e + 1}"] = [v[e] if e < len(v) else None for v in VALUES]
    _csv(folder / "wide.csv", frame)
    return folder / "wide.csv"


def _ultralytics(folder):
    for i, values in enumerate(VALUES):
        frame = pd.DataFrame({"epoch": np.arange(len(values)) + 1, "metrics/val_acc": values})
        frame.columns = [column.rjust(23) for column in frame.columns]
        _csv(folder / f"train{i + 1}" / "results.csv", frame)
        (folder / f"train{i + 1}" / "args.yaml").write_text(
            f"lr: {LR[i]}\nopt: {OPT[i]}\nepochs: 5\n"
        )
    return folder


def _wandb(folder):
    frame = pd.DataFrame({"Step": range(5)})
    for i, values in enumerate(VALUES):
        for kind in ("", "__MIN", "__MAX"):
            frame[f"run-{i} - val_acc{kind}"] = [*values, None, None][:5]
    _csv(folder / "chart.csv", frame)
    return folder / "chart.csv"


def _optuna(folder):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{folder / 'study.db'}"
    study = optuna.create_study(storage=storage, direction="maximize", study_name="s")
    choices = optuna.distributions.CategoricalDistribution(("sgd", "adam"))
    rates = optuna.distributions.FloatDistribution(0, 1)
    for i, values in enumerate(VALUES):
        fixed = {"lr": rates, "opt": choices}
        study.enqueue_trial({"lr": LR[i], "opt": OPT[i]})
        trial = study.ask(fixed)
        for e, value in enumerate(values):
            trial.report(value, e)
        if len(values) == 5:
            study.tell(trial, values[-1])
    return folder / "study.db"


def _hpbandster(folder):
    log = pytest.importorskip("hpbandster.core.result").json_result_logger(str(folder))
    times = {"submitted": 0.0, "started": 1.0, "finished": 2.0}
    for i, values in enumerate(VALUES):
        log.new_config((0, 0, i), {"lr": LR[i], "opt": OPT[i]}, {"model_based_pick": False})
        for e, value in enumerate(values):
            done = {"result": {"loss": value, "info": {}}, "exception": None, "timestamps": times}
            log(SimpleNamespace(id=(0, 0, i), kwargs={"budget": float(e + 1)}, **done))
    return folder


# By format: how its log is written, and whether it has the settings.
FORMATS = {
    "long": (_long, True),
    "wide": (_wide, True),
    "run_tables:keras": (written("keras"), True),
    "run_tables:lightning": (written("lightning"), True),
    "run_tables:ultralytics": (_ultralytics, True),
    "transformers": (written("transformers"), False),
    "ray": (written("ray"), True),
    "wandb": (_wandb, False),
    "wandb_run": (written("wandb"), True),
    "mlflow:folders": (written("mlflow"), True),
    "mlflow:database": (written("mlflow_database"), True),
    "optuna": (_optuna, True),
    "hpbandster": (_hpbandster, True),
    "syne_tune": (written("syne_tune"), True),
    "tensorboard": (written("tensorboard"), True),
}


def test_every_format_is_here():
    assert {name.partition(":")[0] for name in FORMATS} == set(formats_known())


@pytest.mark.parametrize("name", FORMATS)
def test_a_log_is_read_as_its_runs(name, tmp_path):
    if name == "tensorboard":
        pytest.importorskip("tensorboard")
    write, has_settings = FORMATS[name]
    path = write(tmp_path)
    log = read_log(path)
    metric = next((m for m in log.metrics if "acc" in m), log.metrics[0])
    curves = curves_of(log, path, metric, "maximize")
    assert len(curves) == 4
    assert curves.epochs.tolist() == [1, 2, 3, 4, 5]
    expected = np.array([[*v, np.nan, np.nan][:5] for v in VALUES])
    order = np.argsort(curves.values[:, 0])
    np.testing.assert_allclose(curves.values[order], expected, rtol=1e-6)
    state = curves.configs["info_state"].to_numpy()[order].tolist()
    assert state == ["finished", "finished", "running", "finished"]
    if has_settings:
        assert curves.configs["hp_lr"].to_numpy()[order].tolist() == LR
        assert curves.configs["hp_opt"].astype(str).to_numpy()[order].tolist() == OPT


def test_separators_encodings_and_packing_make_no_difference(tmp_path):
    path = _long(tmp_path)
    frame = pd.read_csv(path)
    expected = curvecast.read(path).values
    frame.to_csv(tmp_path / "german.csv", sep=";", decimal=",", index=False)
    frame.to_csv(tmp_path / "bom.csv", encoding="utf-8-sig", index=False)
    frame.to_csv(tmp_path / "bars.csv", sep="|", index=False)
    frame.to_csv(tmp_path / "excel.tsv", sep="\t", encoding="utf-16", index=False)
    frame.to_json(tmp_path / "lines.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "typed.parquet")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    frame.to_csv(tmp_path / "packed.csv.zip", index=False)
    same = {p.name for p in tmp_path.iterdir()}
    assert len(same) == 9
    for name in same:
        np.testing.assert_allclose(curvecast.read(tmp_path / name).values, expected)


def test_a_data_frame_is_a_log(tmp_path):
    path = _long(tmp_path)
    expected, frame = curvecast.read(path), pd.read_csv(path)
    for given in (frame, frame.set_index(["run", "epoch"]), frame[::-1][::-1]):
        curves = curvecast.read(given)
        np.testing.assert_array_equal(curves.values, expected.values)
        assert curves.configs["hp_lr"].tolist() == LR
    wide = pd.read_csv(_wide(tmp_path))
    np.testing.assert_array_equal(curvecast.read(wide).values, expected.values)
    with pytest.raises(DataError, match="neither a row per run and epoch"):
        curvecast.read(frame[["lr", "opt"]])


def test_columns_of_a_wide_table_that_are_empty_are_epochs_to_come(tmp_path):
    wide = pd.read_csv(_wide(tmp_path)).assign(val_acc_6=None, val_acc_8=None)
    curves = curvecast.read(wide)
    assert curves.last_epoch == 8
    assert set(curves.configs["info_state"]) == {"running"}


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    folder = written("ray")(tmp_path)
    before = curvecast.read(folder).values
    with next(folder.glob("*/*/result.json")).open("a") as stream:
        stream.write('{"val_acc": 0.5, "training_it')
    np.testing.assert_array_equal(curvecast.read(folder).values, before)


def test_a_value_logged_as_nan_is_a_run_that_diverged(tmp_path):
    text = "run,epoch,val_loss\na,1,0.5\na,2,0.4\nb,1,0.6\nb,2,nan\nc,1,0.7\n"
    (tmp_path / "log.csv").write_text(text)
    curves = curvecast.read(tmp_path / "log.csv")
    assert np.isinf(curves.values[1, 1])
    assert np.isnan(curves.values[2, 1])


def test_what_is_to_be_predicted_is_asked_once(tmp_path):
    text = "run,epoch,val_loss,val_acc,speed\na,1,1,.5,3\na,2,.8,.6,4\nb,1,1,.5,5\n"
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match="--metric with one of val_loss, val_acc"):
        curvecast.read(tmp_path / "log.csv")
    with pytest.raises(DataError, match="larger speed better"):
        curvecast.read(tmp_path / "log.csv", "speed")
    with pytest.raises(DataError, match="no metric 'los'"):
        curvecast.read(tmp_path / "log.csv", "los")
    assert curvecast.read(tmp_path / "log.csv", "val_acc").direction == "maximize"
    assert curvecast.read(tmp_path / "log.csv", "val_loss").direction == "minimize"


def test_the_target_is_the_end_the_best_or_a_runs_own_end(tmp_path):
    path = written("syne_tune")(tmp_path)
    file = next(path.glob("*/results.csv.zip"))
    table = pd.read_csv(file)
    table.loc[table.groupby("trial_id").tail(1).index, "st_decision"] = "STOP"
    table.loc[table["epoch"] == 2, "val_acc"] = 0.9
    table.to_csv(file, index=False)
    end = curvecast.read(path)
    assert end.configs["info_state"].tolist() == ["finished", "finished", "ended", "finished"]
    assert np.isnan(end.final[2])
    assert curvecast.read(path, target="own_end").final[2] == pytest.approx(VALUES[2][-1])
    assert curvecast.read(path, target="best").final[0] == 0.9
    assert np.isnan(curvecast.read(path, epochs=7).final).all()


def test_a_state_says_which_runs_have_ended(tmp_path):
    path = _wandb(tmp_path)
    states = ["finished", "finished", "crashed", "finished"]
    frame = pd.DataFrame({"Name": [f"run-{i}" for i in range(4)], "State": states, "lr": LR})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    curves = curvecast.read(path, settings=tmp_path / "runs.csv")
    assert curves.configs["info_state"].tolist() == ["finished", "finished", "ended", "finished"]
    assert "hp_State" not in curves.configs


def test_settings_come_from_a_second_table(tmp_path):
    path = _wandb(tmp_path)
    frame = pd.DataFrame({"Name": [f"run-{i}" for i in range(4)], "lr": LR})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    curves = curvecast.read(path, settings=tmp_path / "runs.csv")
    assert curves.configs["hp_lr"].tolist() == LR
    frame[:3].to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(DataError, match="no row for run 'run-3'"):
        curvecast.read(path, settings=tmp_path / "runs.csv")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "run,epoch,loss\na,1.5,2\n", "1.5' is not a whole number"),
        ("a.csv", "run,epoch\na,1\n", "holds no curve"),
        ("a.csv", "x,y\n1,2\n", "format is not known"),
        ("a.csv", "Name,State,Runtime,acc\na,finished,3,.5\n", "export a chart"),
        ("a.csv", "number,value,state,params_lr\n0,.5,COMPLETE,.1\n", "give the storage"),
        ("a.jsonl", '{"run": "a", "epoch": 1, "loss": 2}\n{"run"\n{}\n', "row 2: not JSON"),
    ],
)
def test_what_cannot_be_read_is_named(name, text, problem, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=problem):
        curvecast.read(tmp_path / name)


def test_a_stanza_names_a_log(tmp_path):
    from curvecast.data import readers

    folder = written("lightning")(tmp_path)
    stanza = {"reader": "log", "files": [{"local": str(folder)}], "metric": "val_acc"}
    curves = readers.read("mine", stanza, [folder])
    assert (curves.name, curves.metric, len(curves)) == ("mine", "val_acc", 4)


def test_a_file_of_wandb_is_read_up_to_what_is_being_written_and_no_damage_is_passed_over(tmp_path):
    folder = written("wandb")(tmp_path)
    file = max(folder.rglob("*.wandb"), key=lambda f: f.stat().st_size)
    content = file.read_bytes()
    whole = read_log(file).rows
    file.write_bytes(content[: len(content) // 2])
    pd.testing.assert_frame_equal(read_log(file).rows, whole[: len(read_log(file).rows)])
    file.write_bytes(content[:400] + b"?" + content[401:])
    with pytest.raises(DataError, match="damaged at byte"):
        read_log(file)


def test_a_folder_of_other_logs_is_not_read_as_tables(tmp_path):
    (tmp_path / "debug.log").write_text('{"time": 1, "msg": "a, b"}\nand "so\n')
    with pytest.raises(DataError, match="format is not known"):
        read_log(tmp_path)
