"""curvecast's own searches on the same recorded runs; `bohb` is hpbandster's.

    python benchmarks/peers/curvecast_peer.py FOLDER

Run it after tables.py; FOLDER is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import recorded
import spaces

from curvecast.studies.evaluation import Config, Objective, Trial
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings


class Table(Objective):
    """A table as an objective. A study works on a copy of it."""

    def __init__(self, search: recorded.Search) -> None:
        self.search, self.space = search, spaces.of(search.parameters)

    def identity(self) -> dict[str, Any]:
        """A table is read once and logs nothing."""
        return {}

    def evaluate(self, config: Config, trial: Trial) -> Mapping[str, Any]:
        """The loss, and the epochs that are new."""
        before = self.search.used
        loss = self.search.evaluate(trial.id, config, trial.budget)
        return {"loss": loss, "info": {"cost": self.search.used - before, "trained": trial.budget}}


def search_by(optimizer: str) -> Callable[[recorded.Search, int], None]:
    """A study with one of curvecast's samplers."""

    def run_study(search: recorded.Search, seed: int) -> None:
        budgets = {"max_budget": search.last, "total_budget": search.total}
        settings = Settings("peers", optimizer, seed=seed, workers=0, **budgets)
        for done in run(settings, Table(search)):
            search.evaluate(done.id, done.config, done.budget)

    return run_study


SEARCHES = {
    "freeze_thaw": search_by("freeze_thaw"),
    "hpbandster_bohb": search_by("bohb"),
    "hyperband": search_by("hyperband"),
    "random": search_by("random"),
}

if __name__ == "__main__":
    recorded.main(SEARCHES, __doc__)
