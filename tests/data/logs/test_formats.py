"""Each format of a log: a small file in its exact layout is read as the runs that it holds."""

import csv
import gzip
import json
import os
import re
import shlex
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import curvecast
from curvecast.cli import main
from curvecast.data.logs import curves_of, direction_of, formats_known, read_log
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


_ULTRALYTICS = (
    *("train/box_loss", "train/cls_loss", "train/dfl_loss", "metrics/precision(B)"),
    *("metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)", "val/box_loss"),
    *("val/cls_loss", "val/dfl_loss", "lr/pg0", "lr/pg1", "lr/pg2"),
)


def _ultralytics(folder, head=("epoch", "time"), name="%s", number="%.6g"):
    """`runs/detect` of release 8.3 and later."""
    for i, values in enumerate(VALUES):
        at = folder / "runs/detect" / ("train" if i == 0 else f"train{i + 1}")
        at.mkdir(parents=True)
        lines = [",".join(name % column for column in (*head, *_ULTRALYTICS))]
        for e, value in enumerate(values):
            cells = [e + 1, 11.5 * (e + 1)][: len(head)] + [value] * len(_ULTRALYTICS)
            lines.append(",".join(number % cell for cell in cells))
        (at / "results.csv").write_text("\n".join(lines) + "\n")
        (at / "args.yaml").write_text(
            "task: detect\nmode: train\nmodel: yolo11n.pt\ndata: coco8.yaml\nepochs: 5\n"
            f"time: null\npatience: 100\nbatch: 16\nname: {at.name}\noptimizer: {OPT[i]}\n"
            "seed: 0\ndeterministic: true\nclose_mosaic: 10\nfraction: 1.0\nclasses: null\n"
            f"lr0: {LR[i]}\nlrf: 0.01\nsave_dir: runs/detect/{at.name}\n"
        )
    return folder / "runs/detect"


def _ultralytics_before(folder):
    """The same of release 8.0: no seconds, and cells of 23 characters."""
    return _ultralytics(folder, ("epoch",), "%23s", "%23.5g")


def _mmengine(folder):
    """`work_dirs` of MMEngine: training has epoch and step, a validation its epoch as a step."""
    for i, values in enumerate(VALUES):
        rows = []
        for e, value in enumerate(values, start=1):
            train = {"lr": 0.01, "data_time": 0.002, "loss": 1 / e, "time": 0.03, "epoch": e}
            rows += [{**train, "iter": n, "memory": 3, "step": n} for n in (20 * e - 10, 20 * e)]
            rows.append({"accuracy/top1": value, "data_time": 0.01, "time": 0.02, "step": e})
        named = f"lr={LR[i]},opt={OPT[i]}/20260101_12000{i}/vis_data/scalars.json"
        _json_lines(folder / "work_dirs" / named, rows)
    return folder / "work_dirs"


def _detectron(folder):
    """Folders of Detectron2, with the configuration beside the metrics."""
    for i, values in enumerate(VALUES):
        at = folder / f"output/r{i}"
        common = {"data_time": 0.002, "eta_seconds": 9.5, "lr": 0.001}
        rows = [
            {**common, "fast_rcnn/cls_accuracy": value, "iteration": e, "total_loss": 0.5}
            for e, value in enumerate(values)
        ]
        _json_lines(at / "metrics.json", rows)
        (at / "config.yaml").write_text(f"SOLVER:\n  BASE_LR: {LR[i]}\n  MAX_ITER: 5\n")
    return folder / "output"


def _console(folder):
    """What programs printed into a file each, as SLURM keeps it."""
    for i, values in enumerate(VALUES):
        lines = [f"Namespace(lr={LR[i]}, opt='{OPT[i]}', cuda=None)", "loading 3 files"]
        for e, value in enumerate(values, start=1):
            lines += [f"epoch {e}/5: train_loss={1 / e:.4f} ({e}.1s)", f"  val_acc={value:.6f}"]
        (folder / "slurm").mkdir(exist_ok=True)
        (folder / f"slurm/{i}.out").write_text("\n".join(lines) + "\n")
    return folder / "slurm"


