"""The scheduler in real experiments of Ray Tune, on one machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ray = pytest.importorskip("ray", reason="ray is not installed")

from ray import tune

from curvecast import DataError
from curvecast.integrations.ray import CurveScheduler

LAST = 20


@pytest.fixture(scope="module", autouse=True)
def cluster(one_ray: None) -> Iterator[None]:
    ray.init(
        "local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False
    )
    yield
    ray.shutdown()


def experiment(folder: Path, scheduler: CurveScheduler, rates: list[float]) -> tune.ResultGrid:
    """Errors that fall to a limit which the learning rate tells; one trial diverges."""

    def error(config: dict[str, Any]) -> None:  # workers cannot import this file
        far = abs(math.log10(config["lr"]) + 2)
        for epoch in range(1, LAST + 5):
            value = 0.1 + 0.1 * far + 0.6 * math.exp(-0.3 * epoch)
            tune.report({"loss": math.nan if config["lr"] > 0.9 and epoch > 2 else value})

    return tune.Tuner(
        tune.with_resources(error, {"cpu": 1}),
        param_space={"lr": tune.grid_search(rates)},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", scheduler=scheduler, max_concurrent_trials=1
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()


def test_trials_that_cannot_win_are_stopped_and_the_best_one_is_not(tmp_path: Path) -> None:
    scheduler = CurveScheduler(LAST)
    rates = [0.05, 0.02, 0.002, 0.01, 0.0003, 0.3, 1.0, 0.0001]
    results = experiment(tmp_path, scheduler, rates)
    epochs = {
        result.config["lr"]: result.metrics["training_iteration"]
        for result in results
        if result.metrics is not None
    }
    assert not results.errors
    assert epochs[0.05] == epochs[0.02] == epochs[0.01] == LAST
    assert epochs[1.0] == 3
    assert max(epochs[0.3], epochs[0.0001], epochs[0.0003]) < LAST / 2
    assert results.get_best_result().config["lr"] == 0.01
    reasons = {advice.reason for advice in scheduler.runs.history if advice.stop}
    assert reasons == {"diverged", "predicted worse"}
    assert scheduler.debug_string() == "Using CurveScheduler: 5 trials were stopped early."


def test_metric_and_mode_are_said_once() -> None:
    scheduler = CurveScheduler(LAST)
    with pytest.raises(DataError, match="needs metric and mode"):
        scheduler.on_trial_add(None, None)
    assert scheduler.set_search_properties("loss", "min")
    assert not scheduler.set_search_properties("loss", "min")


def test_a_restored_experiment_compares_with_the_trials_that_have_ended(tmp_path: Path) -> None:
    def error(config: dict[str, Any]) -> None:
        for epoch in range(1, LAST + 1):
            if config["limit"] == 0.5 and epoch == 2 and not Path(config["mended"]).exists():
                raise RuntimeError("lost")
            tune.report({"loss": config["limit"] + 0.6 * math.exp(-0.3 * epoch)})

    trainable, mended = tune.with_resources(error, {"cpu": 1}), tmp_path / "mended"
    results = tune.Tuner(
        trainable,
        param_space={"limit": tune.grid_search([0.1, 0.5]), "mended": str(mended)},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", scheduler=CurveScheduler(LAST), max_concurrent_trials=1
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
    ).fit()
    assert len(results.errors) == 1
    mended.touch()
    tuner = tune.Tuner.restore(str(tmp_path / "search"), trainable, restart_errored=True)
    assert not tuner.fit().errors
    runs = tuner._local_tuner._tune_config.scheduler.runs
    again = runs.history[0].run
    assert {advice.run for advice in runs.history} == {again}
    assert all(math.isfinite(advice.worse) for advice in runs.history)
    known = runs.curves(again).final[:-1]
    assert known.tolist() == pytest.approx([0.1 + 0.6 * math.exp(-0.3 * LAST)])


def test_a_trial_that_is_tried_again_keeps_its_curve() -> None:
    from ray.tune.experiment import Trial

    controller = SimpleNamespace(get_trials=list)
    scheduler = CurveScheduler(LAST, metric="loss", mode="min")
    trials = [Trial("f", config={"lr": lr}, stub=True) for lr in (0.1, 0.2)]
    for trial in trials:
        scheduler.on_trial_add(controller, trial)
        for epoch in (1, 2, 3):
            result = {"training_iteration": epoch, "loss": 1 / epoch}
            trial.update_last_result(result)
            scheduler.on_trial_result(controller, trial, result)
    failed, other = (trial.trial_id for trial in trials)
    scheduler.on_trial_error(controller, trials[0])
    scheduler.on_trial_add(controller, trials[0])
    scheduler.on_trial_result(controller, trials[0], {"training_iteration": 4, "loss": 0.25})
    assert scheduler.runs.curves(failed).epochs.tolist() == [1, 2, 3, 4, LAST]
    assert scheduler.runs.curves(other).configs["id"].tolist() == [other]


def test_trials_wait_while_better_ones_train_on(tmp_path: Path) -> None:
    """All begin; then the trials train on in the order of their predicted ends."""

    def error(config: dict[str, Any]) -> None:
        import json
        import tempfile

        start, kept = 0, tune.get_checkpoint()
        if kept is not None:
            with kept.as_directory() as folder:
                start = json.loads(Path(folder, "epoch.json").read_text())
        for epoch in range(start + 1, LAST + 1):
            value = 0.1 + 0.1 * config["far"] + 0.6 * math.exp(-0.3 * epoch)
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "epoch.json").write_text(json.dumps(epoch))
                tune.report({"loss": value}, checkpoint=tune.Checkpoint.from_directory(folder))

    scheduler = CurveScheduler(LAST, pause=True)
    results = tune.Tuner(
        tune.with_resources(error, {"cpu": 1}),
        param_space={"far": tune.grid_search([4.0, 1.0, 3.0])},
        tune_config=tune.TuneConfig(metric="loss", mode="min", scheduler=scheduler),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    ).fit()
    assert not results.errors
    history = scheduler.runs.history
    assert [advice.epoch for advice in history[:3]] == [1, 1, 1]  # every trial begins
    best = history[1].run
    assert [advice.epoch for advice in history if advice.run == best] == list(range(1, LAST))
    later = [advice.run for advice in history[3:]]
    assert later[: LAST - 2] == [best] * (LAST - 2)  # the best one trains on to its end
    epochs = {r.config["far"]: r.metrics["training_iteration"] for r in results}
    assert epochs[1.0] == LAST
    assert max(epochs[3.0], epochs[4.0]) < LAST
