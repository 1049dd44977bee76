"""Optuna on recorded runs.

    python -m venv V && V/bin/pip install -r benchmarks/peers/optuna.txt
    V/bin/python benchmarks/peers/optuna_peer.py FOLDER

Run it after tables.py; FOLDER is the same.
"""

from __future__ import annotations

from collections.abc import Callable

import optuna
import recorded
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, TPESampler


def study(
    sampler: Callable[..., BaseSampler], pruner: Callable[..., BasePruner], by_epoch: bool
) -> Callable[[recorded.Search, int], None]:
    """A search with a sampler and a pruner that is asked after each epoch."""

    def run(search: recorded.Search, seed: int) -> None:
        def objective(trial: optuna.Trial) -> float:
            config = {name: suggest(trial, name, p) for name, p in search.parameters.items()}
            loss = float("nan")
            for epoch in range(1, search.last + 1) if by_epoch else [search.last]:
                loss = search.evaluate(trial.number, config, epoch)
                trial.report(loss, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return loss

        given = pruner(min_resource=1, max_resource=search.last) if by_epoch else pruner()
        optuna.create_study(sampler=sampler(seed=seed), pruner=given).optimize(objective)

    return run


def suggest(trial: optuna.Trial, name: str, parameter: dict[str, object]) -> object:
    """A value of a parameter as recorded.py describes them."""
    if "choices" in parameter:
        return trial.suggest_categorical(name, parameter["choices"])
    ask = trial.suggest_int if parameter["integer"] else trial.suggest_float
    return ask(name, parameter["low"], parameter["high"], log=parameter["log"])


SEARCHES = {
    "optuna_tpe_hyperband": study(TPESampler, HyperbandPruner, True),
    "optuna_tpe_median": study(TPESampler, lambda **_: MedianPruner(), True),
    "optuna_gp": study(GPSampler, NopPruner, False),
}

if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    recorded.main(SEARCHES, __doc__)
