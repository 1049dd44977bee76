"""Grid search: every combination of the space's categories once, at the full budget."""

from __future__ import annotations

import ConfigSpace
from ConfigSpace.hyperparameters import NumericalHyperparameter
from ConfigSpace.util import generate_grid

from curvecast.curves import DataError
from curvecast.studies.evaluation import Config, ConfigId, native
from curvecast.studies.samplers import _base
from curvecast.studies.settings import Settings


class Sampler(_base.Sampler):
    """One combination per bracket. Raises DataError for a range among the parameters."""

    redraws = False

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        super().__init__(space, settings)
        for name, parameter in space.items():
            if isinstance(parameter, NumericalHyperparameter):
                raise DataError("a grid needs categories, not a range", column=name)
        grid = [native(dict(config)) for config in generate_grid(space)]
        # Given configurations come first, in place of their turn.
        given = settings.points_to_evaluate
        self._grid = [*given, *(config for config in grid if config not in given)]

    @property
    def n_brackets(self) -> int:
        """Number of combinations."""
        return len(self._grid)

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """One configuration at the full budget."""
        return [1], self.rungs[-1:]

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """The combination with the number of the bracket."""
        return self._grid[config_id[0]], False
