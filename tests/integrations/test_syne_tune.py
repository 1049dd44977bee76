"""The scheduler in real experiments of syne-tune: local processes, and its simulator."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("syne_tune", reason="syne-tune is not installed")

from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend
from syne_tune.config_space import loguniform, uniform
from syne_tune.experiments import load_experiment

from curvecast.integrations.syne_tune import CurveScheduler

LAST = 20
SPACE = {"lr": loguniform(1e-4, 1.0)}
SCRIPT = """
import argparse, math, time
from syne_tune import Reporter
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
far = abs(math.log10(parser.parse_known_args()[0].lr) + 2)
report = Reporter()
for epoch in range(1, {last} + 1):
    report(epoch=epoch, loss=0.1 + 0.1 * far + 0.6 * math.exp(-0.3 * epoch))
    time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path / "syne-tune"))
    monkeypatch.chdir(tmp_path)  # syne-tune leaves a file std.out


def tuned(scheduler: CurveScheduler, backend: Any, trials: int, **options: Any) -> pd.DataFrame:
    """The results of an experiment of one worker, a row per report."""
    stop = StoppingCriterion(max_num_trials_started=trials)
    tuner = Tuner(backend, scheduler, stop, n_workers=1, print_update_interval=1000, **options)
    tuner.run()
    return load_experiment(tuner.name).results


def test_local_trials_that_cannot_win_are_stopped(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(last=LAST), encoding="utf-8")
    rates = [0.05, 0.02, 0.01, 0.0003, 1.0]
    scheduler = CurveScheduler(
        SPACE,
        "loss",
        max_t=LAST,
        random_seed=0,
        searcher_kwargs={"points_to_evaluate": [{"lr": rate} for rate in rates]},
    )
    results = tuned(
        scheduler, LocalBackend(str(script)), 5, sleep_time=0.1, results_update_interval=1
    )
    epochs = results.groupby("config_lr")["epoch"].max()
    assert epochs[0.05] == epochs[0.02] == epochs[0.01] == LAST
    assert epochs[0.0003] < LAST
    assert {a.reason for a in scheduler.runs.history if a.stop} == {"predicted worse"}


def test_the_simulator_replays_a_table() -> None:
    rates = 10.0 ** np.linspace(-4, 0, 40)
    epochs = np.arange(1, LAST + 1)
    limit = 0.1 + 0.1 * np.abs(np.log10(rates) + 2)
    loss = limit[:, None] + 0.6 * np.exp(-0.3 * epochs)
    time = np.broadcast_to(10.0 * epochs, loss.shape)
    space = {**SPACE, "momentum": uniform(0, 1)}
    blackbox = BlackboxTabular(
        hyperparameters=pd.DataFrame({"lr": rates, "momentum": 0.9}),
        configuration_space=space,
        fidelity_space={"epoch": loguniform(1, LAST)},
        objectives_evaluations=np.stack([loss, time], axis=-1)[:, None],
        fidelity_values=epochs,
        objectives_names=["loss", "seconds"],
    )
    chosen = np.random.default_rng(0).permutation(rates)[:20].tolist()
    points = [{"lr": rate, "momentum": 0.9} for rate in chosen]
    scheduler = CurveScheduler(
        space,
        "loss",
        max_t=LAST,
        random_seed=0,
        searcher_kwargs={"points_to_evaluate": points},
    )
    backend = UserBlackboxBackend(blackbox, elapsed_time_attr="seconds")
    results = tuned(scheduler, backend, 20, sleep_time=0, callbacks=[SimulatorCallback()])
    used = results.groupby("trial_id")["epoch"].max()
    assert used.sum() < 0.7 * 20 * LAST
    best = min(chosen, key=lambda rate: abs(math.log10(rate) + 2))
    assert results.loc[results["loss"].idxmin(), "config_lr"] == pytest.approx(best)
