"""Random search: uniform draws, each trained to the full budget."""

from __future__ import annotations

from curvecast.studies.samplers import _base


class Sampler(_base.Sampler):
    """Uniform draws; a bracket has as many full evaluations as there are rungs."""

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """One rung, the highest."""
        return [len(self.rungs)], self.rungs[-1:]
