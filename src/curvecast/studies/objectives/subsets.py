"""Real training with the share of the training data as budget, and all epochs on every rung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from curvecast.curves import CurveSet, DataError
from curvecast.studies import identity
from curvecast.studies.evaluation import Config, Evaluation, Trial
from curvecast.studies.objectives.training import Training

WHOLE = 100.0


class Subsets(Training):
    """Loss of a configuration after a complete training on `budget` percent of the data.

    A larger share contains the smaller ones. Every rung trains from the start, because a network
    that was trained long on few images is a bad start for more of them. The cost of an evaluation
    is in percent too: 100 is one complete training. The task needs `at_share`.
    """

    def identity(self) -> dict[str, Any]:
        """The identity of the training, with the kind of budget."""
        return {**super().identity(), "fidelity": "data", "subsets": identity.of_code(__name__)}

    def evaluate(self, config: Config, trial: Trial) -> dict[str, Any]:
        """Train on the share; `evaluation.Objective` describes the result."""
        if self.early is not None:
            raise DataError("a stopping rule needs epochs as the budget of a study")
        if trial.budget > WHOLE:
            raise DataError(f"budget {trial.budget:g} is above {WHOLE:g} percent of the data")
        inner = Training(self.task.at_share(trial.budget / WHOLE), self.space)
        whole = replace(trial, budget=self.task.n_epochs, trained=0, directory=None)
        result = inner.evaluate(config, whole)
        used = {"trained": trial.budget, "cost": trial.budget}
        return {**result, "info": {**result["info"], **used}}

    def collect(self, evaluations: Sequence[Evaluation]) -> CurveSet:
        """The runs on all data as a curve collection; curves on less data are others."""
        return super().collect([e for e in evaluations if e.budget == WHOLE])