def _history(folder):
    """`json.dump(history.history)` of Keras, a file per run, with an own setting beside."""
    (folder / "runs").mkdir()
    for i, values in enumerate(VALUES):
        content = {"loss": [1 / e for e in range(1, len(values) + 1)], "val_accuracy": values}
        named = f"runs/lr={LR[i]},opt={OPT[i]}.json"
        (folder / named).write_text(json.dumps({**content, "seconds": 3.5}))
    return folder / "runs"


def _histories(folder):
    """One object of histories by run, with their settings."""
    content = {
        f"r{i}": {"lr": LR[i], "opt": OPT[i], "train_losses": [3, 2, 1] * 9, "val_accs": values}
        for i, values in enumerate(VALUES)
    }
    (folder / "results.json").write_text(json.dumps(content, indent=1))
    return folder / "results.json"


def _history_tables(folder):
    """`pd.DataFrame(history.history).to_csv(...)`: no column counts epochs."""
    for i, values in enumerate(VALUES):
        frame = pd.DataFrame({"loss": 0.5, "val_acc": values, "lr": 0.1})
        (folder / f"lr={LR[i]},opt={OPT[i]}").mkdir()
        frame.to_csv(folder / f"lr={LR[i]},opt={OPT[i]}/history.csv", index=i % 2 == 0)
    return folder


def _wandb(folder, axis="Step"):
    """Every cell is quoted; over another axis than steps, each run has its `_step` too."""
    frame = pd.DataFrame({axis: range(5)})
    for i, values in enumerate(VALUES):
        for metric in ("val/acc",) if axis == "Step" else ("_step", "val/acc"):
            for kind in ("", "__MIN", "__MAX"):
                cells = values if metric == "val/acc" else range(100, 100 + len(values))
                frame[f"brisk-{i} - {metric}{kind}"] = [*map(str, cells), "", ""][:5]
    frame.to_csv(folder / "chart.csv", index=False, quoting=csv.QUOTE_ALL)
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


def _wandb_epoch(folder):
    return _wandb(folder, "epoch")


SETTINGS = ("hp_lr", "hp_opt")
# By format: how its log is written, and the columns of its settings.
FORMATS = {
    "long": (_long, SETTINGS),
    "wide": (_wide, SETTINGS),
    "run_tables:keras": (written("keras"), SETTINGS),
    "run_tables:lightning": (written("lightning"), SETTINGS),
    "run_tables:ultralytics": (_ultralytics, ("hp_lr0", "hp_optimizer")),
    "run_tables:ultralytics 8.0": (_ultralytics_before, ("hp_lr0", "hp_optimizer")),
    "run_tables:mmengine": (_mmengine, SETTINGS),
    "run_tables:detectron2": (_detectron, ("hp_SOLVER.BASE_LR",)),
    "console": (_console, SETTINGS),
    "history": (_history, SETTINGS),
    "history:runs in one file": (_histories, SETTINGS),
    "history:tables": (_history_tables, SETTINGS),
    "transformers": (written("transformers"), ()),
    "ray": (written("ray"), SETTINGS),
    "wandb": (_wandb, ()),
    "wandb:over epochs": (_wandb_epoch, ()),
    "wandb_run": (written("wandb"), SETTINGS),
    "mlflow:folders": (written("mlflow"), SETTINGS),
    "mlflow:database": (written("mlflow_database"), SETTINGS),
    "optuna": (_optuna, SETTINGS),
    "hpbandster": (_hpbandster, SETTINGS),
    "syne_tune": (written("syne_tune"), SETTINGS),
    "tensorboard": (written("tensorboard"), SETTINGS),
}


def test_every_format_is_here():
    assert {name.partition(":")[0] for name in FORMATS} == set(formats_known())


@pytest.mark.parametrize("name", FORMATS)
def test_a_log_is_read_as_its_runs(name, tmp_path):
    if name == "tensorboard":
        pytest.importorskip("tensorboard")
    write, settings = FORMATS[name]
    path = write(tmp_path)
    log = read_log(path)
    named = (m for m in log.metrics if "acc" in m or "mAP50-95" in m)
    metric = next(named, log.metrics[0])
    curves = curves_of(log, path, metric, "maximize")
    assert len(curves) == 4
    assert curves.epochs.tolist() == [1, 2, 3, 4, 5]
    expected = np.array([[*v, np.nan, np.nan][:5] for v in VALUES])
    order = np.argsort(curves.values[:, 0])
    np.testing.assert_allclose(curves.values[order], expected, rtol=1e-6)
    state = curves.configs["info_state"].to_numpy()[order].tolist()
    assert state == ["finished", "finished", "running", "finished"]
    assert not {"hp_name", "hp_save_dir"} & set(curves.configs)
    for column, values in zip(settings, (LR, OPT), strict=False):
        assert curves.configs[column].to_numpy()[order].tolist() == values


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


