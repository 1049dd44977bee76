"""Configurations that a search begins with, and those of earlier searches."""

from __future__ import annotations

from pathlib import Path

import ConfigSpace
import pytest
from toys import Bowl, conditional_space

from curvecast import DataError
from curvecast.data.logs import read
from curvecast.studies.log import read_evaluations
from curvecast.studies.portfolio import portfolio
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def searched(folder: Path, seed: int = 0, **settings: object) -> None:
    run(Settings("s", "bohb", seed=seed, workers=0, iterations=2, **settings), Bowl(), folder)


def best_of(folder: Path) -> list[dict[str, object]]:
    ranked = sorted(read_evaluations(folder), key=lambda e: (-e.budget, e.loss))
    return [e.config for e in ranked if e.budget == 9]


def test_the_best_of_each_source_comes_first_and_then_the_second(tmp_path: Path) -> None:
    searched(tmp_path / "a")
    searched(tmp_path / "b", seed=1)
    one, other = best_of(tmp_path / "a"), best_of(tmp_path / "b")
    chosen = portfolio([tmp_path / "a", tmp_path / "b"], conditional_space(), size=3)
    assert chosen == [one[0], other[0], one[1]]


def test_a_configuration_moves_into_another_space(tmp_path: Path) -> None:
    searched(tmp_path / "a")
    best = best_of(tmp_path / "a")[0]
    space = ConfigSpace.ConfigurationSpace()
    optimizer = ConfigSpace.Categorical("optimizer", ["lion", "muon"], default="lion")
    beta = ConfigSpace.Float("beta", (0.1, 0.9), default=0.5)
    warm = ConfigSpace.Float("warm", (0.0, 1.0), default=0.25)
    space.add(optimizer, beta, warm, ConfigSpace.Integer("layers", (7, 9), default=8))
    space.add(ConfigSpace.EqualsCondition(beta, optimizer, "muon"))
    assert best["layers"] < 7
    assert portfolio([tmp_path / "a"], space, size=1) == [
        {"optimizer": "lion", "layers": 7, "warm": 0.25}
    ]
    space = ConfigSpace.ConfigurationSpace({"depth": (1, 3)})
    with pytest.raises(DataError, match="no parameter of this search"):
        portfolio([tmp_path / "a"], space)
    with pytest.raises(DataError, match="no log of a search there"):
        portfolio([tmp_path / "none"], conditional_space())


def test_curves_of_a_log_are_a_source(tmp_path: Path) -> None:
    """Best first: of the runs that got furthest the lowest loss; a diverged one is none."""
    runs = {"a": (0.1, [3, 1, 2.0]), "b": (0.2, [3, 1, 0.5]), "c": (0.3, [0.1]), "d": (0.4, [1])}
    runs["d"][1].append(float("inf"))
    rows = ["run,epoch,val_loss,lr,layers,optimizer"]
    for name, (lr, losses) in runs.items():
        rows += [f"{name},{i},{loss},{lr},9,sgd" for i, loss in enumerate(losses, 1)]
    file = tmp_path / "log.csv"
    file.write_text("\n".join(rows) + "\n")
    space = ConfigSpace.ConfigurationSpace({"lr": (0.15, 0.9), "warm": (0.0, 1.0)})
    space.add(ConfigSpace.Integer("layers", (1, 8)), ConfigSpace.Categorical("optimizer", ["sgd"]))
    rest = {"layers": 8, "optimizer": "sgd", "warm": 0.5}
    assert portfolio([read(file)], space) == [{"lr": lr, **rest} for lr in (0.2, 0.15, 0.3)]
    assert type(portfolio([read(file)], space)[0]["layers"]) is int


def test_a_log_has_numbers_and_texts_for_categories(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    rows = []
    for name, batch, amp in (("a", 32, True), ("b", 64, False)):
        rows += [f"{name},{epoch},{batch / epoch},{batch},{amp}" for epoch in (1, 2)]
    file.write_text("\n".join(["run,epoch,val_loss,batch,amp", *rows]) + "\n")
    space = ConfigSpace.ConfigurationSpace()
    space.add(
        ConfigSpace.Categorical("batch", [32, 64, 128], default=128),
        ConfigSpace.Categorical("amp", [True, False], default=False),
    )
    chosen = portfolio([read(file)], space)
    assert chosen == [{"amp": True, "batch": 32}, {"amp": False, "batch": 64}]
    assert {type(config["batch"]) for config in chosen} == {int}


@pytest.mark.parametrize("optimizer", ["bohb", "freeze_thaw", "random"])
def test_given_configurations_are_evaluated_first(tmp_path: Path, optimizer: str) -> None:
    points = [
        {"lr": 0.01, "layers": 4, "optimizer": "adam"},
        {"lr": 0.001, "layers": 1, "optimizer": "sgd", "momentum": 0.5},
    ]
    settings = Settings("s", optimizer, workers=0, iterations=2, points_to_evaluate=points)
    run(settings, Bowl(), tmp_path)
    done = read_evaluations(tmp_path)
    assert [e.config for e in done[:2]] == points
    assert len({str(e.config) for e in done}) > 2


def test_a_given_configuration_must_be_of_the_space() -> None:
    point = {"lr": 0.01, "layers": 99, "optimizer": "adam"}
    with pytest.raises(DataError, match=r"points_to_evaluate: number 1 \(.*layers.*\)$"):
        run(Settings("s", "random", workers=0, points_to_evaluate=[point]), Bowl())
