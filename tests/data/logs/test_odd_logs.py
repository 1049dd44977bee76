"""Logs in odd states: being written, cut off, with plans, names and settings of any kind."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from logs_written import FORMATS, LR, long_table, ultralytics, wide_table, written

import curvecast
from curvecast.data.logs import direction_of, read_log
from curvecast.files import DataError


def _read(frame, **options):
    return curvecast.read(frame, "val_acc", **options)


def _states(curves):
    return dict(zip(curves.configs["id"], curves.configs["info_state"], strict=True))


@pytest.mark.parametrize("planned", [-1, 0, 3, np.inf, "auto", None])
def test_what_is_no_length_of_these_runs_plans_nothing(planned, tmp_path):
    """Epochs beside curves over steps, Lightning's -1 for `without end`, and the like."""
    frame = pd.read_csv(long_table(tmp_path))
    expected = _states(_read(frame))
    curves = _read(frame.assign(max_epochs=planned))
    assert (curves.last_epoch, _states(curves)) == (5, expected)


def test_what_is_evaluated_after_the_end_does_not_prolong_a_run(tmp_path):
    frame = pd.read_csv(long_table(tmp_path)).assign(max_epochs=5)
    after = frame[frame["run"] == "r0"][-1:].assign(epoch=6, val_acc=0.3)
    curves = _read(pd.concat([frame, after]))
    assert curves.last_epoch == 5
    assert list(_states(curves).values()) == ["finished", "finished", "running", "finished"]
    only = frame.assign(max_epochs=np.where(frame["run"] == "r2", 3, np.nan))
    assert _read(only).last_epoch == 5  # others go beyond it


@pytest.mark.parametrize("name", ["epochs", "trainer.max_epochs", "config.epochs"])
def test_a_run_that_is_through_by_its_own_plan_is_not_under_way(name, tmp_path):
    frame = pd.read_csv(long_table(tmp_path))
    curves = _read(frame.assign(**{name: np.where(frame["run"] == "r2", 3, 8)}))
    assert curves.last_epoch == 8
    assert _states(curves) == {"r0": "running", "r1": "running", "r2": "ended", "r3": "running"}


def test_a_second_table_plans_as_settings_do(tmp_path):
    frame = pd.read_csv(long_table(tmp_path)).drop(columns=["lr", "opt"])
    settings = pd.DataFrame({"run": ["r0", "r1", "r2", "r3"], "epochs": 9, "lr": LR})
    settings.to_csv(tmp_path / "settings.csv", index=False)
    curves = _read(frame, settings=tmp_path / "settings.csv")
    assert curves.last_epoch == 9
    assert [c for c in curves.configs if c.startswith("hp_")] == ["hp_lr"]


def test_a_metric_that_is_not_logged_at_the_planned_end_ends_where_complete_runs_end(tmp_path):
    frame = pd.read_csv(long_table(tmp_path)).assign(epochs=5, train_loss=1.0)
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
    frame = pd.read_csv(long_table(tmp_path))
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
    frame = pd.read_csv(long_table(tmp_path)).replace({"run": {"r0": "none", "r1": "nan"}})
    curves = _read(frame)
    assert curves.configs["id"].tolist() == ["none", "nan", "r2", "r3"]
    frame.loc[6, "run"] = None
    for given in (frame, tmp_path / "a.csv"):
        frame.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(DataError, match=r"row 7 .*column run: the run has no name"):
            _read(given)
    wide = pd.read_csv(wide_table(tmp_path))
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
    frame = pd.read_csv(long_table(tmp_path)).assign(
        value_loss=1.0, device_memory=2.0, train_acc=3.0
    )
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
    curves = curvecast.read(long_table(tmp_path), epochs=50)
    assert not any("not recorded" in note for note in curves.notes)