@pytest.mark.parametrize("name", ["Lauf", "seed"])
def test_a_column_of_another_name_that_tells_equal_epochs_apart_names_the_runs(name, tmp_path):
    path = _long(tmp_path)
    frame = pd.read_csv(path)
    expected = curvecast.read(path).values
    frame["run"] = frame["run"] if name == "Lauf" else frame["run"].str[1:]
    frame.insert(0, "when", range(len(frame)))
    frame.rename(columns={"run": name}).to_csv(path, index=False)
    log = read_log(path)
    assert f"column {name} names the runs, epoch counts the epochs" in log.notes
    np.testing.assert_array_equal(curvecast.read(path).values, expected)


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


@pytest.mark.parametrize(
    ("tool", "name", "begins"),
    [
        ("keras", "training.log", ["", "epoch,lo", "epoch,loss,val_accuracy\n"]),
        ("ray", "result.json", ["", '{"val_acc": 0.5, "training_it']),
        ("ultralytics", "results.csv", ["", "epoch,ti", "epoch,time,train/box_loss\n"]),
    ],
)
def test_a_run_that_has_no_row_yet_hides_no_other(tool, name, begins, tmp_path):
    """Tools write the header, or make the file, before the first epoch ends."""
    folder = _ultralytics(tmp_path) if tool == "ultralytics" else written(tool)(tmp_path)
    before = read_log(folder).rows
    begun = next(folder.rglob(name)).parent.parent / "begun" / name
    begun.parent.mkdir()
    for content in begins:
        begun.write_text(content)
        log = read_log(folder)
        assert any("has no row yet" in note for note in log.notes)
        pd.testing.assert_frame_equal(log.rows, before)
    if tool == "ultralytics":  # a last line that is being written
        with next(folder.rglob(name)).open("a") as stream:
            stream.write("6,11")
        pd.testing.assert_frame_equal(read_log(folder).rows, before)
    for file in folder.rglob(name):
        file.write_text("")
    with pytest.raises(DataError):
        read_log(begun.parent)


