"""Random search: uniform draws, each trained to the full budget."""

from __future__ import annotations

from curvecast.studies.evaluation import Config, ConfigId
from curvecast.studies.samplers import _base

_REDRAWS = 1000


class Sampler(_base.Sampler):
    """Uniform draws; a bracket has as many full evaluations as there are rungs.

    In a finite space no configuration is drawn twice, but where 1000 draws bring no new one.
    """

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """One rung, the highest."""
        return [len(self.rungs)], self.rungs[-1:]

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """A configuration that was not proposed before."""
        for _ in range(_REDRAWS):
            config = dict(self.space.sample_configuration())
            if self.is_new(config):
                break
        self.note(config)
        return config, False
