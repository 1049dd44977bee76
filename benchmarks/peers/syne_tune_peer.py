"""syne-tune on recorded runs, one trial after the other.

    python -m venv V && V/bin/pip install --no-deps -r benchmarks/peers/syne_tune.txt
    V/bin/python benchmarks/peers/syne_tune_peer.py FOLDER

Run it after tables.py; FOLDER is the same.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable

import numpy as np
import recorded
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
from syne_tune.optimizer.baselines import ASHA, ASHACQR, BOHB
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler


def scheduled(scheduler: type[TrialScheduler]) -> Callable[[recorded.Search, int], None]:
    """A search in which a trial trains until it is stopped."""

    def run(search: recorded.Search, seed: int) -> None:
        np.random.seed(seed)  # noqa: NPY002 - what syne-tune draws from
        space = {name: domain(p) for name, p in search.parameters.items()}
        decides = scheduler(
            space, metric="loss", time_attr="epoch", max_t=search.last, random_seed=seed
        )
        for number in range(search.total):
            trial = Trial(number, decides.suggest().config, datetime.datetime.now())
            decides.on_trial_add(trial)
            for epoch in range(1, search.last + 1):
                result = {"loss": search.evaluate(number, trial.config, epoch), "epoch": epoch}
                if decides.on_trial_result(trial, result) != SchedulerDecision.CONTINUE:
                    break

    return run


def domain(parameter: dict[str, object]) -> object:
    """A parameter as recorded.py describes them, as a domain of syne-tune."""
    if "choices" in parameter:
        return choice(parameter["choices"])
    kinds = {(1, 1): lograndint, (1, 0): randint, (0, 1): loguniform, (0, 0): uniform}
    kind = kinds[int(parameter["integer"]), int(parameter["log"])]
    return kind(parameter["low"], parameter["high"])


SEARCHES = {
    "syne_tune_asha": scheduled(ASHA),
    "syne_tune_bohb": scheduled(BOHB),
    "syne_tune_asha_cqr": scheduled(ASHACQR),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    recorded.main(SEARCHES, __doc__)
