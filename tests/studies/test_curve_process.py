"""The process over configurations, epochs and runs: its gradient, its updates, what it predicts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from curvecast.predictors.gaussian_process import Prior, by_solving, negative_log_posterior
from curvecast.studies import curve_process
from curvecast.studies.curve_process import CurveProcess, Values

EPOCHS = np.array([1, 2, 4, 8, 16])
TIMES = np.log(EPOCHS / 16) / np.log(16)


def curves(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) and losses (n, 5); the first coordinate decides about the end of a run."""
    random = np.random.default_rng(seed)
    points = random.random((n, 2))
    end = (points[:, 0] - 0.3) ** 2 + 0.02 * random.standard_normal(n)
    slow = 0.5 + points[:, 1]
    return points, end[:, None] + slow[:, None] * (EPOCHS**-1.0 - 1 / 16)


def observed(points: np.ndarray, losses: np.ndarray, n_seen: list[int]) -> Values:
    """Values of runs of which the first `n_seen` values are known, run after run."""
    rows = np.concatenate([np.full(n, row) for row, n in enumerate(n_seen)])
    times = np.concatenate([np.arange(n) for n in n_seen])
    return Values(points[rows], TIMES[times], rows, losses[rows, times])


def test_the_gradient_is_that_of_the_posterior() -> None:
    points, losses = curves(6)
    values = observed(points, losses, [5, 3, 2, 1, 5, 1])
    targets = np.random.default_rng(1).standard_normal(len(values))
    center = np.concatenate([curve_process._PRIOR_MEAN, np.log([0.5, 0.5])])
    spread = np.ones(10)
    theta = center + np.linspace(-0.5, 0.5, 10)

    covariance = curve_process._covariance_at(values)
    rest = (covariance, targets, Prior(center, spread), by_solving)

    def value(t: np.ndarray) -> float:
        return negative_log_posterior(t, *rest)[0]

    _, gradient = negative_log_posterior(theta, *rest)
    assert gradient == pytest.approx(approx_fprime(theta, value, 1e-6), rel=1e-3, abs=1e-3)


def test_learning_value_by_value_is_learning_all_at_once() -> None:
    points, losses = curves(12)
    values = observed(points, losses, [5, 1, 3, 2, 5, 1, 4, 2, 2, 3, 1, 5])
    step_by_step, at_once = CurveProcess(), CurveProcess()
    for n in range(8, len(values) + 1):
        step_by_step.learn(values.take(slice(n)))
        seen = values.runs[:n].max() + 1
        step_by_step.ends(points[:seen])
    at_once.learn(values)
    for one, other in zip(step_by_step.ends(points), at_once.ends(points), strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-8)


def test_what_is_seen_of_a_run_tells_about_its_end() -> None:
    points, losses = curves(40)
    known = [5] * 20 + [4] * 10 + [1] * 10
    process = CurveProcess()
    process.learn(observed(points, losses, known))
    mean, std = process.ends(points)
    error = np.abs(mean - process.unit(losses[:, -1]))
    assert error[:20].max() < 0.1
    assert error[20:30].mean() < error[30:].mean()
    assert std[:20].max() < std[20:30].min()
    assert std[20:30].max() < std[30:].min()


def test_the_best_unseen_are_near_the_optimum() -> None:
    points, losses = curves(30)
    process = CurveProcess()
    process.learn(observed(points, losses, [5] * 10 + [2] * 20))
    grid = np.column_stack([np.linspace(0, 1, 101), np.full(101, 0.5)])
    rows, mean, std = process.best_unseen(grid, 5)
    assert np.abs(grid[rows, 0] - 0.3).max() < 0.15
    assert (np.diff(mean) <= 0).all()
    assert (std > 0).all()


def test_a_failed_run_counts_as_the_worst() -> None:
    points, losses = curves(10)
    losses[3, 1] = np.inf
    values = observed(points, losses, [2] * 10)
    process = CurveProcess()
    process.learn(values)
    finite = losses[:, :2][np.isfinite(losses[:, :2])]
    assert process.unit(np.inf) == process.unit(finite.max())
    mean, _ = process.ends(points)
    assert mean.argmin() == 3


def test_believing_leaves_the_process_as_it_was() -> None:
    points, losses = curves(12)
    process = CurveProcess()
    process.learn(observed(points, losses, [3] * 12))
    before = process.ends(points)
    asked = Values(points[:1], TIMES[4:], np.array([0]), np.array([np.nan]))
    mean, std = process.believing(asked).ends(points)
    assert mean == pytest.approx(before[0], abs=1e-3)
    assert std[0] < 0.5 * before[1][0]
    for one, other in zip(process.ends(points), before, strict=True):
        assert (one == other).all()


def test_a_process_that_believed_more_than_it_learns_next_is_none_the_wiser() -> None:
    points, losses = curves(12)
    values = observed(points, losses, [3] * 12)
    asked = Values(points, np.zeros(12), np.arange(12), np.full(12, np.nan))
    process, other = CurveProcess(), CurveProcess()
    for n in (27, 28, 30, 33):
        process.learn(values.take(slice(n)))
        process.believing(asked.take(slice(6)))
        other.learn(values.take(slice(n)))
        for one, same in zip(process.ends(points), other.ends(points), strict=True):
            assert (one == same).all()
