"""Freeze-thaw searches: which runs begin, pause and train on, and the studies around them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import ConfigSpace
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from toys import Bowl, Diverging, conditional_space

from curvecast import DataError
from curvecast.studies.definitions import study_of
from curvecast.studies.evaluation import Config, Evaluation, native
from curvecast.studies.log import read_evaluations
from curvecast.studies.samplers.freeze_thaw import (
    NEW_SHARE,
    Sampler,
    expected_improvement,
)
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PAUSES = [1, 2, 4, 9]


def loss_of(config: Config, budget: float = 9) -> float:
    return (math.log10(config["lr"]) + 3) ** 2 + (config["layers"] - 1) + 1 / budget


def taught(n: int, n_pauses: int = 2, seed: int = 0) -> Sampler:
    """A search that has evaluated uniform draws of the bowl."""
    space = conditional_space()
    space.seed(seed)
    search = Sampler(space, Settings("s", "freeze_thaw", seed=seed))
    for number, config in enumerate(map(dict, space.sample_configuration(n))):
        for _ in range(n_pauses):
            budget = search.begin((0, 0, number), config)
            search.learn((0, 0, number), config, budget, loss_of(config, budget))
    return search


def config_of(number: int) -> Config:
    """A configuration of `taught(30)`."""
    space = conditional_space()
    space.seed(0)
    return dict(space.sample_configuration(30)[number])


def test_expected_improvement_is_the_integral() -> None:
    for mean, std, best in ((0.0, 1.0, 0.3), (2.0, 0.5, 1.0), (-1.0, 2.0, 0.0)):
        area, _ = quad(lambda v: (v - best) * norm.pdf(v, mean, std), best, np.inf)  # noqa: B023
        got = expected_improvement(np.array([mean]), np.array([std]), best)
        assert got[0] == pytest.approx(area, rel=1e-6)
    certain = expected_improvement(np.array([0.8, 0.1]), np.zeros(2), 0.5)
    assert certain == pytest.approx([0.3, 0.0])


def test_the_budget_is_that_of_the_brackets() -> None:
    def total(**settings: float | None) -> float:
        given = Settings("s", "freeze_thaw", workers=0, **settings)
        return Sampler(conditional_space(), given).total_budget

    evaluations = run(Settings("s", max_budget=9, iterations=3, workers=0), Bowl())
    assert total(max_budget=9, iterations=3) == sum(e.cost for e in evaluations)
    assert total(iterations=None, total_budget=70) == 70
    assert total(iterations=3, total_budget=7) == 7


def test_the_most_promising_run_trains_on() -> None:
    search = taught(30)
    key = search.continued()
    assert key is not None
    space = conditional_space()
    space.seed(0)
    losses = [loss_of(dict(config)) for config in space.sample_configuration(30)]
    assert losses[key[2]] <= np.sort(losses)[2]


def test_new_configurations_get_their_share() -> None:
    search = taught(30, n_pauses=4)
    assert NEW_SHARE * search.spent >= 30
    assert search.continued() is None
    assert taught(30, n_pauses=2).continued() is not None


def test_a_run_under_way_does_not_begin_again() -> None:
    search = taught(30)
    continued = []
    for _ in range(4):
        key = search.continued()
        assert key is not None
        config = config_of(key[2])
        assert search.begin(key, config) == 4
        continued.append(key)
    assert len(set(continued)) == 4


def test_a_failed_run_never_trains_on() -> None:
    search = taught(30)
    key = search.continued()
    assert key is not None
    config = config_of(key[2])
    search.begin(key, config)
    search.learn(key, config, 4, math.inf)
    assert search.continued() != key


def test_proposals_lie_in_the_bowl() -> None:
    for proposed in (taught(30).most_promising(), taught(30, n_pauses=4).most_promising()):
        assert proposed is not None
        assert loss_of(proposed) < 0.6


def test_nothing_is_modelled_from_too_little() -> None:
    assert not taught(7, n_pauses=1).is_taught
    assert taught(7, n_pauses=1).continued() is None
    assert taught(8, n_pauses=1).is_taught
    diverged = taught(0)
    for number, config in enumerate(map(dict, conditional_space().sample_configuration(9))):
        diverged.begin((0, 0, number), config)
        diverged.learn((0, 0, number), config, 1, math.inf)
    assert not diverged.is_taught


@pytest.mark.parametrize("seed", range(5))
def test_proposals_belong_to_a_conditional_space(seed: int) -> None:
    proposed = taught(12, seed=seed).most_promising()
    assert proposed is not None
    ConfigSpace.Configuration(conditional_space(), values=proposed)  # raises where it does not
    assert ("momentum" in proposed) == (proposed["optimizer"] == "sgd")


def chained_space() -> ConfigSpace.ConfigurationSpace:
    """A schedule has a step, a step of several epochs has a factor; two numbers are forbidden."""
    space = ConfigSpace.ConfigurationSpace(seed=0)
    schedule = ConfigSpace.Categorical("schedule", ["none", "step", "cosine"])
    step = ConfigSpace.Integer("step", (1, 4))
    factor = ConfigSpace.Float("factor", (0.1, 1.0))
    warm = ConfigSpace.Float("warm", (0.0, 1.0))
    space.add(schedule, step, factor, warm)
    space.add(ConfigSpace.EqualsCondition(step, schedule, "step"))
    space.add(ConfigSpace.GreaterThanCondition(factor, step, 1))
    space.add(ConfigSpace.InCondition(warm, schedule, ["step", "cosine"]))
    space.add(ConfigSpace.ForbiddenInClause(step, [2, 3]))
    return space


def test_candidates_are_those_of_configspace_where_conditions_follow_each_other() -> None:
    space = chained_space()
    search = Sampler(space, Settings("s", "freeze_thaw"))
    for number, config in enumerate(map(dict, space.sample_configuration(12))):
        budget = search.begin((0, 0, number), config)
        search.learn((0, 0, number), config, budget, len(config) + number / 12)
    vectors = np.array([run.vector for run in search._runs.values()])
    configs = [search._candidates.config(v) for v in search._candidates.draw(vectors)]
    for config in configs:
        ConfigSpace.Configuration(space, values=config)  # raises where the space refuses it
    kinds = Counter((c["schedule"], c.get("step"), "factor" in c, "warm" in c) for c in configs)
    assert set(kinds) == {
        ("none", None, False, False),
        ("cosine", None, False, True),
        ("step", 1, False, True),
        ("step", 4, True, True),
    }


def test_only_the_possible_is_proposed() -> None:
    search = taught(20)
    search.possible = lambda config: False
    assert search.most_promising() is None
    search = taught(20)
    search.possible = lambda config: config["layers"] == 3
    proposed = search.most_promising()
    assert proposed is not None
    assert proposed["layers"] == 3


def course(evaluations: list[Evaluation]) -> list[tuple]:
    return [(e.id, e.config, e.budget, e.loss) for e in evaluations]


def studied(
    seed: int, iterations: int = 4, optimizer: str = "freeze_thaw", folder: Path | None = None
) -> list[Evaluation]:
    settings = Settings("s", optimizer, workers=0, iterations=iterations, seed=seed)
    return run(settings, Bowl(), folder)


def test_a_study_repeats_itself_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    whole = studied(1, folder=tmp_path / "whole")
    assert course(whole) == course(studied(1))
    studied(1, iterations=2, folder=tmp_path / "parts")
    assert course(whole) == course(studied(1, folder=tmp_path / "parts"))
    assert course(whole) != course(studied(2))


def test_runs_pause_and_train_on_in_the_order_of_the_pauses() -> None:
    evaluations = studied(3, iterations=8)
    by_run: dict[tuple, list[float]] = {}
    for e in evaluations:
        by_run.setdefault(e.id, []).append(e.budget)
    assert all(budgets == PAUSES[: len(budgets)] for budgets in by_run.values())
    lengths = Counter(len(budgets) for budgets in by_run.values())
    assert lengths[1] > 2
    assert lengths[len(PAUSES)] > 2
    assert any(a.id != b.id and b.budget > 1 for a, b in pairwise(evaluations))


def test_a_study_finds_what_chance_does_not() -> None:
    def best(optimizer: str) -> float:
        found = [studied(seed, 6, optimizer) for seed in range(4)]
        return float(np.mean([min(e.loss for e in one if e.budget == 9) for one in found]))

    assert best("freeze_thaw") < 0.3 * (best("random") - 1 / 9) + 1 / 9


def test_diverged_evaluations_are_survived() -> None:
    evaluations = run(Settings("s", "freeze_thaw", workers=0, iterations=8), Diverging())
    failed = {e.id for e in evaluations if e.reason is not None}
    assert failed
    assert all(n == 1 for key, n in Counter(e.id for e in evaluations).items() if key in failed)
    proposed = [e.config["layers"] for e in evaluations if e.model_based and e.budget == 1]
    assert np.mean(np.array(proposed) == 4) < 0.2


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


@pytest.mark.parametrize("optimizer", ["bohb", "freeze_thaw"])
def test_forbidden_combinations_are_not_evaluated(optimizer: str) -> None:
    settings = Settings("s", optimizer, workers=0, iterations=6)
    evaluations = run(settings, Forbidding())
    assert sum(e.model_based for e in evaluations) > 5
    assert not [
        e for e in evaluations if (e.config["optimizer"], e.config["layers"]) == ("adam", 1)
    ]
    assert [e for e in evaluations if e.config["layers"] == 1]


class Picky(Bowl):
    """Cannot train its best configurations, those with one layer."""

    def possible(self, config: Config) -> bool:
        return config["layers"] > 1


def test_the_impossible_is_neither_proposed_nor_drawn() -> None:
    evaluations = run(Settings("s", "freeze_thaw", workers=0, iterations=6), Picky())
    assert min(e.config["layers"] for e in evaluations) == 2
    assert sum(e.model_based for e in evaluations) > 0.5 * len(evaluations)


def test_with_workers_nothing_is_done_twice(tmp_path: Path) -> None:
    settings = Settings("s", "freeze_thaw", workers=2, iterations=4, time_limit=60)
    calls = tmp_path / "calls"
    evaluations = run(settings, Bowl(calls=calls), tmp_path / "study")
    assert [e for e in evaluations if e.model_based]
    assert set(Counter(calls.read_text().splitlines()).values()) == {1}
    for one in read_evaluations(tmp_path / "study"):
        assert one.config == native(one.config)
    # What is logged is looked up, in whatever order two workers had finished it.
    longer = Settings("s", "freeze_thaw", workers=2, iterations=6, time_limit=60)
    more = run(longer, Bowl(calls=calls), tmp_path / "study")
    assert len(more) > len(evaluations)
    assert course(more)[: len(evaluations)] == course(evaluations)
    assert set(Counter(calls.read_text().splitlines()).values()) == {1}


def test_what_does_not_fit_is_refused() -> None:
    definition = {
        "objective": "recorded",
        "datasets": ["embedded/digits_mlp"],
        "optimizers": ["bohb", "freeze_thaw"],
        "stopping": {"Delta": 0.8},
    }
    with pytest.raises(DataError, match="'s': freeze_thaw decides itself when a run pauses"):
        study_of("s", definition)