def test_a_name_that_is_one_in_all_rows_names_no_runs(tmp_path):
    frame = pd.read_csv(long_table(tmp_path))
    expected = curvecast.read(frame).values
    seeded = frame.assign(experiment="mine", seed=frame["run"].str[1:]).drop(columns="run")
    np.testing.assert_array_equal(curvecast.read(seeded).values, expected)
    # One run that was continued is one run.
    one = frame[frame["run"] == "r0"]
    again = pd.concat([one[:3], one[1:]])
    for name in ("run", "experiment"):
        assert len(curvecast.read(again.rename(columns={"run": name}))) == 1


def test_a_wide_table_of_two_metrics_repeats_no_epoch(tmp_path):
    wide = pd.read_csv(wide_table(tmp_path))
    losses = wide.filter(like="val_acc_").rename(columns=lambda name: name.replace("acc", "loss"))
    log = read_log(wide.join(losses))
    assert log.metrics == ["val_acc", "val_loss"]
    assert not any("repeat" in note for note in log.notes)


def test_the_columns_of_a_wide_table_may_be_numbers_alone(tmp_path):
    frame = pd.read_csv(long_table(tmp_path))
    expected = curvecast.read(frame).values
    wide = frame.pivot(index="run", columns="epoch", values="val_acc")
    curves = curvecast.read(wide, direction="maximize")
    np.testing.assert_array_equal(curves.values, expected)
    assert curves.configs["id"].tolist() == ["r0", "r1", "r2", "r3"]


def test_what_is_wrong_in_a_wide_table_is_named(tmp_path):
    wide = pd.read_csv(wide_table(tmp_path))
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


def test_what_the_trainer_counts_and_times_in_tensorboard_is_no_metric(tmp_path):
    pytest.importorskip("tensorboard")
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    tags = ["eval/loss", "eval/runtime", "eval/steps_per_second", "train/epoch", "train/grad_norm"]
    with writer(tmp_path / "a") as events:
        for tag in [*tags, "Loss/Val_Epoch", "train/learning_rate"]:
            events.add_scalar(tag, 0.5, 1)
    assert read_log(tmp_path).metrics == ["Loss/Val_Epoch", "eval/loss"]


def test_a_setting_that_no_run_has_is_none(tmp_path):
    for run, content in (("a", "epoch,loss\n1,3\n2,2\n"), ("b", "epoch,loss\n")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "log.csv").write_text(content)
    (tmp_path / "b/hparams.yaml").write_text("lr: 0.1\nopt: adam\n")
    assert curvecast.read(tmp_path).configs["id"].tolist() == ["a"]
    frame = pd.read_csv(long_table(tmp_path)).assign(comment=None, temperature=np.nan)
    assert read_log(frame).metrics == ["val_acc"]


