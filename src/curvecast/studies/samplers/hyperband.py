"""Hyperband: uniform draws in brackets (Li et al. 2018)."""

from __future__ import annotations

from curvecast.studies.samplers import _base


class Sampler(_base.Sampler):
    """What all samplers inherit, and nothing else."""
