"""Searches over layers: the agent's rule, its walks, evolution, and recorded networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import Bowl

from curvecast import CurveSet, DataError, layers
from curvecast.report.figures import layer_search as layer_figures
from curvecast.studies.jobs import run_job
from curvecast.studies.layer_search import epsilon_at, networks_of, search_rows
from curvecast.studies.log import read_evaluations
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.samplers.metaqnn import Sampler
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import layers as spaces
from curvecast.studies.spaces import load_space
from curvecast.studies.summary import incumbents

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SEARCH: dict[str, Any] = {"min_budget": 20, "max_budget": 20, "iterations": 60, "workers": 0}


def recorded() -> CurveSet:
    """Every network of the small space; wide networks with dense layers are good."""
    networks = list(layers.DIGITS.networks())
    columns = pd.DataFrame([layers.config_of(network) for network in networks]).fillna("")
    rng = np.random.default_rng(0)
    wide = np.array([np.mean([a[0] == 16 for k, a in n if k == "C"]) for n in networks])
    dense = np.array([any(k == "FC" for k, _ in n) for n in networks])
    final = 0.5 + 0.25 * wide + 0.15 * dense + 0.01 * rng.standard_normal(len(networks))
    epochs = np.arange(21)
    values = 0.1 + (final[:, None] - 0.1) * (1 - np.exp(-epochs / 3))
    configs = pd.DataFrame(
        {
            "id": [f"n{i}" for i in range(len(networks))],
            "group": np.arange(len(networks)),
            "ap_num_params": [layers.n_weights(network, 8, 1) for network in networks],
            **{f"info_{name}": columns[name] for name in sorted(columns)},
            "end_test_accuracy": final,
        }
    )
    return CurveSet(
        configs=configs,
        values=values,
        epochs=epochs,
        metric="validation accuracy",
        direction="maximize",
        name="embedded/toy_layers",
        source="made up",
    )


def agent(**settings: Any) -> Sampler:
    return Sampler(load_space("layers.digits"), Settings("s", "metaqnn", **{**SEARCH, **settings}))


def test_the_update_of_three_networks_by_hand() -> None:
    search = agent()
    conv, other, pool, end = layers.parse("[C(4,1,1), C(16,3,1), P(2,2), SM(10)]")
    rules, start = layers.DIGITS, layers.DIGITS.state(())
    search.update((conv, end), 0.9)
    after_conv = rules.state((conv,))
    assert search.values[after_conv][end] == pytest.approx(0.504)  # .99 * .5 + .01 * .9
    # From the last to the first: the first action already sees the new value of the end.
    assert search.values[start][conv] == pytest.approx(0.99 * 0.5 + 0.01 * 0.504)
    search.update((conv, pool, end), 0.1)
    after_pool = rules.state((conv, pool))
    assert search.values[after_pool][end] == pytest.approx(0.496)
    # The best action after pooling is one that was never taken: .5.
    assert search.values[after_conv][pool] == pytest.approx(0.5)
    first = 0.99 * (0.99 * 0.5 + 0.01 * 0.504) + 0.01 * 0.504
    assert search.values[start][conv] == pytest.approx(first)
    search.update((other, end), 0.0)
    assert search.values[rules.state((other,))][end] == pytest.approx(0.495)
    assert search.values[start][other] == pytest.approx(0.5)
    assert search.walk(0.0)[:2] == (conv, end)


def test_epsilon_falls_as_published() -> None:
    published = [epsilon_at(number, 2700) for number in range(2700)]
    assert [published.count(e) for e in (1.0, 0.9, 0.7, 0.6, 0.1)] == [1500, 100, 100, 150, 150]
    scaled = [epsilon_at(number, 270) for number in range(270)]
    assert scaled == published[::10]
    assert epsilon_at(300, 270) == 0.1


def test_no_search_proposes_a_network_twice_and_the_agents_learn() -> None:
    curves = recorded()
    space = load_space("layers.digits")
    best = set(np.argsort(-curves.final)[:60].tolist())
    made, hits = {}, {}
    for optimizer in ("metaqnn", "evolution", "random"):
        settings = Settings("s", optimizer, **SEARCH | {"iterations": 120})
        made[optimizer] = run(settings, Recorded(curves, space))
        settings = Settings("s", optimizer, **SEARCH | {"iterations": 200})
        longer = run(settings, Recorded(curves, space))
        hits[optimizer] = len(best & {e.info["row"] for e in longer})
    for evaluations in made.values():
        texts = [layers.text_of(layers.of_config(e.config)) for e in evaluations]
        assert len(set(texts)) == len(texts) == 120
    for optimizer in ("metaqnn", "evolution"):
        assert all(e.info["distance"] == 0 for e in made[optimizer])
        late = np.mean([-e.loss for e in made[optimizer][60:]])
        assert late > np.mean([-e.loss for e in made["random"]]) + 0.01
        assert hits[optimizer] > hits["random"]
    assert all(e.model_based for e in made["metaqnn"][-40:])
    assert not any(e.model_based for e in made["metaqnn"][:60])


def test_a_killed_search_goes_on_as_it_would_have(tmp_path: Path) -> None:
    objective = Recorded(recorded(), load_space("layers.digits"))
    settings = Settings("s", "metaqnn", **SEARCH)
    whole = run(settings, objective, tmp_path / "whole")
    run(settings, objective, tmp_path / "cut")
    for name, n_lines in (("results.json", 41), ("configs.json", 42)):
        file = tmp_path / "cut" / name
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:n_lines]))
    again = run(settings, objective, tmp_path / "cut")
    assert [(e.config, e.loss) for e in again] == [(e.config, e.loss) for e in whole]
    assert len(read_evaluations(tmp_path / "cut")) == 60


def test_a_stopped_network_counts_with_its_prediction() -> None:
    rule = {"predictor": "last_value", "Delta": 0.9, "min_runs": 10}
    definition = {
        "objective": "recorded", "datasets": ["x"], "space": "layers.digits", "seeds": 1,
        "optimizers": ["metaqnn"], **SEARCH, "stopping": rule,
    }  # fmt: skip
    frame = run_job("s", definition, "metaqnn", curves=recorded())["evaluations"]
    assert isinstance(frame, pd.DataFrame)
    assert set(frame["optimizer"]) == {"f-metaqnn:last_value"}
    assert frame["stopped"].notna().sum() > 10
    assert frame["cost"].sum() < 20 * 60
    assert (frame["test"] > 0.4).all()


def test_a_search_that_really_trains_goes_on_after_a_kill(tmp_path: Path) -> None:
    definition = {
        "objective": "training", "task": "images", "space": "layers.digits",
        "task_options": {"network": "layers", "n_epochs": 3, "fixed": "layers.RECIPE"},
        "optimizers": ["metaqnn"], "min_budget": 3, "max_budget": 3, "iterations": 12,
        "workers": 1, "stopping": {"predictor": "last_value", "Delta": 0.6, "min_runs": 4},
    }  # fmt: skip
    whole = run_job("s", definition, "metaqnn", 0, tmp_path / "whole")
    run_job("s", {**definition, "iterations": 7}, "metaqnn", 0, tmp_path / "cut")
    again = run_job("s", definition, "metaqnn", 0, tmp_path / "cut")
    frames = [made["evaluations"] for made in (whole, again)]
    columns = ["config", "loss", "cost", "stopped", "test"]
    assert len(frames[0]) == 12
    assert frames[0]["stopped"].notna().any()
    assert (frames[0]["cost"] < 3).any()
    epsilons = [networks_of(frame)["epsilon"].tolist() for frame in frames]
    assert epsilons[0] == epsilons[1]
    pd.testing.assert_frame_equal(frames[0][columns], frames[1][columns])
    curves = whole["curves"]
    assert isinstance(curves, CurveSet)
    assert {"ap_num_params", "ap_depth", "info_layer_1"} <= set(curves.configs)


def test_the_table_and_figures_of_searches() -> None:
    curves = recorded()
    definition = {
        "objective": "recorded", "datasets": ["x"], "space": "layers.digits", "seeds": 2,
        "optimizers": ["metaqnn"], **SEARCH,
    }  # fmt: skip
    rule = {"predictor": "last_value", "Delta": 0.9, "min_runs": 10}
    made = [
        run_job("s", definition, "metaqnn", curves=curves)["evaluations"],
        run_job("s", {**definition, "stopping": rule}, "metaqnn", curves=curves)["evaluations"],
        run_job("s", {**definition, "optimizers": ["bohb"]}, "bohb", curves=curves)["evaluations"],
    ]
    frame = pd.concat(made, ignore_index=True)
    table = search_rows(frame, n_first=20).set_index("optimizer")
    assert list(table.index) == ["metaqnn", "f-metaqnn:last_value", "bohb"]
    whole, stopped = table.loc["metaqnn"], table.loc["f-metaqnn:last_value"]
    assert (whole["networks"], whole["unique"], whole["epochs"]) == (60, 60, 1200)
    assert np.isnan(whole["speedup"])
    assert stopped["speedup"] == pytest.approx(1200 / stopped["epochs"])
    assert stopped["speedup_after"] > stopped["speedup"] > 1
    last = [-incumbents(part)["loss"].iloc[-1] for _, part in made[0].groupby("seed")]
    assert whole["validation"] == pytest.approx(np.mean(last))
    assert stopped["change"] == pytest.approx(stopped["validation"] - whole["validation"])
    drawn = networks_of(made[0])
    random = drawn[drawn["epsilon"] == 1]
    assert len(random) == 2 * 34
    assert whole["reward_1.0"] == pytest.approx(random["reward"].mean())
    assert table.loc["bohb", "reward_1.0":].isna().all()
    assert len(layer_figures.course(frame).axes) == 2
    assert len(layer_figures.learned(frame).axes) == 2


def test_spaces_of_layers() -> None:
    for name in ("digits", "small", "small_28", "cifar10", "svhn"):
        space = load_space(f"layers.{name}")
        rules = spaces.rules_of(space)
        assert rules is not None
        assert len(space) == rules.max_depth + 2
        holds = spaces.possible(space)
        assert holds is not None
        space.seed(0)
        drawn = [dict(config) for config in space.sample_configuration(50)]
        assert any(map(holds, drawn))
    assert spaces.possible(Bowl().space) is None
    with pytest.raises(DataError, match="metaqnn searches a space of layers"):
        Sampler(Bowl().space, Settings("s", "metaqnn"))
    with pytest.raises(DataError, match="metaqnn needs iterations"):
        Sampler(load_space("layers.digits"), Settings("s", "metaqnn", total_seconds=9))
