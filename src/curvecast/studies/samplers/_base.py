"""Defines what every sampler inherits: uniform draws, Hyperband's brackets, and no learning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ConfigSpace
import numpy as np
from hpbandster.core.base_iteration import BaseIteration
from hpbandster.optimizers.iterations import SuccessiveHalving

from curvecast import fidelity
from curvecast.curves import DataError
from curvecast.studies.evaluation import Config, ConfigId
from curvecast.studies.log import StudyLog
from curvecast.studies.settings import Settings

Draw = Callable[[ConfigId, float], tuple[Config, dict[str, Any]]]


class Sampler:
    """Proposes the configurations of a search, and says in which brackets they are evaluated.

    All random numbers come from `random` and from the space, which the scheduler seeds before
    every call of `propose` and `learn`.

    Attributes
    ----------
    possible : turns configurations down that the objective cannot evaluate; None if it can all.
    """

    # Share of uniform draws beside a model; `random_fraction` in the settings replaces it.
    share_at_random = 1 / 3
    # Whether another configuration is drawn in place of an impossible one.
    redraws = True

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        self.space, self.settings = space, settings
        self.random = np.random.RandomState(settings.seed)
        self.possible: Callable[[Config], bool] | None = None
        self._noted: set[tuple[tuple[str, Any], ...]] = set()
        if settings.random_fraction is not None:
            self.share_at_random = settings.random_fraction

    def seed(self, seed: int) -> None:
        """Seed the random numbers."""
        self.random.seed(seed)
        self.space.seed(seed)

    @property
    def has_model(self) -> bool:
        """Whether the next proposals may come from a model."""
        return False

    @property
    def n_brackets(self) -> int | None:
        """Number of brackets; None where only the total budget ends the search."""
        return self.settings.n_brackets

    @property
    def rungs(self) -> list[float]:
        """Budgets from the lowest to the highest rung."""
        return fidelity.rungs(self.settings.min_budget, self.settings.max_budget, self.settings.eta)

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """Configurations per rung and budgets of a bracket; Hyperband's where not overridden."""
        return fidelity.bracket(number, self.rungs, self.settings.eta)

    def bracket(self, number: int, draw: Draw, log: StudyLog) -> BaseIteration:
        """A bracket as hpbandster's iteration, nothing of it started."""
        counts, budgets = self.shape(number)
        return _Bracket(number, counts, budgets, config_sampler=draw, result_logger=log)

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """A configuration, and whether it comes from a model."""
        return dict(self.space.sample_configuration()), False

    def note(self, config: Config) -> None:
        """Remember a configuration, for searches that evaluate none twice."""
        self._noted.add(tuple(sorted(config.items())))

    def is_new(self, config: Config) -> bool:
        """Whether a configuration was never noted."""
        return tuple(sorted(config.items())) not in self._noted

    def learn(self, config_id: ConfigId, config: Config, budget: float, loss: float) -> None:
        """Take in a finished evaluation; the loss is inf where it failed."""


def budget_of_brackets(settings: Settings) -> float:
    """Budget of the settings' number of Hyperband brackets; inf where they have none.

    A run goes on where the rung below ended.
    """
    if settings.n_brackets is None:
        return math.inf
    rungs = fidelity.rungs(settings.min_budget, settings.max_budget, settings.eta)
    shapes = (fidelity.bracket(n, rungs, settings.eta) for n in range(settings.n_brackets))
    return float(sum(np.diff(budgets, prepend=0) @ counts for counts, budgets in shapes))


class _Bracket(SuccessiveHalving):
    """Successive halving whose configurations are drawn by their id."""

    def add_configuration(
        self, config: Config | None = None, config_info: dict[str, Any] | None = None
    ) -> ConfigId:
        config_id = (self.HPB_iter, self.stage, self.actual_num_configs[self.stage])
        return super().add_configuration(*self.config_sampler(config_id, self.budgets[self.stage]))


def refuse_ordinals(space: ConfigSpace.ConfigurationSpace) -> None:
    """Raise DataError for a parameter that no model of a configuration can hold."""
    for name, parameter in space.items():
        if isinstance(parameter, ConfigSpace.OrdinalHyperparameter | ConfigSpace.Constant):
            raise DataError(
                f"the sampler's model has no {type(parameter).__name__}; write it as an integer "
                "or leave it out of the space",
                column=name,
            )
