"""How a study searches; apart from what runs it, so that planning does not import hpbandster."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from curvecast.curves import DataError

OPTIMIZERS = ("bohb", "freeze_thaw", "hyperband", "random", "grid")


@dataclass(frozen=True)
class Settings:
    """How a study searches.

    Attributes
    ----------
    name : name of the study.
    optimizer : "bohb", "freeze_thaw" (no brackets: runs are paused and taken up again, see
        `studies.freeze_thaw`), "hyperband", "random" (full budget only) or "grid" (every
        combination of the space's categories once, full budget only; it ends by itself).
    eta : one in eta configurations goes on to the next rung.
    min_budget, max_budget : budgets of the lowest and the highest rung; whole numbers (epochs)
        give whole rungs.
    iterations : number of brackets; None where `total_budget` ends the study. freeze_thaw uses
        the budget of as many brackets of BOHB.
    total_budget : no evaluation is started once this much budget is used; for studies inside
        this process only.
    workers : processes that evaluate at the same time; 0 evaluates inside this process.
    seed : of the search.
    timeout : seconds after which one evaluation counts as hung; None waits for ever.
    time_limit : seconds after which the study is ended with an error; None waits for ever.
    random_fraction : share of configurations that are drawn uniformly although there is a model;
        default: 1/3 as in hpbandster, .1 for freeze_thaw, whose expected improvement explores
        by itself.
    min_points_in_model, top_n_percent, num_samples, bandwidth_factor, min_bandwidth : hpbandster's
        options of BOHB with its defaults.
    """

    name: str
    optimizer: str = "bohb"
    eta: float = 3
    min_budget: float = 1
    max_budget: float = 9
    iterations: int | None = 4
    total_budget: float | None = None
    workers: int = 1
    seed: int = 0
    timeout: float | None = None
    time_limit: float | None = None
    min_points_in_model: int | None = None
    top_n_percent: int = 15
    num_samples: int = 64
    random_fraction: float | None = None
    bandwidth_factor: float = 3
    min_bandwidth: float = 1e-3

    def __post_init__(self) -> None:
        problems = [
            (self.optimizer not in OPTIMIZERS, f"optimizer is not one of {', '.join(OPTIMIZERS)}"),
            (not self.eta >= 2, "eta is below 2"),
            (not 0 < self.min_budget <= self.max_budget, "budgets are not 0 < min <= max"),
            (self.iterations is None and self.total_budget is None, "nothing ends the study"),
            (
                self.total_budget is not None and self.workers > 0,
                "total_budget needs workers: 0 (inside this process)",
            ),
        ]
        for broken, problem in problems:
            if broken:
                raise DataError(f"study {self.name!r}: {problem}")

    @property
    def share_at_random(self) -> float:
        """`random_fraction`, or the optimiser's default."""
        if self.random_fraction is not None:
            return self.random_fraction
        return 0.1 if self.optimizer == "freeze_thaw" else 1 / 3

    @property
    def identity(self) -> dict[str, Any]:
        """What decides about the course of the study, without what only ends or speeds it."""
        ends = ("iterations", "total_budget", "workers", "timeout", "time_limit")
        return {name: value for name, value in asdict(self).items() if name not in ends}