def test_a_table_beside_those_of_runs_is_left_out_and_said(tmp_path):
    for name, text in (("a", "epoch,loss\n1,3\n2,2\n"), ("Notes", "who,what\nme,hello\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    log = read_log(tmp_path)
    assert log.runs == ["a"]
    assert log.notes == ("Notes: Notes.csv has no column that counts epochs, it is left out",)


def test_a_bad_epoch_is_named_by_its_row_in_the_file(tmp_path):
    (tmp_path / "a.csv").write_text("epoch,loss\n1,3\n,2\n2.5,1\n")
    with pytest.raises(DataError, match=r"row 3 \(header not counted\), column epoch: '2.5' is no"):
        read_log(tmp_path)
    (tmp_path / "a.csv").write_text("epoch,loss\n1,3\nepoch,loss\n2,1\n")
    with pytest.raises(DataError, match=r"row 2 .*, column epoch: 'epoch' is not a number"):
        read_log(tmp_path)


def test_a_nested_nan_of_json_is_a_run_that_diverged(tmp_path):
    rows = [{"run": "a", "epoch": e, "eval": {"loss": v}} for e, v in ((1, 0.5), (2, float("nan")))]
    rows[0]["note"] = "one\u2028text"
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    assert curvecast.read(tmp_path / "a.jsonl").values.tolist() == [[0.5, np.inf]]


def test_rows_that_count_no_epoch_are_left_out_and_said(tmp_path):
    rows = [{"iter": n, "val_loss": 1 / n} for n in (1, 2, 3)]
    _json_lines(tmp_path / "a.jsonl", [*rows, {"val_loss": 0.1}])
    log = read_log(tmp_path / "a.jsonl")
    assert log.rows["epoch"].tolist() == [1, 2, 3]
    assert any("1 rows without iter were left out" in note for note in log.notes)


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
    frame = pd.DataFrame({"Name": [f"brisk-{i}" for i in range(4)], "State": states, "lr": LR})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    curves = curvecast.read(path, settings=tmp_path / "runs.csv")
    assert curves.configs["info_state"].tolist() == ["finished", "finished", "ended", "finished"]
    assert "hp_State" not in curves.configs


def test_the_last_state_of_a_run_counts(tmp_path):
    frame = pd.read_csv(_long(tmp_path))
    last = frame.groupby("run").cumcount(ascending=False) == 0
    frame["Status"] = np.where(last & (frame["run"] == "r2"), "FAILED", "RUNNING")
    log = read_log(frame)
    assert (log.ended, log.metrics) == ({"r2"}, ["val_acc"])
    assert "Status" not in log.settings


def test_settings_come_from_a_second_table(tmp_path):
    path = _wandb(tmp_path)
    frame = pd.DataFrame({"Name": [f"brisk-{i}" for i in range(4)], "lr": LR})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    curves = curvecast.read(path, settings=tmp_path / "runs.csv")
    assert curves.configs["hp_lr"].tolist() == LR
    frame[:3].to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(DataError, match="no rows for run 'brisk-3'"):
        curvecast.read(path, settings=tmp_path / "runs.csv")
    pd.concat([frame, frame[:2], frame[3:]]).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(DataError, match="2 rows for run 'brisk-0'"):
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


def test_a_history_has_a_value_per_epoch_and_other_lists_are_left_out(tmp_path):
    lists = {"val_loss": [0.9, float("nan")], "lrs": [0.1, 0.01, 0.001], "betas": [0.9, 0.99, 1]}
    (tmp_path / "a.json").write_text(json.dumps({**lists, "val_acc": [0.5, None], "lr": 0.1}))
    (tmp_path / "config.json").write_text('{"loss_weights": [1, 0.4]}')
    (tmp_path / "cut.json").write_text('{"val_loss": [0.9, ')
    rows = [{"epoch": 2, "val_loss": 0.8}, {"epoch": 4, "val_loss": 0.7}, {"epoch": 6}]
    (tmp_path / "b.json").write_text(json.dumps(rows))
    log = read_log(tmp_path)
    assert log.notes == ("a: not as long as the metrics, left out: lrs, betas",)
    assert log.metrics == ["val_loss", "val_acc"]
    assert log.rows["epoch"].tolist() == [1, 2, 2, 4, 6]
    np.testing.assert_array_equal(log.rows["val_loss"], [0.9, np.inf, 0.8, 0.7, np.nan])
    assert np.isnan(log.rows["val_acc"][1:]).all()
    assert log.settings["lr"].tolist()[0] == 0.1
    (tmp_path / "b.json").write_text('[{"epoch": 1.5, "loss": 1}, {"epoch": 2, "loss": 1}]')
    with pytest.raises(DataError, match=r"b\.json.*'1\.5' is not a whole"):
        read_log(tmp_path)


def test_a_name_may_follow_a_group(tmp_path):
    """As stable-baselines3 writes it."""
    text = "rollout/ep_rew_mean,time/fps,time/iterations,time/total_timesteps\n2,9,1,20\n3,8,2,40\n"
    (tmp_path / "progress.csv").write_text(text)
    curves = curvecast.read(tmp_path, "rollout/ep_rew_mean")
    assert (curves.epochs.tolist(), curves.direction) == ([1, 2], "maximize")
    (tmp_path / "progress.csv").write_text(text.replace("2,9,1,", "2,9,,"))
    assert len(read_log(tmp_path).rows) == 1


def test_parts_of_the_data_are_no_runs(tmp_path):
    content = {"train": {"loss": [3, 2]}, "valid_0": {"loss": [3.5, 2.5], "auc": [0.5, 0.6]}}
    (tmp_path / "a.json").write_text(json.dumps({**content, "eta": 0.1}))
    log = read_log(tmp_path / "a.json")
    assert log.runs == [tmp_path.name]
    assert log.metrics == ["train/loss", "valid_0/loss", "valid_0/auc"]
    assert log.settings["eta"].tolist() == [0.1]


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("test/success_rate", "maximize"),
        ("episode_return", "maximize"),
        ("val_AUROC", "maximize"),
        ("hits@10", "maximize"),
        ("FID", "minimize"),
        ("cer", "minimize"),
        ("white", None),
        ("certainty", None),
    ],
)
def test_names_of_metrics_say_their_direction(metric, direction):
    if direction is None:
        with pytest.raises(DataError, match="Say --direction"):
            direction_of(metric, None, Path("a.csv"))
    else:
        assert direction_of(metric, None, Path("a.csv")) == direction


