"""Plans of small configurations, without Snakemake and without files."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from curvecast.data.preflight import Preflight
from curvecast.data.registry import load_registry
from curvecast.workflow.config import load
from curvecast.workflow.plan import Plan

OFF: dict[str, Any] = {"datasets": [], "models": [], "fractions": [0.25]}
CONFIG: dict[str, Any] = {
    "results": "out",
    "datasets": ["*"],
    "dataset_definitions": {},
    "data": {"mirrors": [], "offline": True, "on_missing": "skip"},
    "models": ["ols", "nusvr_rbf"],
    "model_options": {},
    "tuned_models": {},
    "protocol": {"fractions": [0.25, 0.5], "taus": [], "n_train": 100, "repeats": 5},
    "ablation": {**OFF, "features": ["TS", "TS+HP"]},
    "training_size": {**OFF, "n_train": [20, 40]},
    "depth": {**OFF, "column": "ap_depth", "thresholds": [32, 62], "n_train": 50},
    "task_a": {
        "datasets": [], "models": [], "tau": 10, "train": 30, "validation": 10, "test": 20,
        "variants": [],
    },
    "saved_models": OFF,
    "stopping": {
        "datasets": [],
        "predictors": ["last_value", "gain_gp"],
        "n_full": 100,
        "orderings": 10,
        "deltas": [0.8, 0.95],
        "settings": [{"offset": 0.0}],
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
            "settings": [{"kappa": 1.0}],
        },
        "overrides": {},
    },
    "parts": 1,
    "studies": [],
    "study_definitions": {},
    "networks": [],
    "network_definitions": {},
}  # fmt: skip


def merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merged key by key, everything else replaced."""
    result = {**copy.deepcopy(dict(base)), **other}
    for key in base.keys() & other.keys():
        if isinstance(base[key], Mapping) and isinstance(other[key], Mapping):
            result[key] = merged(base[key], other[key])
    return result


def plan_of(
    names: Iterable[str],
    changes: Mapping[str, Any],
    usable: Collection[str] | None = None,
    tasks: Collection[str] = (),
) -> Plan:
    """The plan of `CONFIG` with some changes, where `names` exist and `usable` can be had.

    Parameters
    ----------
    tasks : raw data for networks that can be had; all data sets of the registry exist.
    """
    registry = {n: s for n, s in load_registry().items() if s["kind"] == "task"}
    registry |= {name: {"kind": "curves", "reader": "table", "files": []} for name in names}
    have = Preflight(usable=list(names if usable is None else usable), left_out={}, tasks=[*tasks])
    return Plan(load(merged(CONFIG, changes)), registry, have, first=False)


def cell(**values: str) -> SimpleNamespace:
    """Wildcards of a job."""
    return SimpleNamespace(**values)
