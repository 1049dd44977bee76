"""The process over configurations and budgets: what it learns, proposes and leaves out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import ConfigSpace
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from toys import Bowl, conditional_space

from curvecast.studies import bohb
from curvecast.studies.bohb import Settings, run
from curvecast.studies.evaluation import Config, native
from curvecast.studies.surrogate import Surrogate, expected_improvement

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def loss_of(config: Config, budget: float = 9) -> float:
    return (math.log10(config["lr"]) + 3) ** 2 + (config["layers"] - 1) + 1 / budget


def taught(n: int, budgets: tuple[float, ...] = (9,), seed: int = 0) -> Surrogate:
    """A surrogate that has seen uniform draws of the bowl."""
    space = conditional_space()
    space.seed(seed)
    surrogate = Surrogate(space, 9, np.random.RandomState(seed), min_points=5)
    for config in map(dict, space.sample_configuration(n)):
        for budget in budgets:
            surrogate.add(config, budget, loss_of(config, budget))
    return surrogate


def test_expected_improvement_is_the_integral() -> None:
    for mean, std, best in ((0.0, 1.0, 0.3), (2.0, 0.5, 1.0), (-1.0, 2.0, 0.0)):
        area, _ = quad(lambda v: (best - v) * norm.pdf(v, mean, std), -np.inf, best)  # noqa: B023
        got = expected_improvement(np.array([mean]), np.array([std]), best)
        assert got[0] == pytest.approx(area, rel=1e-6)
    certain = expected_improvement(np.array([0.2, 0.9]), np.zeros(2), 0.5)
    assert certain == pytest.approx([0.3, 0.0])


def test_proposals_lie_in_the_bowl() -> None:
    proposed = taught(30).propose()
    assert proposed is not None
    assert abs(math.log10(proposed["lr"]) + 3) < 0.5
    assert proposed["layers"] == 1


def test_low_rungs_alone_show_where_the_bowl_is() -> None:
    proposed = taught(30, budgets=(1, 3)).propose()
    assert proposed is not None
    assert loss_of(proposed) < 1


def test_nothing_is_proposed_from_too_little() -> None:
    assert not taught(4).ready
    assert taught(5).ready


@pytest.mark.parametrize("seed", range(5))
def test_proposals_belong_to_a_conditional_space(seed: int) -> None:
    proposed = taught(12, seed=seed).propose()
    assert proposed is not None
    ConfigSpace.Configuration(conditional_space(), values=proposed)  # raises where it does not
    assert ("momentum" in proposed) == (proposed["optimizer"] == "sgd")


def test_diverged_runs_are_avoided() -> None:
    surrogate = taught(0)
    for config in map(dict, conditional_space().sample_configuration(40)):
        diverged = config["lr"] > 3e-4
        surrogate.add(config, 9, math.inf if diverged else loss_of(config))
    proposed = surrogate.propose()
    assert proposed is not None
    assert proposed["lr"] < 1e-3


def test_what_is_under_evaluation_is_not_proposed_again() -> None:
    one, other = taught(20), taught(20)
    first = one.propose()
    assert first is not None
    second = other.propose(pending=[first] * 3)
    assert second is not None
    assert abs(math.log10(first["lr"]) - math.log10(second["lr"])) > 1e-3


def test_only_the_possible_is_proposed() -> None:
    assert taught(20).propose(possible=lambda config: False) is None
    proposed = taught(20).propose(possible=lambda config: config["layers"] == 3)
    assert proposed is not None
    assert proposed["layers"] == 3


def studied(seed: int, iterations: int = 4, optimizer: str = "bohb_gp", folder: Path | None = None):
    settings = Settings("s", optimizer, workers=0, iterations=iterations, seed=seed)
    return run(settings, Bowl(), folder)


def test_a_study_repeats_itself_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    def course(evaluations: list) -> list[tuple]:
        return [(e.id, e.config, e.budget, e.loss) for e in evaluations]

    whole = studied(1, folder=tmp_path / "whole")
    assert course(whole) == course(studied(1))
    studied(1, iterations=2, folder=tmp_path / "parts")
    assert course(whole) == course(studied(1, folder=tmp_path / "parts"))
    assert course(whole) != course(studied(2))


def test_a_study_finds_what_chance_does_not() -> None:
    def best(optimizer: str) -> float:
        found = [studied(seed, 6, optimizer) for seed in range(4)]
        return float(np.mean([min(e.loss for e in one if e.budget == 9) for one in found]))

    assert best("bohb_gp") < 0.5 * (best("random") - 1 / 9) + 1 / 9


@dataclass
class Forbidding(Bowl):
    """Its best corner, one layer with Adam, is forbidden."""

    def __post_init__(self) -> None:
        super().__post_init__()
        clauses = (
            ConfigSpace.ForbiddenEqualsClause(self.space["optimizer"], "adam"),
            ConfigSpace.ForbiddenEqualsClause(self.space["layers"], 1),
        )
        self.space.add(ConfigSpace.ForbiddenAndConjunction(*clauses))


@pytest.mark.parametrize("optimizer", ["bohb", "bohb_gp"])
def test_forbidden_combinations_are_not_evaluated(optimizer: str) -> None:
    settings = Settings("s", optimizer, workers=0, iterations=6)
    evaluations = run(settings, Forbidding())
    assert sum(e.model_based for e in evaluations) > 5
    assert not [
        e for e in evaluations if (e.config["optimizer"], e.config["layers"]) == ("adam", 1)
    ]
    assert [e for e in evaluations if e.config["layers"] == 1]


def test_with_workers_everything_logged_is_native(tmp_path: Path) -> None:
    settings = Settings("s", "bohb_gp", workers=2, iterations=4, time_limit=60)
    evaluations = run(settings, Bowl(), tmp_path)
    assert [e for e in evaluations if e.model_based]
    for one in bohb.read_evaluations(tmp_path):
        assert one.config == native(one.config)