PAGE = Path(__file__).parents[3] / "docs/logs.md"
# What the table of docs/logs.md reports on, and the format of FORMATS that it is.
REPORTED = {
    "log.csv": "long",
    "runs.csv": "wide",
    "runs/ --metric val_accuracy": "run_tables:keras",
    "lightning_logs --metric val_acc": "run_tables:lightning",
    "runs/detect --metric 'metrics/mAP50-95(B)'": "run_tables:ultralytics",
    "work_dirs --metric accuracy/top1": "run_tables:mmengine",
    "detectron/ --metric fast_rcnn/cls_accuracy": "run_tables:detectron2",
    "output/ --metric eval_accuracy": "transformers",
    "~/ray_results/experiment": "ray",
    "runs/ --metric val/acc": "tensorboard",
    "wandb/": "wandb_run",
    "chart.csv --settings runs.csv": "wandb",
    "mlruns": "mlflow:folders",
    "mlflow.db": "mlflow:database",
    "study.db": "optuna",
    "~/syne-tune/experiment": "syne_tune",
    "results/": "hpbandster",
    "histories/ --metric val_accuracy": "history",
    "slurm/ --metric val_acc": "console",
}


def test_the_table_has_a_command_for_every_format():
    typed = re.findall(r"`curvecast report ([^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert typed[-len(REPORTED) :] == list(REPORTED)
    assert set(formats_known()) == {name.partition(":")[0] for name in REPORTED.values()}


@pytest.mark.parametrize("typed", REPORTED)
def test_the_commands_of_the_table_say_what_the_log_holds(typed, tmp_path, monkeypatch, capsys):
    for package in {"tensorboard", "optuna"} & {REPORTED[typed]}:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    named, *options = shlex.split(typed)
    path = Path(os.path.expanduser(named))
    (tmp_path / "at").mkdir()
    log = FORMATS[REPORTED[typed]][0](tmp_path / "at")
    log = log / path.name if (log / path.name).exists() else log
    path.parent.mkdir(parents=True, exist_ok=True)
    log.rename(path)
    states = ["finished", "finished", "running", "finished"]
    frame = pd.DataFrame({"Name": [f"brisk-{i}" for i in range(4)], "State": states, "lr": LR})
    frame.to_csv(tmp_path / "runs.csv", index=False) if "--settings" in options else None
    assert main(["inspect", str(path), *options]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["runs"] == "4: 3 finished, 1 running"
    assert said["epochs"].startswith("1 to 5 (")
    metric, target = said["predicts"].split(maxsplit=1)
    assert metric == (options[1] if "--metric" in options else metric)
    assert metric in ("loss", "score") or re.search(r"acc|mAP50-95\(B\)", metric)
    assert target == f"at epoch 5, to {'minimize' if metric == 'loss' else 'maximize'}"
    assert main(["report", str(path), *options, "--out", "page.html"]) == 0
    told = capsys.readouterr().out
    stop = r"at epoch 5: stop 1 of 1 runs under way: .*[23].*; page.html\n"
    assert re.fullmatch(f"{re.escape(metric)} {stop}", told), told
    assert "3 runs are\nfinished, 1 under way" in Path("page.html").read_text(encoding="utf-8")


def _read(frame, **options):
    return curvecast.read(frame, "val_acc", **options)


def _states(curves):
    return dict(zip(curves.configs["id"], curves.configs["info_state"], strict=True))


@pytest.mark.parametrize("planned", [-1, 0, 3, np.inf, "auto", None])
def test_what_is_no_length_of_these_runs_plans_nothing(planned, tmp_path):
    """Epochs beside curves over steps, Lightning's -1 for `without end`, and the like."""
    frame = pd.read_csv(_long(tmp_path))
    expected = _states(_read(frame))
    curves = _read(frame.assign(max_epochs=planned))
    assert (curves.last_epoch, _states(curves)) == (5, expected)


def test_a_run_that_is_through_by_its_own_plan_is_not_under_way(tmp_path):
    frame = pd.read_csv(_long(tmp_path))
    curves = _read(frame.assign(epochs=np.where(frame["run"] == "r2", 3, 8)))
    assert curves.last_epoch == 8
    assert _states(curves) == {"r0": "running", "r1": "running", "r2": "ended", "r3": "running"}


def test_a_second_table_plans_as_settings_do(tmp_path):
    frame = pd.read_csv(_long(tmp_path)).drop(columns=["lr", "opt"])
    settings = pd.DataFrame({"run": ["r0", "r1", "r2", "r3"], "epochs": 9, "lr": LR})
    settings.to_csv(tmp_path / "settings.csv", index=False)
    curves = _read(frame, settings=tmp_path / "settings.csv")
    assert curves.last_epoch == 9
    assert [c for c in curves.configs if c.startswith("hp_")] == ["hp_lr"]


def test_a_metric_that_is_not_logged_at_the_planned_end_ends_where_complete_runs_end(tmp_path):
    frame = pd.read_csv(_long(tmp_path)).assign(epochs=5, train_loss=1.0)
    frame.loc[frame["epoch"] % 2 == 1, "val_acc"] = np.nan
    curves = _read(frame)
    assert curves.last_epoch == 4
    assert list(_states(curves).values()) == ["finished", "finished", "running", "finished"]


@pytest.mark.parametrize(
    ("cells", "categories"),
    [
        (["scale", 0.1, "scale", None], ["0.1", "scale"]),
        ([1.0, np.inf, 1.0, np.inf], ["1.0", "inf"]),
        (["False", 0.5, 0.5, "False"], ["0.5", "False"]),
    ],
)
def test_a_setting_of_numbers_and_text_is_one_of_categories(cells, categories, tmp_path):
    frame = pd.read_csv(_long(tmp_path))
    mixed = pd.Series(cells, [f"r{i}" for i in range(4)], dtype=object)
    curves = _read(frame.assign(gamma=frame["run"].map(mixed)))
    assert curves.configs["hp_gamma"].cat.categories.tolist() == categories
    assert curves.configs["hp_gamma"].isna().tolist() == [cell is None for cell in cells]


def test_mixed_text_of_most_runs_own_is_left_out_and_said(tmp_path):
    rows = [(f"r{i}", e, 0.1 * e, f"{i}a" if i % 2 else i) for i in range(12) for e in (1, 2)]
    curves = _read(pd.DataFrame(rows, columns=["run", "epoch", "val_acc", "commit"]))
    assert "hp_commit" not in curves.configs
    assert any("left out" in note and "commit" in note for note in curves.notes)


def test_a_run_may_be_called_none_but_has_a_name(tmp_path):
    frame = pd.read_csv(_long(tmp_path)).replace({"run": {"r0": "none", "r1": "nan"}})
    curves = _read(frame)
    assert curves.configs["id"].tolist() == ["none", "nan", "r2", "r3"]
    frame.loc[6, "run"] = None
    for given in (frame, tmp_path / "a.csv"):
        frame.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(DataError, match=r"row 7 .*column run: the run has no name"):
            _read(given)
    wide = pd.read_csv(_wide(tmp_path))
    wide.loc[2, "run"] = None
    with pytest.raises(DataError, match=r"row 3 .*column run: the run has no name"):
        _read(wide)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        *(("val_mape", "minimize"), ("smape", "minimize"), ("mAP50", "maximize")),
        *(("val/wer", "minimize"), ("mIoU", "maximize"), ("brier", "minimize")),
        *(("brier_score", None), ("power", None), ("heatmap_loss", None)),
    ],
)
def test_the_direction_is_asked_for_where_the_name_does_not_say_it(metric, direction):
    if direction is None:
        with pytest.raises(DataError, match=f"is a larger {metric} better"):
            direction_of(metric, None, Path("log"))
    else:
        assert direction_of(metric, None, Path("log")) == direction


