"""Recorded curves as a benchmark, evaluations that a rule ends, and the tables of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ConfigSpace
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from curvecast import CurveSet, DataError
from curvecast.studies import summary
from curvecast.studies.early import EarlyEnd, _milestone, heavier_tailed
from curvecast.studies.evaluation import Evaluation, Trial
from curvecast.studies.jobs import incumbent, replay
from curvecast.studies.objectives.recorded import Recorded
from curvecast.studies.samplers import load
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
Make = Callable[..., CurveSet]


@pytest.fixture
def parallel(make_curves: Make) -> CurveSet:
    """300 curves of one shape, which end in the order in which they begin."""
    curves = make_curves(300, last_epoch=27)
    noise = 0.002 * np.random.default_rng(1).standard_normal(curves.values.shape)
    shape = 0.6 * np.exp(-0.15 * curves.epochs)
    return replace(curves, values=curves.final[:, None] - shape + noise)


def trial(budget: float, *, trained: float = 0, history: tuple[Evaluation, ...] = ()) -> Trial:
    return Trial((0, 0, 0), 1, budget, trained, 3, 1, budget, None, history)


def test_a_recorded_configuration_is_itself(make_curves: Make) -> None:
    curves = make_curves(40)
    objective = Recorded(curves)
    config = curves.configs.loc[7, ["hp_lr", "hp_optimizer", "ap_layers"]].to_dict()
    assert objective.nearest(config) == (7, pytest.approx(0, abs=1e-9))
    result = objective.evaluate(config, trial(5))
    assert result["loss"] == -curves.values[7, 4]
    assert result["info"]["row"] == 7
    assert result["info"]["cost"] == 5


def test_a_configuration_off_the_table_goes_to_the_nearest_row(make_curves: Make) -> None:
    curves = make_curves(40)
    rate, layers = curves.configs["hp_lr"], curves.configs["ap_layers"]
    span = np.log(rate.max()) - np.log(rate.min())
    config = {"hp_lr": 0.003, "hp_optimizer": "adam", "ap_layers": 2}
    expected = (
        ((np.log(rate) - np.log(0.003)) / span) ** 2
        + ((layers - 2) / 3) ** 2
        + (curves.configs["hp_optimizer"] != "adam")
    ) ** 0.5
    row, distance = Recorded(curves).nearest(config)
    assert row == expected.argmin()
    assert distance == pytest.approx(expected.min())


def test_a_used_row_is_not_used_by_another_configuration(make_curves: Make) -> None:
    objective = Recorded(make_curves(4))
    config = {"hp_lr": 0.003, "hp_optimizer": "adam", "ap_layers": 2}
    used: list[int] = []
    distances = []
    for _ in range(4):
        row, distance = objective.nearest(config, used)
        used.append(row)
        distances.append(distance)
    assert sorted(used) == [0, 1, 2, 3]
    assert distances == sorted(distances)
    assert objective.nearest(config, used)[0] == used[0]
    evaluations = run(
        Settings("s", max_budget=9, iterations=2, workers=0), Recorded(make_curves(40))
    )
    rows = {e.id: e.info["row"] for e in evaluations}
    assert len(set(rows.values())) == len(rows)
    assert all(rows[e.id] == e.info["row"] for e in evaluations)


def test_only_new_epochs_cost_and_minimised_metrics_keep_their_sign(make_curves: Make) -> None:
    curves = make_curves(30, direction="minimize")
    config = curves.configs.loc[3, ["hp_lr", "hp_optimizer", "ap_layers"]].to_dict()
    result = Recorded(curves).evaluate(config, trial(20, trained=7))
    evaluated = result["info"].pop("evaluated")
    assert evaluated["hp_lr"] == pytest.approx(config["hp_lr"])
    assert result == {
        "loss": curves.values[3, 19],
        "info": {"row": 3, "distance": pytest.approx(0), "trained": 20, "cost": 13},
    }


def test_what_was_looked_up_belongs_to_the_space(make_curves: Make) -> None:
    objective = Recorded(make_curves(60))
    for row in range(60):
        config = objective.curves.configs.loc[row, list(objective.space)].to_dict()
        evaluated = dict(objective.evaluate(config, trial(5))["info"]["evaluated"])
        # ConfigSpace rounds the bounds of the space; it raises where a value lies outside.
        ConfigSpace.Configuration(objective.space, values=evaluated)
        assert evaluated.pop("hp_optimizer") == config.pop("hp_optimizer")
        assert evaluated == pytest.approx(config, rel=1e-6)


def test_what_the_space_does_not_hold_is_not_learned_from(make_curves: Make) -> None:
    curves = make_curves(30)
    space = ConfigSpace.ConfigurationSpace()
    space.add(ConfigSpace.Categorical("hp_optimizer", ["adam"]), ConfigSpace.Float("hp_lr", (0, 1)))
    objective = Recorded(curves, space)
    for row, name in enumerate(curves.configs["hp_optimizer"]):
        used = tuple(set(range(30)) - {row})
        config = {"hp_optimizer": "adam", "hp_lr": 0.1}
        assert objective.nearest(config, used)[0] == row
        assert (objective._recorded[row] is None) == (name != "adam")


def test_models_learn_from_what_was_looked_up(
    make_curves: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []
    learn = load("bohb").learn
    monkeypatch.setattr(
        load("bohb"),
        "learn",
        lambda self, key, config, *known: (
            learned.append(config),
            learn(self, key, config, *known),
        ),
    )
    curves = make_curves(40)
    evaluations = run(Settings("s", iterations=4, workers=0), Recorded(curves))
    rows = [e.info["row"] for e in evaluations]
    assert [c["ap_layers"] for c in learned] == curves.configs["ap_layers"].iloc[rows].tolist()
    assert [c["hp_lr"] for c in learned] == pytest.approx(curves.configs["hp_lr"].iloc[rows])
    assert [e.config for e in evaluations] != learned


def test_a_diverged_run_has_no_loss_and_the_study_goes_on(make_curves: Make) -> None:
    curves = make_curves(40, last_epoch=9)
    values = curves.values.copy()
    values[::2, 5:] = np.nan
    evaluations = run(
        Settings("s", iterations=8, workers=0), Recorded(replace(curves, values=values))
    )
    failed = [e for e in evaluations if e.reason is not None]
    assert failed
    assert {e.budget for e in failed} == {9}
    assert failed[0].reason.startswith("run run")
    assert all(np.isinf(e.loss) for e in failed)


def test_a_budget_before_the_first_epoch_is_an_error(make_curves: Make) -> None:
    curves = make_curves(30, first_epoch=3)
    with pytest.raises(DataError, match="budget 1 lies before the first recorded epoch"):
        run(Settings("s", max_budget=9, workers=0), Recorded(curves))


def test_a_budget_after_the_last_epoch_is_an_error(make_curves: Make) -> None:
    with pytest.raises(DataError, match="max_budget 27 lies after the last recorded epoch 20"):
        run(Settings("s", "random", max_budget=27, workers=0), Recorded(make_curves(30)))


def test_a_space_with_other_columns_is_an_error(make_curves: Make) -> None:
    from toys import conditional_space

    with pytest.raises(DataError, match=r"column momentum.*was not recorded"):
        Recorded(make_curves(30).take(range(10)), conditional_space())


def test_the_search_finds_the_best_runs(parallel: CurveSet) -> None:
    frames = {}
    for optimizer in ("bohb", "freeze_thaw", "random"):
        settings = Settings(
            "toy", optimizer, max_budget=27, iterations=None, total_budget=900, workers=0
        )
        frame = replay(parallel, settings, range(4))
        frames[optimizer] = summary.regrets(frame, parallel, 900)
        used = frame.groupby("seed")["cost"].sum()
        assert ((used >= 900) & (used < 927)).all()
    final = {k: f.loc[f["share"] == 1, "regret"].mean() for k, f in frames.items()}
    assert final["bohb"] < 0.1
    assert max(final["bohb"], final["freeze_thaw"]) < 0.6 * final["random"]
    table = summary.paired_rows(pd.concat(frames.values()))
    expected = [final["bohb"] - final[other] for other in ("freeze_thaw", "random")]
    assert table["difference"].tolist() == pytest.approx(expected)
    assert table["seeds"].tolist() == [4, 4]


def test_the_mean_over_sets_and_seeds_has_the_error_of_both() -> None:
    """Intervals hold the mean that made the data as often as they say, also with shared seeds."""
    values = np.array([[1.0, 3.0], [2.0, 6.0]])
    # means of sets 2 and 4, of seeds 1.5 and 4.5: mean squares 4, 9 and, of what is left, 1
    half = stats.t.ppf(0.975, 1) * np.sqrt((4 + 9 - 1) / 4)
    assert summary.crossed(values) == pytest.approx((3 - half, 3 + half))
    rng, sets, seeds = np.random.default_rng(0), 12, 10
    hits, hits_over_sets = 0, 0
    for _ in range(300):
        gaps = rng.normal(size=(sets, 1)) * 0.1 + rng.normal(size=seeds) * 0.3
        gaps += rng.normal(size=(sets, seeds)) * 0.3
        low, high = summary.crossed(gaps)
        hits += low < 0 < high
        low, high = summary.interval(gaps.mean(axis=1))
        hits_over_sets += low < 0 < high
    assert hits / 300 > 0.9
    assert hits_over_sets / 300 < 0.75


def test_no_two_data_sets_share_their_luck(parallel: CurveSet) -> None:
    settings = Settings("toy", "random", max_budget=27, total_budget=200, workers=0)
    first, again, other = (
        replay(parallel, settings.model_copy(update={"name": name}), [0])["config"]
        for name in ("lcbench/a", "lcbench/a", "lcbench/b")
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_milestones() -> None:
    assert [_milestone(n, 10) for n in (9, 10, 14, 15, 22, 23, 100)] == [
        None, 10, 10, 15, 15, 23, 80,
    ]  # fmt: skip


def test_few_runs_make_a_probability_less_sure() -> None:
    # Student's t: two-sided 5 % is at 4.303 for two degrees of freedom and 1.960 for the Gaussian.
    assert heavier_tailed(stats.norm.cdf(4.302653), 3) == pytest.approx(0.975, abs=1e-6)
    assert heavier_tailed(0.975, 10_000) == pytest.approx(0.975, abs=1e-4)
    assert heavier_tailed(0.5, 3) == pytest.approx(0.5)
    assert heavier_tailed(1.0, 3) == 1


def test_a_small_saving_needs_more_certainty(make_curves: Make) -> None:
    objective = Recorded(make_curves(40, last_epoch=9), early=EarlyEnd(Delta=0.8))
    history = tuple(
        Evaluation((0, 0, k), {}, 3, float(k), {"row": k, "trained": 3}, None, {}, False)
        for k in range(9)
    )
    low = replace(trial(3, history=history), highest=9)
    rule = objective.early.rule(low, objective._observed)
    assert dict(rule.needed) == pytest.approx({0: 1 - 0.2 * 3 / 9, 1: 1 - 0.2 * 2 / 9})


def test_a_rule_saves_epochs_and_keeps_the_winner(parallel: CurveSet) -> None:
    curves = parallel
    settings = Settings("toy", max_budget=27, iterations=12, workers=0)
    plain = run(settings, Recorded(curves))
    early = run(settings, Recorded(curves, early=EarlyEnd(min_runs=6)))
    never = run(settings, Recorded(curves, early=EarlyEnd(Delta=1.0)))
    assert [(e.config, e.loss) for e in never] == [(e.config, e.loss) for e in plain]
    stopped = [e for e in early if "stopped" in e.info]
    assert len(stopped) > 20
    assert all(e.info["stopped"] < e.budget for e in stopped)
    errors = [abs(e.loss + curves.values[e.info["row"], int(e.budget) - 1]) for e in stopped]
    assert np.median(errors) < 0.02
    cost = [sum(e.info["cost"] for e in part) for part in (plain, early)]
    assert cost[1] < 0.8 * cost[0]
    frames = [summary.evaluations_frame(part, "toy", "bohb", 0) for part in (plain, early)]
    regrets = [summary.regret(frame, curves).iloc[-1] for frame in frames]
    assert regrets[1] <= regrets[0] + 0.05


def test_a_rule_sees_nothing_after_its_decision_epoch(make_curves: Make) -> None:
    curves = make_curves(80, last_epoch=9, noise=0.002)
    objective = Recorded(curves, early=EarlyEnd(min_runs=6, Delta=0.8))
    history = tuple(
        Evaluation(
            (0, 0, k), {}, 9, -curves.values[k, -1], {"row": k, "trained": 9}, None, {}, False
        )
        for k in range(30)
    )
    worst = 30 + int(np.argmin(curves.final[30:]))
    before = objective._ended(worst, trial(9, history=history))
    values = curves.values.copy()
    values[worst, before.epoch :] = 0.99
    poisoned = Recorded(replace(curves, values=values), early=EarlyEnd(min_runs=6, Delta=0.8))
    assert poisoned._ended(worst, trial(9, history=history)) == before


@pytest.mark.parametrize("wrong", [{"Delta": 0}, {"min_runs": 1}])
def test_impossible_rules_are_refused(wrong: dict) -> None:
    with pytest.raises(DataError, match="stopping: Delta"):
        EarlyEnd(**wrong)


def frame_of(budgets: list[float], losses: list[float], stopped: list[float]) -> pd.DataFrame:
    n = len(budgets)
    return pd.DataFrame(
        {
            "study": "s", "optimizer": "bohb", "seed": 0,
            "configuration": [f"0-0-{k}" for k in range(n)],
            "budget": budgets, "loss": losses, "stopped": stopped,
            "reason": pd.Series([None] * n, dtype="string"),
            "model_based": [False, True] * (n // 2), "cost": 2.0,
            "used": 2.0 * np.arange(1, n + 1),
            "started": 0.0, "finished": np.arange(n) + 1.0,
            "validation": np.nan, "test": np.nan, "config": "{}",
        }
    )  # fmt: skip


def test_the_incumbent_prefers_the_higher_budget() -> None:
    nan = np.nan
    frame = frame_of(
        [1, 1, 3, 1, 3, 9, 9, 9], [5, 4, 6, 1, 7, 8, 7, 0.5], [nan, nan, nan, nan, nan, nan, nan, 2]
    )
    assert summary.incumbents(frame).index.tolist() == [0, 1, 2, 5, 6]
    row = summary.study_rows(frame).iloc[0]
    assert row["loss"] == row["best_loss"] == 7
    assert row["evaluations"] == row["unique_configurations"] == 8
    assert row["stopped"] == 1
    assert row["budget_used"] == 16
    assert row["model_based_share"] == 0.5
    assert row["seconds"] == 8


def test_the_best_seed_is_one_that_reached_the_highest_budget() -> None:
    nan = np.nan
    low, high = frame_of([1, 1], [2, 1], [nan, nan]), frame_of([1, 9], [9, 8], [nan, nan])
    frame = pd.concat([low, high.assign(seed=1)], ignore_index=True)
    assert incumbent(frame) == {"config": {}, "budget": 9, "loss": 8, "seed": 1}
    assert summary.study_rows(frame).iloc[0]["best_loss"] == 8


def test_a_study_without_any_loss_is_an_error() -> None:
    with pytest.raises(DataError, match="no evaluation has a loss"):
        summary.incumbents(frame_of([1, 1], [np.inf, np.inf], [np.nan, np.nan]))


def test_step_functions_and_intervals() -> None:
    values = summary.at_budgets(
        pd.Series([2.0, 5.0]), pd.Series([10.0, 20.0]), np.array([1.0, 2.0, 4.9, 5.0, 9.0])
    )
    np.testing.assert_array_equal(values, [np.nan, 10, 10, 20, 20])
    low, high = summary.interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    regrets = pd.DataFrame(
        {"study": "s", "optimizer": "bohb", "seed": [0, 1], "share": 1.0, "regret": [0.0, 2.0]}
    )
    row = summary.regret_rows(regrets).iloc[0]
    assert row["regret"] == 1
    assert (row["low"], row["high"]) == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-3)


def test_regret_is_zero_at_the_best_run_and_one_at_the_median(make_curves: Make) -> None:
    curves = make_curves(31)
    order = np.argsort(curves.final)
    frame = frame_of([9, 9], [2, 1], [np.nan, np.nan]).assign(row=[order[15], order[-1]])
    assert summary.regret(frame, curves).tolist() == pytest.approx([1, 0])


def test_there_is_no_regret_where_half_of_the_runs_are_the_best(make_curves: Make) -> None:
    curves = make_curves(31)
    order = np.argsort(curves.final)
    values = curves.values.copy()
    values[order[12:], -1] = 1.0
    frame = frame_of([9, 9], [2, 1], [np.nan, np.nan]).assign(row=[order[0], order[-1]])
    assert summary.regret(frame, replace(curves, values=values)).isna().all()
