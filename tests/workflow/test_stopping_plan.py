"""Which early-stopping jobs a configuration makes."""

from __future__ import annotations

import copy

import pytest

from curvecast import DataError
from curvecast.workflow import stopping_plan as plan

REGISTRY = {name: {"kind": "curves"} for name in ("baker/a", "baker/b", "lcbench/c", "lcbench/d")}
CONFIG = {
    "stopping": {
        "datasets": ["baker/*", "lcbench/c"],
        "predictors": ["last_value", "gain_gp"],
        "n_full": 100,
        "orderings": 10,
        "deltas": [0.8, 0.95],
        "settings": [{"offset": 0}],
        "every_epoch_up_to": 60,
        "online": {"run": True, "deltas": [0.9]},
        "hyperband": {
            "predictors": ["gain_gp"],
            "eta": 3,
            "budget": None,
            "hyperbands": 40,
            "settled": 10,
            "repeats": 10,
            "deltas": [0.95],
            "settings": [{"kappa": 1}],
        },
        "overrides": {},
    }
}


def with_keys(**keys):
    config = copy.deepcopy(CONFIG)
    config["stopping"] |= keys
    return config


def test_jobs_of_the_data_sets_at_hand():
    found = plan.searches(CONFIG, ["baker/b", "lcbench/c", "lcbench/d"], REGISTRY)
    assert [search.file for search in found if search.dataset == "baker/b"] == [
        "baker/b/sequential/last_value",
        "baker/b/sequential/gain_gp",
        "baker/b/hyperband/gain_gp",
        "baker/b/online",
        "baker/b/rules",
    ]
    assert {search.dataset for search in found} == {"baker/b", "lcbench/c"}
    assert plan.words(found) == (
        "early stopping: 2 data sets, 10 jobs (4 sequential, 2 hyperband, 2 online, 2 rules)"
    )
    assert plan.searches(with_keys(datasets=[]), list(REGISTRY), REGISTRY) == []
    assert plan.words([]) == ""


def test_overrides_change_only_what_they_name_and_the_later_one_counts():
    config = with_keys(
        overrides={
            "lcbench/*": {"every_epoch_up_to": 0, "hyperband": {"deltas": [0.9], "budget": 27}},
            "lcbench/c": {"hyperband": {"budget": 9}, "online": {"run": False}},
        }
    )
    assert plan.section_of(config, "baker/a") == plan.section_of(CONFIG, "baker/a")
    assert plan.sequential_of(config, "lcbench/d")["every_epoch_up_to"] == 0
    hyperband = plan.hyperband_of(config, "lcbench/c")
    assert (hyperband["budget"], hyperband["deltas"], hyperband["eta"]) == (9, [0.9], 3)
    assert plan.hyperband_of(config, "lcbench/d")["budget"] == 27
    searches = {job.search for job in plan.searches(config, ["lcbench/c"], REGISTRY)}
    assert "online" not in searches


def test_a_job_is_told_only_what_concerns_it():
    other = with_keys(predictors=["lce"], datasets=["lcbench/c"], online={"run": False})
    assert plan.sequential_of(other, "lcbench/c") == plan.sequential_of(CONFIG, "lcbench/c")
    assert plan.hyperband_of(other, "lcbench/c") == plan.hyperband_of(CONFIG, "lcbench/c")
    deltas = with_keys(deltas=[0.5])
    assert plan.rules_of(deltas, "baker/a") == plan.rules_of(CONFIG, "baker/a")
    assert plan.online_of(deltas, "baker/a") == plan.online_of(CONFIG, "baker/a")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"datasets": ["bakr/*"]}, "unknown data set 'bakr/"),
        ({"predictors": ["lcee"]}, "unknown model 'lcee'"),
        ({"overrides": {"lcbench/e": {}}}, "unknown data set 'lcbench/e'"),
        ({"overrides": {"baker/*": {"predictors": ["x"]}}}, "unknown model 'x'"),
        (
            {"overrides": {"baker/b": {"hyperband": {"settled": 40}}}},
            "settled is 40, there are only 40 Hyperbands",
        ),
    ],
)
def test_mistakes_are_named(keys, said):
    plan.check(CONFIG, REGISTRY)
    with pytest.raises(DataError, match=said.replace("*", r"\*")):
        plan.check(with_keys(**keys), REGISTRY)
