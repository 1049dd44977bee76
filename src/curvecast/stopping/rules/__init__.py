"""The stopping rules, one file each: a class derived from `rule.Rule` is all that a file needs."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np

from curvecast.stopping.rule import Rule


def known() -> list[type[Rule]]:
    """All rules in the order of the results."""
    modules = [f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[!_]*.py")]
    rules = [
        rule
        for module in modules
        for rule in vars(importlib.import_module(module)).values()
        if isinstance(rule, type) and issubclass(rule, Rule)
        if rule.__module__ == module and not inspect.isabstract(rule)
    ]
    return sorted(rules, key=lambda rule: (rule.place, rule.name))


def replayed(epochs: np.ndarray) -> list[Rule]:
    """The rules without a predictor as they are replayed on runs with these recorded epochs."""
    made = (rule.replayed(epochs) for rule in known())
    return [rule for rule in made if rule is not None]
