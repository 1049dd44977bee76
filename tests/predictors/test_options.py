"""Options of predictors read from source files agree with those of the imported classes."""

from __future__ import annotations

import importlib

import pytest

from curvecast.predictors import module_of, options_of, registry
from curvecast.predictors.options import option_types


@pytest.mark.parametrize("model", sorted(registry()))
def test_the_source_names_the_options_that_the_class_takes(model: str) -> None:
    entry = registry()[model]
    cls = getattr(importlib.import_module(module_of(model)), entry.cls)
    assert set(option_types(model)) == set(options_of(cls)) - set(entry.options)
