"""A scheduler for Ray Tune: 12 trials of an error that falls to a limit."""

import math
import tempfile

from ray import tune

from curvecast.integrations.ray import CurveScheduler

EPOCHS = 20


def train(config):
    far = abs(math.log10(config["lr"]) + 2)
    for epoch in range(1, EPOCHS + 1):
        tune.report({"error": 0.1 + 0.1 * far + 0.6 * math.exp(-0.3 * epoch)})


with tempfile.TemporaryDirectory() as folder:
    results = tune.Tuner(
        train,
        param_space={"lr": tune.grid_search([10 ** (-n / 3) for n in range(12)])},
        tune_config=tune.TuneConfig(
            metric="error",
            mode="min",
            scheduler=CurveScheduler(max_t=EPOCHS),
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    ).fit()
epochs = [result.metrics["training_iteration"] for result in results]
print(f"{sum(epochs)} of {12 * EPOCHS} epochs trained")
print(f"best learning rate {results.get_best_result().config['lr']:.3g}")