def test_a_metric_that_is_logged_once_is_no_setting(tmp_path):
    frame = pd.read_csv(long_table(tmp_path))
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
    (begun / "meta.yaml").write_bytes("a: 1\nb: ü".encode("latin-1"))
    with pytest.raises(DataError, match=r"begun/meta.yaml: line 2 is not UTF-8 text"):
        read_log(folder)
    (begun / "meta.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"begun/meta.yaml: not valid YAML"):
        read_log(folder)


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
    folder = ultralytics(tmp_path) if tool == "ultralytics" else written(tool)(tmp_path)
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


def test_the_last_state_of_a_run_counts(tmp_path):
    frame = pd.read_csv(long_table(tmp_path))
    last = frame.groupby("run").cumcount(ascending=False) == 0
    frame["Status"] = np.where(last & (frame["run"] == "r2"), "FAILED", "RUNNING")
    log = read_log(frame)
    assert (log.ended, log.metrics) == ({"r2"}, ["val_acc"])
    assert "Status" not in log.settings


def test_a_database_may_lie_anywhere_and_has_the_columns_of_mlflow(tmp_path):
    folder = tmp_path / "a#b?c%20d"
    folder.mkdir()
    path = FORMATS["mlflow:database"][0](folder)
    assert len(read_log(path).runs) == 4
    file = next(folder.rglob("*.db"))
    with closing(sqlite3.connect(file)) as database:
        database.execute("alter table metrics rename column step to at")
        database.commit()
    with pytest.raises(DataError, match="no such column: step"):
        read_log(path)


WENT_BACK = "1 run went back to an earlier epoch (begun anew, or on from a checkpoint)"
COURSES = {
    "anew": ([1, 2, 3, 4, 1, 2, 3], [1, 2, 3]),
    "twice": ([1, 2, 3, 4, 5, 3, 4, 2, 3, 4], [1, 2, 3, 4]),
    "every second epoch": ([2, 4, 6, 8, 6, 8, 10], [2, 4, 6, 8, 10]),
    "several rows per epoch": ([1, 1, 2, 2, 3, 3, 1, 1, 2, 2], [1, 2]),
    "the best one after the end": ([1, 2, 3, 4, 2], [1, 2, 3, 4]),
    "in any order": ([3, 1, 2, 5, 4], [1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("course", COURSES)
def test_what_a_run_has_left_behind_does_not_count(course, tmp_path):
    """A log that two attempts wrote: what the first one logged later than the second is not its."""
    epochs, left = COURSES[course]
    rows = pd.DataFrame({"run": "a", "epoch": epochs, "val_loss": 10.0 - np.arange(len(epochs))})
    lines = [f"epoch {e}: val_loss={v}\n" for e, v in zip(epochs, rows["val_loss"], strict=True)]
    (tmp_path / "a.log").write_text("".join(lines))
    expected = {e: v for e, v in zip(epochs, rows["val_loss"], strict=True) if e in left}
    sources = [rows, tmp_path / "a.log"]
    if "any order" in course:
        sources = [rows]
    for source in sources:
        log = read_log(source)
        assert dict(zip(log.rows["epoch"], log.rows["val_loss"], strict=True)) == expected
        assert any(WENT_BACK in note for note in log.notes) == (course in list(COURSES)[:4])


def test_other_runs_and_metrics_keep_what_they_logged():
    back = pd.DataFrame({"run": "a", "epoch": [1, 2, 3, 1, 2], "loss": 0.5, "acc": np.nan})
    back.loc[len(back)] = ["a", 3, np.nan, 0.7]
    other = pd.DataFrame({"run": "b", "epoch": [1, 2, 3], "loss": 0.4, "acc": 0.6})
    rows = read_log(pd.concat([back, other])).rows
    assert rows.groupby("run")["loss"].count().to_dict() == {"a": 2, "b": 3}
    assert rows.groupby("run")["acc"].count().to_dict() == {"a": 1, "b": 3}


TABLES = {
    "train.csv": (["a/train.csv", "a/val.csv"], {"a": ["train/loss", "val/loss"]}),
    "CatBoost": (
        ["a/learn_error.tsv", "a/test_error.tsv"],
        {"a": ["learn/loss", "test/loss"]},
    ),
    "two runs in a folder": (
        [f"{part}_lr={lr}.csv" for lr in (1, 2) for part in ("train", "val")],
        {"lr=1": ["train/loss", "val/loss"], "lr=2": ["train/loss", "val/loss"]},
    ),
    "runs that are numbered": (
        ["train1.csv", "train2.csv"],
        {"train1": ["loss"], "train2": ["loss"]},
    ),
    "runs of one part": (
        ["train_a.csv", "train_b.csv"],
        {"train_a": ["loss"], "train_b": ["loss"]},
    ),
}


@pytest.mark.parametrize("layout", TABLES)
def test_tables_of_the_parts_of_the_data_are_of_one_run(layout, tmp_path):
    files, expected = TABLES[layout]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        separator = "\t" if file.endswith("tsv") else ","
        rows = pd.DataFrame({"iter": [1, 2, 3], "loss": [0.5, 0.4, 0.3]})
        rows.to_csv(tmp_path / file, sep=separator, index=False)
    if layout == "CatBoost":
        (tmp_path / "a/time_left.tsv").write_text("iter\tPassed\tRemaining\n1\t10\t20\n")
    log = read_log(tmp_path)
    known = {
        run: [m for m in log.metrics if rows[m].notna().all()]
        for run, rows in log.rows.groupby("run")
    }
    assert known == expected
    if layout == "two runs in a folder":
        assert log.settings.to_dict() == {"lr": {"lr=1": "1", "lr=2": "2"}}
    assert [note.partition(":")[0] for note in log.notes] == ["a/time_left"] * (
        layout == "CatBoost"
    )


@pytest.mark.parametrize("beside", ["", "{}"])
def test_the_configuration_of_hydra_says_what_no_file_beside_the_log_does(beside, tmp_path):
    for run, lr in enumerate((0.1, 0.01)):
        folder = tmp_path / f"multirun/{run}"
        log = folder / "csv/version_0"
        for new, text in (
            (folder / ".hydra/config.yaml", f"model: {{lr: {lr}}}\nhome: ${{oc.env:HOME}}\n"),
            (folder / ".hydra/hydra.yaml", "hydra: {run: {dir: x}}\n"),
            (log / "metrics.csv", "epoch,step,val_loss\n0,9,0.5\n1,19,0.4\n"),
            (log / "hparams.yaml", beside),
        ):
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(text)
    settings = read_log(tmp_path).settings
    assert settings["model.lr"].tolist() == [0.1, 0.01]
    assert list(settings) == ["model.lr", "home"]
    (log / "hparams.yaml").write_text("lr: 3")
    assert read_log(log).settings.to_dict("records") == [{"lr": 3}]


PLACES = {
    "add_scalars of torch": ({"": "scale", "loss_train": "loss", "loss_val": "loss"}, "loss/val"),
    "its tag with a slash": ({"": "scale", "a_b_val_1": "a/b"}, "a/b/val_1"),
    "add_scalars of tensorboardX": ({"": "scale", "loss/{val}": "loss"}, "loss/{val}"),
    "Keras": ({"train": "epoch_loss", "validation": "epoch_loss"}, "validation/epoch_loss"),
    "CatBoost": ({"info/learn": "RMSE", "info/test": "RMSE"}, "test/RMSE"),
    "an estimator": ({"": "loss", "eval": "loss"}, "eval/loss"),
}


@pytest.mark.parametrize("tool", PLACES)
def test_several_folders_of_tensorboard_are_one_run(tool, tmp_path):
    pytest.importorskip("tensorboard")
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    places, metric = PLACES[tool]
    for run in ("a", "test"):
        for place, tag in places.items():
            with writer(tmp_path / run / place) as events:
                for step in range(1, 5):
                    events.add_scalar(tag, 2.0**-step, step)
    log = read_log(tmp_path)
    inside = "/info" if tool == "CatBoost" else ""
    assert log.runs == [f"a{inside}", f"test{inside}"]
    assert len(log.metrics) == len(places)
    assert log.rows[metric].tolist() == [2.0**-step for step in range(1, 5)] * 2


def test_a_folder_that_two_writers_of_tensorboard_wrote_holds_the_second(tmp_path):
    pytest.importorskip("tensorboard")
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    for attempt, last in ((1, 9), (2, 4)):
        with writer(tmp_path / "a", filename_suffix=f".{attempt}") as events:
            for step in range(1, last + 1):
                events.add_scalar("val_loss", attempt + 1 / step, step)
    log = read_log(tmp_path)
    assert log.rows["epoch"].tolist() == [1, 2, 3, 4]
    assert (log.rows["val_loss"] > 2).all()
    assert WENT_BACK in log.notes[0]


def test_a_metric_of_mlflow_that_goes_back_is_that_of_the_second_attempt(tmp_path):
    folder = written("mlflow")(tmp_path)
    before = read_log(folder)
    file = next(f for f in folder.rglob("val_acc") if f.parent.name == "metrics")
    file.write_text(file.read_text() + "".join(f"9 0.25 {step}\n" for step in (0, 1)))
    log = read_log(folder)
    run = log.rows.loc[log.rows["val_acc"] == 0.25, "run"].unique()
    assert log.rows.loc[log.rows["run"].isin(run), "val_acc"].dropna().tolist() == [0.25, 0.25]
    others = [one.rows[~one.rows["run"].isin(run)] for one in (before, log)]
    pd.testing.assert_frame_equal(*others)
    assert WENT_BACK in log.notes[0]