def test_of_several_metrics_the_one_of_validation_is_predicted(tmp_path):
    frame = pd.read_csv(_long(tmp_path)).assign(value_loss=1.0, device_memory=2.0, train_acc=3.0)
    frame["value_loss"] = frame["device_memory"] = frame["train_acc"] = frame["val_acc"] + 1
    assert curvecast.read(frame).metric == "val_acc"


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_value_of_a_run_that_diverged_is_a_finite_one(direction):
    rows = [("a", 1, 0.5), ("a", 2, np.inf), ("a", 3, 0.4), ("a", 4, np.inf)]
    rows += [("b", 1, 0.5), ("b", 2, np.inf), ("c", 1, np.inf), ("c", 2, 0.3)]
    frame = pd.DataFrame(rows, columns=["run", "epoch", "val_acc"])
    values = _read(frame, direction=direction, target="best").values
    best = 0.5 if direction == "maximize" else 0.4
    expected = [[0.5, 0.5, best, best], [0.5, np.inf, np.nan, np.nan], [np.inf, 0.3] + 2 * [np.nan]]
    np.testing.assert_array_equal(values, expected)


def _trainer(folder, history, **state):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"global_step": 10, "max_steps": 20, "epoch": 5.0, "log_history": history, **state}
    (folder / "trainer_state.json").write_text(json.dumps(content))
    return read_log(folder)


