"""Each format of a log: a small file in its exact layout is read as the runs that it holds."""

import gzip
import json
import sqlite3

import numpy as np
import pandas as pd
import pytest

import curvecast
from curvecast.data.logs import curves_of, formats_known, read_log
from curvecast.files import DataError

LENGTHS = [5, 5, 3, 5]
VALUES = [[0.1 + 0.1 * run + 0.01 * e for e in range(n)] for run, n in enumerate(LENGTHS)]
LR = [0.1, 0.2, 0.3, 0.4]
OPT = ["sgd", "adam", "sgd", "adam"]


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


def _keras(folder):
    for i, values in enumerate(VALUES):
        frame = pd.DataFrame({"epoch": range(len(values)), "val_acc": values})
        _csv(folder / f"lr={LR[i]},opt={OPT[i]}" / "training.log", frame)
    return folder


def _lightning(folder):
    for i, values in enumerate(VALUES):
        rows = []
        for e, value in enumerate(values):
            rows += [{"epoch": e, "step": 10 * e + 4, "train_loss": 1 - value}]
            rows += [{"epoch": e, "step": 10 * e + 9, "val_acc": value}]
        _csv(folder / f"version_{i}" / "metrics.csv", pd.DataFrame(rows))
        text = f"lr: {LR[i]}\nopt: {OPT[i]}\nmodel: !!python/object:torch.nn.Linear {{a: 1}}\n"
        (folder / f"version_{i}" / "hparams.yaml").write_text(text.replace("model", "cls"))
    return folder


def _ultralytics(folder):
    for i, values in enumerate(VALUES):
        frame = pd.DataFrame({"epoch": np.arange(len(values)) + 1, "metrics/val_acc": values})
        frame.columns = [column.rjust(23) for column in frame.columns]
        _csv(folder / f"train{i + 1}" / "results.csv", frame)
        (folder / f"train{i + 1}" / "args.yaml").write_text(
            f"lr: {LR[i]}\nopt: {OPT[i]}\nepochs: 5\n"
        )
    return folder


def _transformers(folder):
    for i, values in enumerate(VALUES):
        history = []
        for e, value in enumerate(values):
            at = {"epoch": float(e + 1), "step": 10 * (e + 1)}
            history += [{**at, "loss": 1 - value, "learning_rate": 0.1, "grad_norm": 1.0}]
            history += [{**at, "eval_val_acc": value, "eval_runtime": 2.0}]
        n = len(values)
        state = {"epoch": float(n), "global_step": 10 * n, "max_steps": 50, "log_history": history}
        run = folder / f"run-{i}" / f"checkpoint-{10 * n}"
        run.mkdir(parents=True)
        (run / "trainer_state.json").write_text(json.dumps(state))
    return folder


def _ray(folder):
    for i, values in enumerate(VALUES):
        config = {"lr": LR[i], "opt": OPT[i]}
        rows = [
            {"val_acc": v, "training_iteration": e + 1, "done": False, "pid": 7, "config": config}
            for e, v in enumerate(values)
        ]
        _json_lines(folder / f"trainable_{i:05d}" / "result.json", rows)
        (folder / f"trainable_{i:05d}" / "params.json").write_text(json.dumps(config))
    return folder


def _wandb(folder):
    frame = pd.DataFrame({"Step": range(5)})
    for i, values in enumerate(VALUES):
        for kind in ("", "__MIN", "__MAX"):
            frame[f"run-{i} - val_acc{kind}"] = [*values, None, None][:5]
    _csv(folder / "chart.csv", frame)
    return folder / "chart.csv"


def _mlflow_folders(folder):
    for i, values in enumerate(VALUES):
        run = folder / "0" / f"abc{i}"
        (run / "metrics").mkdir(parents=True)
        (run / "params").mkdir()
        meta = f"lifecycle_stage: active\nrun_name: fine-{i}\nstatus: 1\n"
        (run / "meta.yaml").write_text(meta)
        lines = [f"16000000{e} {value!r} {e}\n" for e, value in enumerate(values)]
        (run / "metrics" / "val_acc").write_text("".join(lines))
        (run / "params" / "lr").write_text(str(LR[i]))
        (run / "params" / "opt").write_text(OPT[i])
    (folder / "0" / "meta.yaml").write_text("name: Default\n")
    return folder


