"""Each format of a log: a small file in its exact layout is read as the runs that it holds."""

import gzip
import json
import os
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from logs_written import (
    FORMATS,
    LR,
    OPT,
    VALUES,
    json_lines,
    long_table,
    smac_history,
    wandb_chart,
    wide_table,
    written,
)

import curvecast
from curvecast.cli import main
from curvecast.data.logs import curves_of, direction_of, formats_known, metric_of, read_log
from curvecast.files import DataError


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


def damaged(content, rng):
    """A file cut, with bytes changed, with other content, and with values of other types."""
    half, flipped = len(content) // 2, bytearray(content)
    flipped[:: max(1, len(content) // 7)] = b"?" * len(flipped[:: max(1, len(content) // 7)])
    lines = content.split(b"\n")
    kinds = [b"0.2", b"1", b'"step"', b'"epoch"', b"loss", b"training_iteration"]
    yield from (b"", content[:half], bytes(flipped), b"\n".join(rng.permutation(lines).tolist()))
    yield from (
        text + b"\n" for text in (b"[]", b"{}", b"null", b"3", b"[1,2]", b'{"a":1}', b"a: [")
    )
    yield from (content.replace(k, v) for k in kinds for v in (b"null", b"[]", b'"z"', b"-1e400"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_read_or_named(name, tmp_path):
    if name == "tensorboard":
        pytest.importorskip("tensorboard")
    path, rng = FORMATS[name][0](tmp_path), np.random.default_rng(0)
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] or [path]
    problems = []
    for file in (files[0], files[-1]):
        content = file.read_bytes()
        for damage in damaged(content, rng):
            file.write_bytes(damage)
            try:
                log = read_log(path)
                curves_of(log, path, log.metrics[0], "minimize")
            except DataError as error:
                problems.append(str(error))
        file.write_bytes(content)
    assert all(str(tmp_path) in problem for problem in problems)
    assert len(read_log(path).runs) == 4


def test_separators_encodings_and_packing_make_no_difference(tmp_path):
    path = long_table(tmp_path)
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
    path = long_table(tmp_path)
    frame = pd.read_csv(path)
    expected = curvecast.read(path).values
    frame["run"] = frame["run"] if name == "Lauf" else frame["run"].str[1:]
    frame.insert(0, "when", range(len(frame)))
    frame.rename(columns={"run": name}).to_csv(path, index=False)
    log = read_log(path)
    assert f"column {name} names the runs, epoch counts the epochs" in log.notes
    np.testing.assert_array_equal(curvecast.read(path).values, expected)


def test_a_data_frame_is_a_log(tmp_path):
    path = long_table(tmp_path)
    expected, frame = curvecast.read(path), pd.read_csv(path)
    for given in (frame, frame.set_index(["run", "epoch"]), frame[::-1][::-1]):
        curves = curvecast.read(given)
        np.testing.assert_array_equal(curves.values, expected.values)
        assert curves.configs["hp_lr"].tolist() == LR
    wide = pd.read_csv(wide_table(tmp_path))
    np.testing.assert_array_equal(curvecast.read(wide).values, expected.values)
    with pytest.raises(DataError, match="neither a row per run and epoch"):
        curvecast.read(frame[["lr", "opt"]])


@pytest.mark.parametrize("epochs", [1, 2])
def test_before_a_number_changes_names_tell_metrics_from_settings(epochs):
    runs = pd.DataFrame({"run": ["a", "b"], "lr": [0.1, 0.2], "opt": ["sgd", "adam"]})
    runs = runs.assign(val_loss=[2.0, 1.5], train_loss=[2.1, 1.6])
    table = pd.concat([runs.assign(epoch=e + 1) for e in range(epochs)])
    log = read_log(table)
    assert log.metrics == ["val_loss", "train_loss"]
    assert log.settings.to_dict("list") == {"lr": [0.1, 0.2], "opt": ["sgd", "adam"]}
    renamed = table.rename(columns={"val_loss": "a", "train_loss": "b"})
    if epochs == 1:
        log = read_log(renamed)
        assert (log.metrics, list(log.settings)) == (["a", "b"], ["lr", "opt"])
        return
    with pytest.raises(DataError, match="holds no curve"):
        read_log(renamed)


def test_columns_of_a_wide_table_that_are_empty_are_epochs_to_come(tmp_path):
    wide = pd.read_csv(wide_table(tmp_path)).assign(val_acc_6=None, val_acc_8=None)
    curves = curvecast.read(wide)
    assert curves.last_epoch == 8
    assert set(curves.configs["info_state"]) == {"running"}


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    folder = written("ray")(tmp_path)
    before = curvecast.read(folder).values
    with next(folder.glob("*/*/result.json")).open("a") as stream:
        stream.write('{"val_acc": 0.5, "training_it')
    np.testing.assert_array_equal(curvecast.read(folder).values, before)


def test_rows_that_count_no_epoch_are_left_out_and_said(tmp_path):
    rows = [{"iter": n, "val_loss": 1 / n} for n in (1, 2, 3)]
    json_lines(tmp_path / "a.jsonl", [*rows, {"val_loss": 0.1}])
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
    path = wandb_chart(tmp_path)
    states = ["finished", "finished", "crashed", "finished"]
    frame = pd.DataFrame({"Name": [f"brisk-{i}" for i in range(4)], "State": states, "lr": LR})
    frame.to_csv(tmp_path / "runs.csv", index=False)
    curves = curvecast.read(path, settings=tmp_path / "runs.csv")
    assert curves.configs["info_state"].tolist() == ["finished", "finished", "ended", "finished"]
    assert "hp_State" not in curves.configs


def test_settings_come_from_a_second_table(tmp_path):
    path = wandb_chart(tmp_path)
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


def trackio_database(path, rows, key="run_id"):
    """A database of Trackio's: `rows` of a run, a step and what was logged at it."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table configs (id integer primary key, run_name, config)")
        database.execute(
            f"create table metrics (id integer primary key, {key}, run_name, step, metrics)"
        )
        for run, step, entry in rows:
            values = (run, "calm", step, json.dumps(entry))
            database.execute(
                f"insert into metrics ({key}, run_name, step, metrics) values (?, ?, ?, ?)", values
            )
    return path


@pytest.mark.parametrize(
    ("evaluated", "epochs"), [([1, 2, 3], [1, 2, 3]), ([0, 1, 2], [0, 1, 2]), ([0.4, 1.2], [2, 6])]
)
def test_a_tracked_trainer_counts_whole_epochs_else_steps(evaluated, epochs, tmp_path):
    rows = []
    for epoch in evaluated:
        at = {"train/epoch": epoch + 0.2, "train/global_step": round(5 * epoch) + 1}
        rows.append(("a", len(rows), {"train/loss": 1.0, "train/learning_rate": 0.1, **at}))
        at = {"train/epoch": epoch, "train/global_step": round(5 * epoch)}
        rows.append(("a", len(rows), {"eval/loss": epoch / 10, "eval/runtime": 3.1, **at}))
    log = read_log(trackio_database(tmp_path / "p.db", rows))
    assert log.metrics[-1:] == ["eval/loss"]
    assert set(log.metrics[:-1]) == ({"train/loss"} if epochs[-1] == 6 else set())
    known = log.rows[log.rows["eval/loss"].notna()]
    assert known["epoch"].tolist() == epochs
    assert known["eval/loss"].tolist() == [epoch / 10 for epoch in evaluated]


def test_a_database_of_trackio_holds_one_project_and_counts_steps_without_epochs(tmp_path):
    rows = [(run, step, {"val_loss": step}) for run in "ab" for step in range(3)]
    rows += [("a", 3, {"val_loss": "-Infinity", "text": "NaN?"}), ("a", 4, {"table": {"rows": 3}})]
    path = trackio_database(tmp_path / "p#1.db", rows)
    (tmp_path / "other.db").mkdir()
    log = read_log(tmp_path)
    assert log.runs == ["calm a", "calm b"]
    assert log.rows["epoch"].tolist() == [1, 2, 3, 4, 5, 1, 2, 3]
    assert log.rows["val_loss"].tolist()[:4] == [0, 1, 2, np.inf]
    earlier = trackio_database(tmp_path / "q.db", rows, key="earlier")
    assert set(read_log(earlier).runs) == {"calm"}
    with pytest.raises(DataError, match=r"holds 2 projects, not one: p#1\.db, q\.db"):
        read_log(tmp_path)
    for damage in ("metrics = '[3'", "step = 'three'"):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(f"update metrics set {damage} where id = 2")
        with pytest.raises(DataError, match="not a database of Trackio"):
            read_log(path)
        path.unlink()
        trackio_database(path, rows)


def test_rows_without_the_logged_epoch_are_left_out_unless_validation_has_none(tmp_path):
    rows = [("a", e, {"epoch": e, "val_loss": 1.0 + e}) for e in range(1, 4)]
    log = read_log(trackio_database(tmp_path / "a.db", [*rows, ("a", 4, {"test_acc": 0.5})]))
    assert log.rows["epoch"].tolist() == [1, 2, 3]
    assert log.notes == ("1 rows without epoch are left out",)
    rows = [
        ("a", 2 * e + i, x) for e in range(3) for i, x in enumerate(({"epoch": e}, {"val_loss": 1}))
    ]
    log = read_log(trackio_database(tmp_path / "b.db", rows))
    assert log.rows.loc[log.rows["val_loss"].notna(), "epoch"].tolist() == [2, 4, 6]


def test_a_run_of_dvclive_is_all_its_tables(tmp_path):
    folder = written("dvclive")(tmp_path / "runs")
    whole = read_log(folder)
    assert whole.tool == "DVCLive"
    one = read_log(folder / "run1")
    assert (one.runs, one.metrics) == (["run1"], ["train/loss", "val/acc"])
    assert one.settings.loc["run1"].to_dict() == {"lr": 0.2, "opt": "adam"}
    alone = read_log(folder / "run1/plots/metrics/val/acc.tsv")
    assert (
        alone.rows["acc"].tolist()
        == whole.rows.loc[whole.rows["run"] == "run1", "val/acc"].tolist()
    )


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


@pytest.mark.parametrize("settings", [{}, {"lr": 0.1}])
def test_runs_whose_settings_do_not_differ_are_runs_of_their_own(settings, tmp_path):
    rows = [
        {"run": f"r{i}", "epoch": e, "val_loss": 1 / (e + i), **settings}
        for i in range(1, 13)
        for e in range(1, 11 if i < 10 else 5)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "log.csv", index=False)
    curves = curvecast.read(tmp_path / "log.csv")
    assert curves.groups.tolist() == list(range(12))
    # Other settings are of one group, whatever their state.
    pd.DataFrame(rows).assign(lr=[0.1 * (int(r["run"][1:]) % 3) for r in rows]).to_csv(
        tmp_path / "log.csv", index=False
    )
    assert curvecast.read(tmp_path / "log.csv").groups.tolist() == [0, 1, 2] * 4


def test_a_name_may_follow_a_group(tmp_path):
    """As stable-baselines3 writes it."""
    text = "rollout/ep_rew_mean,time/fps,time/iterations,time/total_timesteps\n2,9,1,20\n3,8,2,40\n"
    (tmp_path / "progress.csv").write_text(text)
    curves = curvecast.read(tmp_path, "rollout/ep_rew_mean")
    assert (curves.epochs.tolist(), curves.direction) == ([1, 2], "maximize")
    (tmp_path / "progress.csv").write_text(text.replace("2,9,1,", "2,9,,"))
    assert len(read_log(tmp_path).rows) == 1


def test_a_history_counts_from_its_first_epoch_and_hides_no_other(tmp_path):
    for name, text in {"a": "loss,val_loss\n2,3\n", "b": "loss,val_loss", "c": "loss\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text(text)
    assert read_log(tmp_path).rows[["run", "epoch", "val_loss"]].to_numpy().tolist() == [
        ["a", 1, 3]
    ]


@pytest.mark.parametrize(("key", "value"), [("key", "value"), ("metricName", "metricValue")])
def test_a_row_may_hold_one_metric(key, value, tmp_path):
    table = pd.DataFrame(
        [
            (run, name, 10 * e, e if name == "epoch" else 1.0 / e)
            for run in "ab"
            for e in (1, 2, 3)
            for name in ("epoch", "loss", "x")
        ],
        columns=["run_id", key, "step", value],
    ).assign(timestamp=range(18))
    table.to_csv(tmp_path / "log.csv")
    log = read_log(tmp_path / "log.csv")
    assert (log.runs, log.metrics, len(log.rows)) == (["a", "b"], ["loss", "x"], 6)
    assert log.rows["loss"].tolist() == [1, 1 / 2, 1 / 3] * 2
    assert not any("repeat" in note for note in log.notes)
    for run, rows in table.groupby("run_id"):
        rows.drop(columns="run_id").to_csv(tmp_path / f"{run}.csv", index=False)
    (tmp_path / "log.csv").unlink()
    assert read_log(tmp_path).rows.equals(log.rows)


def test_a_text_per_run_beside_values_is_a_setting():
    table = pd.DataFrame({"run": list("aabb"), "epoch": [1, 2] * 2, "value": [4.0, 3, 2, 1]})
    log = read_log(table.assign(tag=["big"] * 2 + ["small"] * 2))
    assert (log.metrics, list(log.settings)) == (["value"], ["tag"])


def test_parts_of_epochs_are_counted_by_steps_and_a_column_plans_them(tmp_path):
    for run, n in (("a", 4), ("b", 2)):
        (tmp_path / run).mkdir()
        rows = [
            {"current_steps": 10 * i, "total_steps": 40, "loss": 1 / i, "epoch": i / 4}
            for i in range(1, n + 1)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / run / "trainer_log.jsonl").write_text(text)
    log = read_log(tmp_path)
    assert log.rows["epoch"].tolist() == [10, 20, 30, 40, 10, 20]
    assert (log.metrics, log.planned, log.ended) == (["loss"], {"a": 40, "b": 40}, {"a"})


def test_counts_and_times_are_no_metrics_in_capitals_or_after_a_group(tmp_path):
    for run in "ab":
        table = pd.DataFrame({"EPOCH": [1, 2], "LEARNING_RATE": [0.1, 0.01], "DEV_F1": [0.5, 0.6]})
        table = table.assign(**{"time/fps": 10, "Wall time": 1.5})
        table.to_csv(tmp_path / f"{run}.tsv", sep="\t")
    assert read_log(tmp_path).metrics == ["DEV_F1"]


def test_metrics_of_sacred_have_steps_of_their_own(tmp_path):
    metrics = {"loss": ([0, 1, 2], [3.0, 2, 1]), "acc": ([1, 2], [0.5, 0.6])}
    content = {name: {"steps": s, "values": v} for name, (s, v) in metrics.items()}
    for run in "12":
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.json").write_text(json.dumps(content))
        (tmp_path / run / "config.json").write_text(json.dumps({"lr": 0.1 * int(run)}))
    log = read_log(tmp_path)
    assert log.rows["loss"].tolist() == [3, 2, 1] * 2
    assert log.rows["acc"].dropna().tolist() == [0.5, 0.6] * 2
    assert log.settings["lr"].tolist() == [0.1, 0.2]


def test_rows_of_smac_may_be_lists_and_costs_of_seeds_are_averaged(tmp_path):
    path = smac_history(tmp_path, of_lists=True)
    log = read_log(path)
    file = path / "search/0/runhistory.json"
    content = json.loads(file.read_text())
    again = [[1, None, 1, 5.0, 0.2, *content["data"][0][5:]], [9, None, 0, None, 0.1]]
    file.write_text(json.dumps({**content, "data": content["data"] + again}))
    both = read_log(path).rows.set_index(["run", "epoch"])["cost"]
    alone = log.rows.set_index(["run", "epoch"])["cost"]
    assert both["1", 5] == (alone["1", 5] + 0.2) / 2
    assert both.drop(("1", 5)).equals(alone.drop(("1", 5)))
    assert direction_of("cost", None, path) == "minimize"
    file.rename(path / "search/runhistory.json")
    smac_history(tmp_path / "more", of_lists=True).rename(path / "again")
    assert read_log(path).runs[:1] == ["again/search/0/1"]


def test_parts_of_the_data_are_no_runs(tmp_path):
    content = {"train": {"loss": [3, 2]}, "valid_0": {"loss": [3.5, 2.5], "auc": [0.5, 0.6]}}
    (tmp_path / "a.json").write_text(json.dumps({**content, "eta": 0.1}))
    log = read_log(tmp_path / "a.json")
    assert log.runs == [tmp_path.name]
    assert log.metrics == ["train/loss", "valid_0/loss", "valid_0/auc"]
    assert log.settings["eta"].tolist() == [0.1]
    content = {"training": {"y": {"loss": [3, 2]}}, "validation": {"y": {"loss": [4, 3]}}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_log(tmp_path).metrics == ["training/y/loss", "validation/y/loss"]


@pytest.mark.parametrize("kind", ["list", "beside settings"])
def test_an_object_per_epoch_is_a_history_and_what_repeats_a_setting(kind, tmp_path):
    rows = [{"epoch": e, "val_loss": 1 / e, "units": 64, "optimizer": "adam"} for e in range(3, 6)]
    content = {"config": {"dropout": 0.1}, "history": rows} if kind == "beside settings" else rows
    (tmp_path / "training_log.json").write_text(json.dumps(content))
    log = read_log(tmp_path)
    assert log.rows["epoch"].tolist() == [3, 4, 5]
    assert log.rows["val_loss"].tolist() == [1 / 3, 1 / 4, 1 / 5]
    assert log.metrics == ["val_loss"]
    settings = {"units": 64, "optimizer": "adam"}
    settings |= {"config.dropout": 0.1} if kind == "beside settings" else {}
    assert log.settings.to_dict("records") == [settings]


def test_objects_beside_lists_of_a_metric_are_no_epochs(tmp_path):
    layers = [{"units": 8, "loss": 2.0}, {"units": 4, "loss": 1.0}]
    (tmp_path / "a.json").write_text(json.dumps({"loss": [3, 2, 1], "layers": layers}))
    assert read_log(tmp_path / "a.json").rows["loss"].tolist() == [3, 2, 1]


def test_a_list_of_epochs_counts(tmp_path):
    content = {"epochs": [5, 10], "loss": [0.5, 0.4]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    log = read_log(tmp_path / "a.json")
    assert log.metrics == ["loss"]
    assert log.rows["epoch"].tolist() == [5, 10]


def test_batches_of_an_epoch_are_no_runs(tmp_path):
    rows = [f"{epoch},{batch},{epoch + batch}" for epoch in range(1, 4) for batch in range(5)]
    (tmp_path / "log.csv").write_text("\n".join(["Epoch,Batch,loss", *rows, ""]))
    log = read_log(tmp_path / "log.csv")
    assert log.runs == [tmp_path.name]
    assert log.rows["loss"].tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("test/success_rate", "maximize"),
        ("episode_return", "maximize"),
        ("val_AUROC", "maximize"),
        ("hits@10", "maximize"),
        ("bbox/APs", "maximize"),
        ("AP50-95/all/100", "maximize"),
        ("win_rate", "maximize"),
        ("Win Rate", "maximize"),
        ("Prec@1", "maximize"),
        ("val_mean_io_u", "maximize"),
        ("MeanIU", "maximize"),
        ("Log-likelihood", "maximize"),
        ("neg_log_likelihood", "minimize"),
        ("val xent", "minimize"),
        ("FID", "minimize"),
        ("cer", "minimize"),
        ("val_LPIPS", "minimize"),
        ("apex", None),
        ("ap_depth", None),
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
    "dvclive/ --metric val/acc": "run_tables:dvclive",
    "lightning_logs --metric val_acc": "run_tables:lightning",
    "runs/detect --metric 'metrics/mAP50-95(B)'": "run_tables:ultralytics",
    "work_dirs --metric accuracy/top1": "run_tables:mmengine",
    "detectron/ --metric fast_rcnn/cls_accuracy": "run_tables:detectron2",
    "output/ --metric eval_accuracy": "transformers",
    "~/ray_results/experiment": "ray",
    "runs/ --metric val/acc": "tensorboard",
    "wandb/": "wandb_run",
    "chart.csv --settings runs.csv": "wandb",
    "~/.cache/huggingface/trackio/digits.db --metric val/acc": "trackio",
    "mlruns": "mlflow:folders",
    "mlflow.db": "mlflow:database",
    "study.db": "optuna",
    "~/syne-tune/experiment": "syne_tune",
    "smac3_output/": "smac",
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
    assert metric in ("loss", "cost", "score") or re.search(r"acc|mAP50-95\(B\)", metric)
    assert target == f"at epoch 5, to {'minimize' if metric in ('loss', 'cost') else 'maximize'}"
    assert main(["report", str(path), *options, "--out", "page.html"]) == 0
    told = capsys.readouterr().out
    stop = r"at epoch 5: stop 1 of 1 runs under way: .*[23].*; page.html\n"
    assert re.fullmatch(f"{re.escape(metric)} {stop}", told), told
    assert "3 runs are\nfinished, 1 under way" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        (["loss", "gpu_power"], "loss"),
        (["train_loss", "val_quality"], "val_quality"),
        (["loss", "test_speed", "val_acc"], "val_acc"),
        (["loss", "acc"], None),
    ],
)
def test_metrics_of_a_known_direction_come_first(metrics, chosen, tmp_path):
    lines = [f"epoch {e}: " + " ".join(f"{m}={e + 0.5}" for m in metrics) for e in (1, 2)]
    file = tmp_path / "train.log"
    file.write_text("\n".join([*lines, ""]))
    if chosen is None:
        with pytest.raises(DataError, match=r"which metric .* one of loss, acc$"):
            metric_of(read_log(file), None, file)
    else:
        assert metric_of(read_log(file), None, file) == chosen
