"""lkgp: BoTorch's model where it is installed, and what is said where it is not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import pytest

from curvecast import CurveSet, DataError, make_predictor

Make = Callable[..., CurveSet]
installed = pytest.mark.skipif(
    importlib.util.find_spec("botorch") is None,
    reason="the packages of the optional model lkgp (envs/requirements-lkgp.txt) are not installed",
)
QUICK = {"iterations": 15, "max_points": 6}


def test_without_the_packages_it_is_said_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    monkeypatch.delitem(sys.modules, "botorch.models.latent_kronecker_gp", raising=False)
    with pytest.raises(DataError, match=r"pip install -r envs/requirements-lkgp\.txt"):
        make_predictor("lkgp")


@pytest.fixture
def curves(make_curves: Make) -> CurveSet:
    """Settings times time, which is what the model's covariance stands for."""
    made = make_curves(n=80, seed=3)
    shape = 1 - np.exp(-0.2 * made.epochs)
    made.values[:] = made.final[:, None] * shape / shape[-1]
    made.values[:] += 0.002 * np.random.default_rng(0).standard_normal(made.values.shape)
    return made


@installed
def test_finds_the_end_of_curves_that_are_settings_times_time(curves: CurveSet) -> None:
    model = make_predictor("lkgp", **QUICK).fit(curves.take(np.arange(40)), [6])
    test = curves.take(np.arange(40, 80))
    p = model.predict(test, 6)
    assert 1 - np.mean((p.mean - test.final) ** 2) / test.final.var() > 0.9
    low, high = p.quantile([0.1, 0.9]).T
    assert 0.55 < np.mean((low <= test.final) & (test.final <= high)) <= 1


@installed
def test_same_seed_same_bytes_and_nothing_after_tau_is_seen(curves: CurveSet) -> None:
    train, test = curves.take(np.arange(40)), curves.take(np.arange(40, 80))
    first = make_predictor("lkgp", seed=1, **QUICK).fit(train, [6]).predict(test, 6)
    test.values[:, 6:] = 9.0
    second = make_predictor("lkgp", seed=1, **QUICK).fit(train, [6]).predict(test, 6)
    assert first.mean.tobytes() == second.mean.tobytes()
    assert first.std.tobytes() == second.std.tobytes()


@installed
def test_diverged_gappy_short_and_constant_curves(make_curves: Make, curves: CurveSet) -> None:
    curves.values[::7, 0] = np.nan
    curves.values[3, 2:5] = np.inf
    curves.values[5, 4:] = np.inf
    p = make_predictor("lkgp", **QUICK).fit(curves.take(np.arange(40)), [6]).predict(curves, 6)
    assert np.isfinite(p.mean).all()
    assert np.isfinite(p.quantile([0.05, 0.95])).all()
    short = make_curves(n=30, first_epoch=0, last_epoch=2, noise=0.01)
    p = make_predictor("lkgp", **QUICK).fit(short.take(np.arange(20)), [1]).predict(short, 1)
    assert np.isfinite(p.quantile([0.05, 0.95])).all()
    short.values[:, -1] = 0.7
    p = make_predictor("lkgp", **QUICK).fit(short.take(np.arange(20)), [1]).predict(short, 1)
    np.testing.assert_allclose(p.mean, 0.7)
    np.testing.assert_allclose(p.std, 0.0, atol=1e-12)


def test_unknown_target_is_an_error() -> None:
    with pytest.raises(DataError, match="target is 'gain', not level or warped_level"):
        make_predictor("lkgp", target="gain")