def test_the_state_of_a_trainer_may_hold_reports_and_lack_epochs(tmp_path):
    history = [{"epoch": e, "step": 2 * e, "eval_loss": 1 / e} for e in (1.0, 2.0, 3.0)]
    more = {"eval_report": "text", "eval_table": {"a": 1}, "eval_none": None}
    log = _trainer(tmp_path, [{**entry, **more} for entry in history])
    assert (log.metrics, log.planned) == (["eval_loss"], {tmp_path.name: 10})
    steps = [{k: v for k, v in entry.items() if k != "epoch"} for entry in history]
    log = _trainer(tmp_path, steps, epoch=None)
    assert (log.rows["epoch"].tolist(), log.planned) == ([2, 4, 6], {tmp_path.name: 20})
    assert _trainer(tmp_path, history, epoch=None).planned == {}
    assert _trainer(tmp_path, history, max_steps=-1).planned == {}
    with pytest.raises(DataError, match="holds no curve"):
        _trainer(tmp_path, [{"step": 1.0, "eval_loss": None}])


def test_lines_that_are_being_written_are_no_damage(tmp_path):
    for tool, name in (("hpbandster", "results.json"), ("mlflow", "val_acc")):
        folder = tmp_path / tool
        folder.mkdir()
        FORMATS["hpbandster" if tool == "hpbandster" else "mlflow:folders"][0](folder)
        before = read_log(folder).rows
        with next(folder.rglob(name)).open("a") as stream:
            stream.write("[[0,0,0],1" if tool == "hpbandster" else "17 0.")
        pd.testing.assert_frame_equal(read_log(folder).rows, before)


def test_a_study_that_has_no_evaluation_yet_holds_no_curve(tmp_path):
    (tmp_path / "configs.json").write_text('[[0, 0, 0], {"lr": 0.1}, {}]\n')
    (tmp_path / "results.json").write_text("")
    with pytest.raises(DataError, match="holds no curve"):
        read_log(tmp_path)


def test_a_study_of_two_objectives_is_named(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=storage, directions=["minimize", "maximize"])
    with pytest.raises(DataError, match="2 objectives, not one"):
        read_log(tmp_path / "study.db")


def test_settings_that_cannot_be_read_are_one_line(tmp_path):
    folder = written("lightning")(tmp_path)
    file = next(folder.rglob("hparams.yaml"))
    file.write_text("lr: [1\n")
    with pytest.raises(
        DataError, match=r"^file .*hparams.yaml: the settings cannot be read [^\n]*$"
    ):
        read_log(folder)


def test_epochs_to_come_are_no_gap(tmp_path):
    curves = curvecast.read(_long(tmp_path), epochs=50)
    assert not any("not recorded" in note for note in curves.notes)


