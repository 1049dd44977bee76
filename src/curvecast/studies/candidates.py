"""Configurations as vectors: inputs of a model of the loss, and candidates for a better one.

Vectors are ConfigSpace's own (numbers in 0..1, a category by its position, NaN where inactive).
"""

from __future__ import annotations

import ConfigSpace
import numpy as np
from ConfigSpace.exceptions import ForbiddenValueError
from ConfigSpace.util import deactivate_inactive_hyperparameters

from curvecast.studies.evaluation import Config

_N_UNIFORM, _N_NEIGHBOURS = 128, 16
# A neighbour differs by a Gaussian of one of these widths (of a range of 1) in each number, and
# takes another category with this chance.
_WIDTHS, _OTHER_CATEGORY = (0.03, 0.1, 0.2), 0.2


class Candidates:
    """The vectors of a search space.

    Parameters
    ----------
    random : where candidates come from.
    """

    def __init__(
        self, space: ConfigSpace.ConfigurationSpace, random: np.random.RandomState
    ) -> None:
        self._space, self._random = space, random
        # Of each parameter; 0 where it is a number.
        self._levels = np.array([p.size if _is_category(p) else 0 for p in space.values()])

    def vector(self, config: Config) -> np.ndarray:
        """The vector of a configuration, shape (n_parameters,)."""
        return ConfigSpace.Configuration(self._space, values=config).get_array()

    def config(self, vector: np.ndarray) -> Config:
        """The configuration of a vector."""
        return dict(ConfigSpace.Configuration(self._space, vector=vector))

    def points(self, vectors: np.ndarray) -> np.ndarray:
        """Coordinates for a kernel, shape (n, n_coordinates).

        Numbers in 0..1, inactive ones in the middle; categories one-hot over the root of 2, so
        that two of them are at distance 1.
        """
        columns = []
        for column, levels in zip(vectors.T, self._levels, strict=True):
            if levels:
                columns += [(column == level) / np.sqrt(2) for level in range(levels)]
            else:
                columns.append(np.where(np.isnan(column), 0.5, column))
        return np.column_stack(columns)

    def draw(self, best: np.ndarray) -> np.ndarray:
        """Draws from the space, and neighbours of the vectors `best`; shape (n, n_parameters)."""
        random, parameters = self._random, self._space.values()
        drawn = [p.sample_vector(_N_UNIFORM, seed=random) for p in parameters]
        near = np.repeat(best, _N_NEIGHBOURS, axis=0)
        width = np.resize(_WIDTHS, len(near))[:, None]
        # What takes the place of another category, or of a parameter that was inactive.
        fresh = np.column_stack([p.sample_vector(len(near), seed=random) for p in parameters])
        other = random.rand(*near.shape) < _OTHER_CATEGORY
        step = np.clip(near + width * random.standard_normal(near.shape), 0, 1)
        moved = np.where(self._levels > 0, np.where(other, fresh, near), step)
        vectors = np.concatenate(
            [np.column_stack(drawn), np.where(np.isnan(moved), fresh, moved)]
        ).astype(np.float64)
        if not (self._space.conditions or self._space.forbidden_clauses):
            return vectors
        active = [self._active(vector) for vector in vectors]
        return np.array([vector for vector in active if vector is not None])

    def _active(self, vector: np.ndarray) -> np.ndarray | None:
        """The vector with NaN where a parameter is inactive; None where the space forbids it."""
        values = dict(ConfigSpace.Configuration(self._space, vector=vector))
        try:
            return deactivate_inactive_hyperparameters(values, self._space).get_array()
        except ForbiddenValueError:
            return None


def _is_category(parameter: object) -> bool:
    return isinstance(parameter, ConfigSpace.CategoricalHyperparameter)
