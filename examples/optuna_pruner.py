"""A pruner for Optuna: 30 logistic regressions on digits, trained by gradient descent."""

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

from curvecast.integrations.optuna import CurvePruner

EPOCHS = 20
x, y = load_digits(return_X_y=True)
x = x / 16
train, test = np.arange(len(y)) % 3 > 0, np.arange(len(y)) % 3 == 0


def objective(trial: optuna.Trial) -> float:
    model = SGDClassifier(
        loss="log_loss",
        learning_rate="constant",
        eta0=trial.suggest_float("rate", 1e-5, 1, log=True),
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        random_state=0,
    )
    for epoch in range(1, EPOCHS + 1):
        model.partial_fit(x[train], y[train], classes=np.arange(10))
        error = 1 - model.score(x[test], y[test])
        trial.report(error, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return error


optuna.logging.set_verbosity(optuna.logging.WARNING)
sampler = optuna.samplers.RandomSampler(seed=1)
study = optuna.create_study(sampler=sampler, pruner=CurvePruner())
study.optimize(objective, n_trials=30)
states = [trial.state.name for trial in study.trials]
epochs = sum(len(trial.intermediate_values) for trial in study.trials)
print(f"{states.count('PRUNED')} of 30 trials pruned, {epochs} of {30 * EPOCHS} epochs trained")
print(f"best error {study.best_value:.3f}")
last = next(trial for trial in reversed(study.trials) if trial.state.name == "PRUNED")
print({name: last.system_attrs[f"curvecast:{name}"] for name in ("step", "probability", "reason")})
