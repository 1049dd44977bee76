"""Finds the samplers: every module of this folder has a class `Sampler`; a name in `_` has none."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curvecast.studies.samplers._base import Sampler

NAMES = tuple(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def module_of(name: str) -> str:
    """Module of a sampler."""
    return f"{__name__}.{name}"


def load(name: str) -> type[Sampler]:
    """Class of a sampler."""
    sampler: type[Sampler] = importlib.import_module(module_of(name)).Sampler
    return sampler
