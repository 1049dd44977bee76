"""Writes the archives beside it with the tools themselves: make.py FOLDER TOOL ...

Each holds four runs of 5, 5, 3 (under way) and 5 epochs. Written with keras 3.15, lightning 2.6,
transformers 5.24, ray 2.60, mlflow-skinny 3.17, wandb 0.31, syne-tune 0.16, tensorboard 2.21,
trackio 0.43, dvclive 3.49.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LENGTHS = [5, 5, 3, 5]
VALUES = [[0.1 + 0.1 * run + 0.01 * e for e in range(n)] for run, n in enumerate(LENGTHS)]
LR = [0.1, 0.2, 0.3, 0.4]
OPT = ["sgd", "adam", "sgd", "adam"]


def keras(folder):
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import numpy as np

    x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    for run, values in enumerate(VALUES):
        at = folder / f"lr={LR[run]},opt={OPT[run]}"
        at.mkdir(parents=True)
        model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
        model.compile(optimizer=OPT[run], loss="mse")

        class Value(keras.callbacks.Callback):
            logged = values

            def on_epoch_end(self, epoch, logs):
                logs["val_accuracy"] = self.logged[epoch]

        log = keras.callbacks.CSVLogger(at / "training.log")
        model.fit(x, y, epochs=len(values), verbose=0, callbacks=[Value(), log])


def lightning(folder):
    import lightning
    import torch
    from lightning.pytorch.loggers import CSVLogger

    class Model(lightning.LightningModule):
        def __init__(self, lr, opt, values):
            super().__init__()
            self.save_hyperparameters(ignore="values")
            self.values, self.layer = values, torch.nn.Linear(2, 1)

        def training_step(self, batch, _):
            loss = self.layer(batch).mean()
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, _):
            self.log("val_acc", self.values[self.current_epoch])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    data = torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=2)
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary"), False)
    for run, values in enumerate(VALUES):
        trainer = lightning.Trainer(
            max_epochs=len(values),
            logger=CSVLogger(folder),
            log_every_n_steps=2,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            accelerator="cpu",
            **quiet,
        )
        trainer.fit(Model(LR[run], OPT[run], values), data, data)


def transformers(folder):
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x, labels=None):
            out = self.layer(x)
            return {"loss": ((out - labels) ** 2).mean(), "logits": out}

    class Stop(TrainerCallback):
        def __init__(self, epochs):
            self.epochs = epochs

        def on_epoch_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.epoch >= self.epochs

    rows = [{"x": torch.ones(2), "labels": torch.ones(1)} for _ in range(8)]
    for run, values in enumerate(VALUES):
        args = TrainingArguments(
            output_dir=str(folder / f"run-{run}"),
            num_train_epochs=5,
            per_device_train_batch_size=4,
            learning_rate=LR[run],
            report_to=[],
            use_cpu=True,
            save_total_limit=1,
            **dict.fromkeys(("eval_strategy", "save_strategy", "logging_strategy"), "epoch"),
        )
        left = iter(values)
        Trainer(
            model=Net(),
            args=args,
            train_dataset=rows,
            eval_dataset=rows,
            compute_metrics=lambda _, left=left: {"accuracy": next(left)},
            callbacks=[Stop(len(values))],
        ).train()
    for file in (f for f in folder.rglob("*") if f.is_file()):
        if file.name != "trainer_state.json":
            file.unlink()


def ray(folder):
    import ray
    from ray import tune
    from ray.tune.search.basic_variant import BasicVariantGenerator

    def train(config):
        for value in VALUES[LR.index(config["lr"])]:
            tune.report({"val_acc": value})

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    points = [{"lr": LR[i], "opt": OPT[i], "layers": {"n": 2 + i % 2}} for i in range(4)]
    tune.Tuner(
        train,
        param_space={"lr": tune.uniform(0, 1), "opt": "sgd", "layers": {"n": 2}},
        tune_config=tune.TuneConfig(
            num_samples=4, search_alg=BasicVariantGenerator(points_to_evaluate=points)
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name="experiment", verbose=0),
    ).fit()
    for file in (f for f in folder.rglob("*") if f.is_file()):
        if file.name not in ("result.json", "params.json", "progress.csv"):
            file.unlink()


def mlflow(folder):
    import mlflow

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    _mlflow(mlflow, f"file:{folder}/mlruns")


def mlflow_database(folder):
    import mlflow

    folder.mkdir()
    _mlflow(mlflow, f"sqlite:///{folder}/mlflow.db")


def _mlflow(mlflow, uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("digits")
    for run, values in enumerate(VALUES):
        mlflow.start_run(run_name=f"fine-{run}")
        mlflow.log_params({"lr": LR[run], "opt": OPT[run]})
        for epoch, value in enumerate(values):
            mlflow.log_metrics({"val_acc": value, "train/loss": 1 - value}, step=epoch)
        mlflow.end_run("FINISHED" if len(values) == 5 else "RUNNING")


def wandb(folder):
    folder.mkdir()
    for run in range(4):
        command = [sys.executable, __file__, folder, f"_wandb_{run}"]
        subprocess.run(command, check=False, start_new_session=True)
    for file in (f for f in folder.rglob("*") if f.is_file() and f.suffix != ".wandb"):
        file.unlink()


def _wandb(folder, run):
    import wandb

    settings = wandb.Settings(x_disable_meta=True, x_disable_stats=True, disable_code=True)
    one = wandb.init(
        project="digits",
        name=f"brisk-{run}",
        mode="offline",
        dir=folder,
        settings=settings,
        config={"lr": LR[run], "opt": OPT[run], "net": {"layers": 2}},
    )
    for epoch, value in enumerate(VALUES[run]):
        one.log({"epoch": epoch, "train/loss": 1 - value, "val/acc": value})
    if len(VALUES[run]) == 5:
        one.finish()
    else:
        import time

        time.sleep(20)
        os.killpg(0, 9)


def syne_tune(folder):
    os.environ["SYNETUNE_FOLDER"] = str(folder)
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import choice
    from syne_tune.optimizer.baselines import RandomSearch

    folder.mkdir()
    script = folder / "train.py"
    script.write_text(
        "import argparse\nfrom syne_tune import Reporter\np = argparse.ArgumentParser()\n"
        f"p.add_argument('--lr', type=float)\nvalues = dict(zip({LR}, {VALUES}))\n"
        "for e, value in enumerate(values[p.parse_known_args()[0].lr]):\n"
        "    Reporter()(epoch=e + 1, val_acc=value)\n"
    )
    points = [{"lr": lr, "opt": opt} for lr, opt in zip(LR, OPT, strict=True)]
    space = {"lr": choice(LR), "opt": choice(OPT[:2]), "epochs": 5}
    Tuner(
        trial_backend=LocalBackend(entry_point=str(script)),
        scheduler=RandomSearch(space, ["val_acc"], do_minimize=False, points_to_evaluate=points),
        stop_criterion=StoppingCriterion(max_num_trials_started=4),
        n_workers=1,
        sleep_time=0.2,
    ).run()
    for file in (f for f in folder.rglob("*") if f.is_file()):
        if file.name not in ("results.csv.zip", "metadata.json"):
            file.unlink()


def tensorboard(folder):
    from torch.utils.tensorboard import SummaryWriter

    for run, values in enumerate(VALUES):
        with SummaryWriter(str(folder / f"run{run}")) as writer:
            writer.add_hparams({"lr": LR[run], "opt": OPT[run]}, {})
            for epoch, value in enumerate(values):
                writer.add_scalar("val/acc", value, epoch)
                writer.add_scalar("train/loss", 1 - value, epoch, new_style=True)


def trackio(folder):
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio

    for run, values in enumerate(VALUES):
        config = {"lr": LR[run], "opt": OPT[run], "epochs": 5}
        trackio.init(project="digits", name=f"calm-{run}", config=config, embed=False)
        for epoch, value in enumerate(values):
            trackio.log({"epoch": epoch + 1, "train/loss": 1 - value, "val/acc": value})
        trackio.finish()
    (folder / "digits.lock").unlink()


def dvclive(folder):
    from dvclive import Live

    for run, values in enumerate(VALUES):
        with Live(str(folder / f"run{run}"), save_dvc_exp=False, dvcyaml=None) as live:
            live.log_params({"lr": LR[run], "opt": OPT[run], "epochs": 5})
            for value in values:
                live.log_metric("train/loss", 1 - value)
                live.log_metric("val/acc", value)
                live.next_step()


if __name__ == "__main__":
    for tool in sys.argv[2:]:
        at = Path(sys.argv[1]).absolute()
        if tool.startswith("_wandb_"):
            _wandb(at, int(tool[-1]))
        else:
            globals()[tool](at / tool)
            shutil.make_archive(str(Path(__file__).parent / tool), "zip", at / tool)
