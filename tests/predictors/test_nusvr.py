from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from packaging.requirements import Requirement
from sklearn.svm import NuSVR

from curvecast import DataError, make_predictor
from curvecast.predictors import nusvr
from curvecast.protocol import grouped_folds


def problem(n: int = 40, p: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    y = X @ np.linspace(1, 0.1, p) + np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(n)
    return X, (y - y.mean()) / y.std()


@pytest.mark.parametrize(("C", "nu"), [(0.3, 0.4), (5.0, 0.05), (1e-3, 0.95)])
def test_private_libsvm_call_equals_the_public_estimator(C: float, nu: float) -> None:
    """Guards the use of sklearn.svm._libsvm: fails if its arguments or results change."""
    X, y = problem()
    K = X @ X.T
    ours = nusvr.solve(K, y, C=C, nu=nu, max_iter=100_000)
    public = NuSVR(kernel="precomputed", C=C, nu=nu).fit(K, y)
    coefficients = np.zeros(len(y))
    coefficients[public.support_] = public.dual_coef_[0]
    np.testing.assert_array_equal(ours.coefficients, coefficients)
    assert ours.intercept == public.intercept_[0]
    assert ours.converged


def test_the_private_call_bounds_the_version_of_scikit_learn() -> None:
    """Whoever raises the bound runs the test above on the new version first."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    wanted = map(Requirement, tomllib.loads(text)["project"]["dependencies"])
    bounds = next(one.specifier for one in wanted if one.name == "scikit-learn")
    assert sklearn.__version__ in bounds
    assert "99" not in bounds


def test_private_libsvm_call_is_silent_and_reports_the_cap(capfd) -> None:
    X, y = problem()
    assert not nusvr.solve(X @ X.T, y, C=10.0, nu=0.5, max_iter=3).converged
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_a_converged_solution_turns_round_with_its_targets(kind: str) -> None:
    X, y = problem()
    kernel = nusvr.Kernel(X, kind)
    K = kernel.matrix(0.1)
    up, down = (nusvr.solve(K, sign * y, 0.5, 0.5, max_iter=100_000) for sign in (1.0, -1.0))
    np.testing.assert_allclose(kernel.predict(X, up, 0.1), -kernel.predict(X, down, 0.1), atol=5e-3)


def test_draws_follow_the_published_ranges_and_are_prefixes() -> None:
    draws = nusvr.draw(4000, seed=1)
    for values in (draws.C, draws.gamma):
        assert values.min() >= 1e-5
        assert values.max() <= 10
        np.testing.assert_allclose(np.quantile(values, [0.25, 0.5]), [10**-3.5, 1e-2], rtol=0.2)
    assert 0 < draws.nu.min() < 0.01
    assert 0.99 < draws.nu.max() <= 1
    np.testing.assert_array_equal(nusvr.draw(50, seed=1).nu, draws.nu[:50])


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_cross_validation_finds_the_draw_that_public_fits_find(kind: str) -> None:
    X, y = problem()
    folds = grouped_folds(np.arange(len(y)), 3, seed=0)
    draws = nusvr.draw(25, seed=2)
    scores = nusvr.cross_validate(nusvr.Kernel(X, kind), y, folds, draws, max_iter=100_000)
    expected = np.empty((25, 3))
    for d in range(25):
        model = NuSVR(kernel=kind, C=draws.C[d], gamma=draws.gamma[d], nu=draws.nu[d])
        for k in range(3):
            inner, outer = folds != k, folds == k
            expected[d, k] = model.fit(X[inner], y[inner]).score(X[outer], y[outer])
    ran = np.isfinite(scores.r2)
    np.testing.assert_allclose(scores.r2[ran], expected[ran], atol=2e-3)
    assert 0.3 < ran.mean() < 1
    best = expected.mean(axis=1).max()
    assert expected[scores.best].mean() == pytest.approx(best, abs=2e-3)
    # what was given up could not have won
    given_up = ~ran.all(axis=1)
    assert (np.where(ran, expected, 1.0).mean(axis=1)[given_up] < best).all()
    assert not scores.capped.any()


def test_fold_of_equal_targets_counts_relative_to_all() -> None:
    X, _ = problem(n=6)
    y = np.array([1.0, 1.0, -1.0, 2.0, 0.0, -3.0])
    folds = np.array([0, 0, 1, 1, 2, 2])
    scores = nusvr.cross_validate(nusvr.Kernel(X, "rbf"), y, folds, nusvr.draw(1, 0), 1000)
    draws = nusvr.draw(1, 0)
    model = NuSVR(C=draws.C[0], gamma=draws.gamma[0], nu=draws.nu[0]).fit(X[2:], y[2:])
    errors = y[:2] - model.predict(X[:2])
    assert scores.r2[0, 0] == pytest.approx(1 - (errors @ errors) / (2 * y.var()), abs=1e-3)


@pytest.mark.parametrize("name", ["nusvr_linear", "nusvr_rbf"])
def test_prediction_and_std_equal_public_refits(name: str) -> None:
    X, y = problem(n=25)
    frame = pd.DataFrame(X)
    model = make_predictor(name, seed=3, draws=30, max_iter=100_000)
    p = model.fit_xy(frame, y).predict_xy(frame)
    chosen = model.diagnostics()
    public = NuSVR(
        kernel=name.removeprefix("nusvr_"), C=chosen["C"], gamma=chosen["gamma"], nu=chosen["nu"]
    )
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(p.mean, public.fit(standard, y).predict(standard), atol=5e-3)
    folds = grouped_folds(np.arange(len(y)), nusvr.UNSEEN_FOLDS, seed=3)
    errors = np.empty(len(y))
    for fold in range(nusvr.UNSEEN_FOLDS):
        test = folds == fold
        errors[test] = y[test] - public.fit(standard[~test], y[~test]).predict(standard[test])
    np.testing.assert_allclose(p.std, np.sqrt(np.mean(errors**2)), rtol=5e-3)
    np.testing.assert_allclose(model.unseen.mean, y - errors, atol=5e-3)


def test_finds_the_kernel_that_fits() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(-2, 2, (90, 2)))
    y = np.cos(2 * X[0]) * X[1]
    new = pd.DataFrame(rng.uniform(-2, 2, (200, 2)))
    target = np.cos(2 * new[0]) * new[1]
    r2 = {}
    for name in ("nusvr_linear", "nusvr_rbf"):
        p = make_predictor(name, draws=200).fit_xy(X, y.to_numpy()).predict_xy(new)
        r2[name] = 1 - np.mean((target - p.mean) ** 2) / np.var(target)
    assert r2["nusvr_rbf"] > 0.95
    assert r2["nusvr_linear"] < 0.2


def test_diagnostics_report_the_draws_that_met_the_cap() -> None:
    X, y = problem()
    model = make_predictor("nusvr_linear", draws=40, max_iter=20).fit_xy(pd.DataFrame(X), y)
    capped = model.diagnostics()["unconverged_draws"]
    assert 0 < capped <= 1
    assert capped * 40 == pytest.approx(round(capped * 40))
    free = make_predictor("nusvr_linear", draws=40, max_iter=10**6).fit_xy(pd.DataFrame(X), y)
    assert free.diagnostics()["unconverged_draws"] == 0
    assert free.diagnostics()["unconverged_unseen"] == 0
    assert free.diagnostics()["unconverged_final"] == 0


def test_folds_respect_repeated_configurations() -> None:
    """Targets that only the group determines: every fold keeps whole groups out, so R² is poor."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 4)
    X = pd.DataFrame(np.repeat(rng.standard_normal((12, 3)), 4, axis=0))
    y = np.repeat(rng.standard_normal(12), 4)
    apart = make_predictor("nusvr_rbf", draws=60).fit_xy(X, y, groups)
    mixed = make_predictor("nusvr_rbf", draws=60).fit_xy(X, y)
    assert mixed.diagnostics()["cv_r2"] > 0.9
    assert apart.diagnostics()["cv_r2"] < 0.3
    errors = [np.sqrt(np.mean((model.unseen.mean - y) ** 2)) for model in (mixed, apart)]
    assert errors[0] < 0.3 * y.std() < 0.7 * y.std() < errors[1]


@pytest.mark.parametrize("n", [2, 3, 4])
def test_tiny_training_sets(n: int) -> None:
    X, y = problem(n=n)
    p = make_predictor("nusvr_linear", draws=20).fit_xy(pd.DataFrame(X), y)
    predicted = p.predict_xy(pd.DataFrame(X))
    assert np.isfinite(predicted.mean).all()
    assert (predicted.std > 0).all()


def test_one_configuration_cannot_be_cross_validated() -> None:
    X, y = problem(n=6)
    with pytest.raises(DataError, match="single configuration"):
        make_predictor("nusvr_rbf").fit_xy(pd.DataFrame(X), y, np.zeros(6))


def test_bad_options_are_data_errors() -> None:
    with pytest.raises(DataError, match="draws is 0"):
        make_predictor("nusvr_rbf", draws=0)