def _mlflow_database(folder):
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.executescript(
            "create table runs (run_uuid, name, status, start_time, lifecycle_stage);"
            "create table params (key, value, run_uuid);"
            "create table metrics (key, value, timestamp, run_uuid, step, is_nan);"
        )
        for i, values in enumerate(VALUES):
            key, run = f"abc{i}", (f"abc{i}", f"fine-{i}", "RUNNING", i, "active")
            database.execute("insert into runs values (?, ?, ?, ?, ?)", run)
            for name, value in (("lr", LR[i]), ("opt", OPT[i])):
                database.execute("insert into params values (?, ?, ?)", (name, str(value), key))
            for e, value in enumerate(values):
                row = ("val_acc", value, e, key, e, False)
                database.execute("insert into metrics values (?, ?, ?, ?, ?, ?)", row)
    return folder / "mlflow.db"


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
    _json_lines(
        folder / "configs.json",
        [[[0, 0, i], {"lr": LR[i], "opt": OPT[i]}, {}] for i in range(4)],
    )
    times = {"submitted": 0.0, "started": 1.0, "finished": 2.0}
    _json_lines(
        folder / "results.json",
        [
            [[0, 0, i], float(e + 1), times, {"loss": value, "info": {}}, None]
            for i, values in enumerate(VALUES)
            for e, value in enumerate(values)
        ],
    )
    return folder


def _syne_tune(folder):
    rows = [
        {
            "val_acc": value,
            "epoch": e + 1,
            "trial_id": i,
            "st_decision": "CONTINUE",
            "st_tuner_time": 1.5,
            "config_lr": LR[i],
            "config_opt": OPT[i],
        }
        for i, values in enumerate(VALUES)
        for e, value in enumerate(values)
    ]
    pd.DataFrame(rows).to_csv(folder / "results.csv.zip", index=False)
    return folder


def _tensorboard(folder):
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
    for i, values in enumerate(VALUES):
        with writer(str(folder / f"lr={LR[i]},opt={OPT[i]}")) as events:
            for e, value in enumerate(values):
                events.add_scalar("val_acc", value, e)
    return folder


FORMATS = {
    "long": (_long, True),
    "wide": (_wide, True),
    "run_tables:keras": (_keras, True),
    "run_tables:lightning": (_lightning, True),
    "run_tables:ultralytics": (_ultralytics, True),
    "transformers": (_transformers, False),
    "ray": (_ray, True),
    "wandb": (_wandb, False),
    "mlflow:folders": (_mlflow_folders, True),
    "mlflow:database": (_mlflow_database, True),
    "optuna": (_optuna, True),
    "hpbandster": (_hpbandster, True),
    "syne_tune": (_syne_tune, True),
    "tensorboard": (_tensorboard, True),
}


def test_every_format_is_here():
    assert {name.partition(":")[0] for name in FORMATS} == set(formats_known())


@pytest.mark.parametrize("name", FORMATS)
def test_a_log_is_read_as_its_runs(name, tmp_path):
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
    frame.to_csv(tmp_path / "excel.tsv", sep="\t", encoding="utf-16", index=False)
    frame.to_json(tmp_path / "lines.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "typed.parquet")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    for name in ("german.csv", "excel.tsv", "lines.jsonl", "typed.parquet", "packed.csv.gz"):
        np.testing.assert_allclose(curvecast.read(tmp_path / name).values, expected)


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    folder = _ray(tmp_path)
    before = curvecast.read(folder).values
    with (folder / "trainable_00002" / "result.json").open("a") as stream:
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
    path = _syne_tune(tmp_path)
    table = pd.read_csv(path / "results.csv.zip")
    table.loc[table.groupby("trial_id").tail(1).index, "st_decision"] = "STOP"
    table.loc[table["epoch"] == 2, "val_acc"] = 0.9
    table.to_csv(path / "results.csv.zip", index=False)
    end = curvecast.read(path)
    assert end.configs["info_state"].tolist() == ["finished", "finished", "ended", "finished"]
    assert np.isnan(end.final[2])
    assert curvecast.read(path, target="own_end").final[2] == pytest.approx(VALUES[2][-1])
    assert curvecast.read(path, target="best").final[0] == 0.9
    assert np.isnan(curvecast.read(path, epochs=7).final).all()


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

    folder = _lightning(tmp_path)
    stanza = {"reader": "log", "files": [{"local": str(folder)}], "metric": "val_acc"}
    curves = readers.read("mine", stanza, [folder])
    assert (curves.name, curves.metric, len(curves)) == ("mine", "val_acc", 4)