def test_a_name_that_is_one_in_all_rows_names_no_runs(tmp_path):
    frame = pd.read_csv(_long(tmp_path))
    expected = curvecast.read(frame).values
    seeded = frame.assign(experiment="mine", seed=frame["run"].str[1:]).drop(columns="run")
    np.testing.assert_array_equal(curvecast.read(seeded).values, expected)
    # One run that was continued is one run.
    one = frame[frame["run"] == "r0"]
    again = pd.concat([one[:3], one[1:]])
    for name in ("run", "experiment"):
        assert len(curvecast.read(again.rename(columns={"run": name}))) == 1


def test_a_wide_table_of_two_metrics_repeats_no_epoch(tmp_path):
    wide = pd.read_csv(_wide(tmp_path))
    losses = wide.filter(like="val_acc_").rename(columns=lambda name: name.replace("acc", "loss"))
    log = read_log(wide.join(losses))
    assert log.metrics == ["val_acc", "val_loss"]
    assert not any("repeat" in note for note in log.notes)


def test_the_columns_of_a_wide_table_may_be_numbers_alone(tmp_path):
    frame = pd.read_csv(_long(tmp_path))
    expected = curvecast.read(frame).values
    wide = frame.pivot(index="run", columns="epoch", values="val_acc")
    curves = curvecast.read(wide, direction="maximize")
    np.testing.assert_array_equal(curves.values, expected)
    assert curves.configs["id"].tolist() == ["r0", "r1", "r2", "r3"]


def test_what_is_wrong_in_a_wide_table_is_named(tmp_path):
    wide = pd.read_csv(_wide(tmp_path))
    with pytest.raises(DataError, match=r"column val_acc_3: a second column .* beside val_acc_03"):
        curvecast.read(wide.assign(val_acc_03=0.1))
    wide["val_acc_3"] = wide["val_acc_3"].astype(object)
    wide.loc[1, "val_acc_3"] = "oops"
    with pytest.raises(DataError, match=r"row 2 .*column val_acc_3: 'oops' is not a number"):
        curvecast.read(wide)


def test_the_folder_that_one_is_in_has_a_name(tmp_path, monkeypatch):
    folder = written("keras")(tmp_path) / "lr=0.1,opt=sgd"
    monkeypatch.chdir(folder)
    for source in (".", folder, "training.log", f"../{folder.name}"):
        curves = curvecast.read(source, "val_accuracy")
        assert curves.configs["id"].tolist() == ["lr=0.1,opt=sgd"]
        assert curves.name


def test_one_file_of_tensorboard_is_a_log(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    folder = written("tensorboard")(tmp_path)
    file = next(folder.rglob("events.out.tfevents*"))
    monkeypatch.chdir(file.parent)
    for source in (file, file.name, "."):
        assert read_log(source).runs == [file.parent.name]
    validation = file.parent.rename(file.parent.parent / "validation")
    assert read_log(validation).runs == [file.parent.parent.name]


def test_a_setting_that_no_run_has_is_none(tmp_path):
    for run, content in (("a", "epoch,loss\n1,3\n2,2\n"), ("b", "epoch,loss\n")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "log.csv").write_text(content)
    (tmp_path / "b/hparams.yaml").write_text("lr: 0.1\nopt: adam\n")
    assert curvecast.read(tmp_path).configs["id"].tolist() == ["a"]
    frame = pd.read_csv(_long(tmp_path)).assign(comment=None, temperature=np.nan)
    assert read_log(frame).metrics == ["val_acc"]


def test_a_metric_that_is_logged_once_is_no_setting(tmp_path):
    frame = pd.read_csv(_long(tmp_path))
    frame["test_acc"] = frame["val_acc"].where(frame["epoch"] == 3)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for source in (frame, tmp_path / "a.csv", tmp_path / "a.parquet"):
        log = read_log(source)
        assert log.metrics == ["val_acc", "test_acc"]
        assert "test_acc" not in log.settings


def test_a_run_of_mlflow_that_has_just_begun_hides_no_other(tmp_path):
    folder = written("mlflow")(tmp_path)
    before = read_log(folder).rows
    meta = next(file for file in folder.rglob("meta.yaml") if (file.parent / "metrics").is_dir())
    begun = meta.parent.parent / "begun"
    (begun / "metrics").mkdir(parents=True)
    (begun / "meta.yaml").write_text("")
    pd.testing.assert_frame_equal(read_log(folder).rows, before)
    (begun / "meta.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"begun/meta.yaml: not valid YAML"):
        read_log(folder)
