"""Small logs in the exact layout of each format, and how to write them into a folder."""

import csv
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

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


def json_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _csv(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


def long_table(folder):
    rows = [
        {"run": f"r{i}", "lr": LR[i], "opt": OPT[i], "epoch": e + 1, "val_acc": value}
        for i, values in enumerate(VALUES)
        for e, value in enumerate(values)
    ]
    _csv(folder / "long.csv", pd.DataFrame(rows))
    return folder / "long.csv"


def wide_table(folder):
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


def ultralytics(folder, head=("epoch", "time"), name="%s", number="%.6g"):
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
    return ultralytics(folder, ("epoch",), "%23s", "%23.5g")


def _mmengine(folder):
    """`work_dirs` of MMEngine: training has epoch and step, a validation its epoch as a step."""
    for i, values in enumerate(VALUES):
        rows = []
        for e, value in enumerate(values, start=1):
            train = {"lr": 0.01, "data_time": 0.002, "loss": 1 / e, "time": 0.03, "epoch": e}
            rows += [{**train, "iter": n, "memory": 3, "step": n} for n in (20 * e - 10, 20 * e)]
            rows.append({"accuracy/top1": value, "data_time": 0.01, "time": 0.02, "step": e})
        named = f"lr={LR[i]},opt={OPT[i]}/20260101_12000{i}/vis_data/scalars.json"
        json_lines(folder / "work_dirs" / named, rows)
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
        json_lines(at / "metrics.json", rows)
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


def wandb_chart(folder, axis="Step"):
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


def _smac(folder):
    return smac_history(folder, of_lists=False)


def smac_history(folder, of_lists):
    """As SMAC 2.4 writes it, or 2.0 with rows that are lists."""
    trials = [
        {"config_id": i + 1, "instance": None, "seed": 0, "budget": e + 1.0, "cost": value}
        for i, values in enumerate(VALUES)
        for e, value in enumerate(values)
    ]
    more = {"time": 1.5, "status": 1, "starttime": 0.0, "endtime": 1.5, "additional_info": {}}
    rows = [{**trial, **more} for trial in trials]
    configs = {str(i + 1): {"lr": LR[i], "opt": OPT[i]} for i in range(len(VALUES))}
    stats = {"submitted": len(rows), "finished": len(rows), "running": 0}
    content = {"stats": stats, "data": [list(r.values()) for r in rows] if of_lists else rows}
    file = folder / "smac3_output/search/0/runhistory.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**content, "configs": configs, "config_origins": {}}, indent=2))
    return folder / "smac3_output"


def _wandb_epoch(folder):
    return wandb_chart(folder, "epoch")


SETTINGS = ("hp_lr", "hp_opt")
# By format: how its log is written, and the columns of its settings.
FORMATS = {
    "long": (long_table, SETTINGS),
    "wide": (wide_table, SETTINGS),
    "run_tables:keras": (written("keras"), SETTINGS),
    "run_tables:lightning": (written("lightning"), SETTINGS),
    "run_tables:ultralytics": (ultralytics, ("hp_lr0", "hp_optimizer")),
    "run_tables:ultralytics 8.0": (_ultralytics_before, ("hp_lr0", "hp_optimizer")),
    "run_tables:mmengine": (_mmengine, SETTINGS),
    "run_tables:detectron2": (_detectron, ("hp_SOLVER.BASE_LR",)),
    "run_tables:dvclive": (written("dvclive"), SETTINGS),
    "console": (_console, SETTINGS),
    "history": (_history, SETTINGS),
    "history:runs in one file": (_histories, SETTINGS),
    "history:tables": (_history_tables, SETTINGS),
    "transformers": (written("transformers"), ()),
    "ray": (written("ray"), SETTINGS),
    "wandb": (wandb_chart, ()),
    "wandb:over epochs": (_wandb_epoch, ()),
    "wandb_run": (written("wandb"), SETTINGS),
    "trackio": (written("trackio"), SETTINGS),
    "mlflow:folders": (written("mlflow"), SETTINGS),
    "mlflow:database": (written("mlflow_database"), SETTINGS),
    "optuna": (_optuna, SETTINGS),
    "hpbandster": (_hpbandster, SETTINGS),
    "smac": (_smac, SETTINGS),
    "syne_tune": (written("syne_tune"), SETTINGS),
    "tensorboard": (written("tensorboard"), SETTINGS),
}
