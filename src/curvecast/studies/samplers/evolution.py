"""Regularised evolution: a mutant of the best of a sample replaces the oldest of the population.

Real, Aggarwal, Huang, Le (2019): Regularized evolution for image classifier architecture search.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

import ConfigSpace
from ConfigSpace.util import get_one_exchange_neighbourhood

from curvecast.studies.evaluation import Config, ConfigId, StudyError
from curvecast.studies.samplers import _base
from curvecast.studies.settings import Settings

# A quarter of the population is compared, as published for 100; smaller for shorter searches.
_POPULATION, _SAMPLE = 48, 12
_DRAWS_UNTIL_NEW = 1000


class Sampler(_base.Sampler):
    """The population of the last configurations, one per bracket at the full budget."""

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        super().__init__(space, settings)
        self._population: deque[tuple[float, Config]] = deque(maxlen=_POPULATION)

    @property
    def has_model(self) -> bool:
        """Whether the population is complete."""
        return len(self._population) == _POPULATION

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """One configuration at the full budget."""
        return [1], self.rungs[-1:]

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """A possible neighbour of the best of a sample that is new; a uniform draw before."""
        for _ in range(_DRAWS_UNTIL_NEW):
            candidates: Iterable[Config] = (
                self._neighbours() if self.has_model else [super().propose(config_id, budget)[0]]
            )
            for candidate in candidates:
                possible = self.possible is None or self.possible(candidate)
                if possible and self.is_new(candidate):
                    self.note(candidate)
                    return candidate, self.has_model
        raise StudyError(f"none of {_DRAWS_UNTIL_NEW} draws has a new configuration")

    def _neighbours(self) -> Iterator[Config]:
        rows = self.random.choice(_POPULATION, _SAMPLE, replace=False)
        _, parent = min((self._population[i] for i in rows), key=lambda member: member[0])
        start = ConfigSpace.Configuration(self.space, values=parent)
        seed = int(self.random.randint(2**31))
        return map(dict, get_one_exchange_neighbourhood(start, seed=seed))

    def learn(self, config_id: ConfigId, config: Config, budget: float, loss: float) -> None:
        """Add the configuration; the oldest one of a full population leaves."""
        self._population.append((loss if math.isfinite(loss) else math.inf, config))
        self.note(config)
