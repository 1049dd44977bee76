"""Rungs, brackets and decision epochs."""

from __future__ import annotations

import numpy as np
import pytest

from curvecast import DataError, fidelity
from curvecast.fidelity import brackets, evaluation_epochs, rung_ends, rungs


@pytest.mark.parametrize(
    ("low", "high", "eta", "expected"),
    [
        (1, 243, 3, [1, 3, 9, 27, 81, 243]),
        (1, 1000, 10, [1, 10, 100, 1000]),
        (1, 50, 3, [2, 6, 17, 50]),
        (5, 5, 2, [5]),
        (0.125, 1.0, 2, [0.125, 0.25, 0.5, 1.0]),
    ],
)
def test_rungs_are_exact(low: float, high: float, eta: float, expected: list[float]) -> None:
    assert rungs(low, high, eta) == expected
    assert all(type(b) is type(e) for b, e in zip(rungs(low, high, eta), expected, strict=True))


def test_brackets_of_the_paper() -> None:
    """Table 1 of Li et al. (2018): R = 81, eta = 3."""
    table = [[(r.n, r.epochs) for r in rungs] for rungs in brackets(np.arange(90), 3)]
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_many_rungs_are_not_lost_to_rounding() -> None:
    assert [len(rungs) for rungs in brackets(np.arange(1, 244), 3)] == [6, 5, 4, 3, 2, 1]
    assert rung_ends(np.arange(243), 3)[-1] == 81
    assert rung_ends(np.arange(244), 3, 81) == [1, 3, 9, 27, 81]
    with pytest.raises(DataError, match="not a power"):
        rung_ends(np.arange(244), 3, 100)
    with pytest.raises(DataError, match="at least 2"):
        rung_ends(np.arange(9), 1)
    with pytest.raises(DataError, match="no trained epoch"):
        rung_ends(np.array([0]), 3)


def test_rungs_resume() -> None:
    first = brackets(np.arange(28), 3)[0]
    assert [(r.start, r.next, r.epochs) for r in first] == [
        (0, 1, 1),
        (1, 2, 3),
        (3, 4, 9),
        (9, 10, 27),
    ]
    assert sum(r.n * (r.epochs - r.start) for r in first) == 27 + 18 + 18 + 18


def test_brackets_of_a_study_are_those_of_hpbandster() -> None:
    budgets = rungs(1, 81, 3)
    counts = [fidelity.bracket(k, budgets, 3)[0] for k in range(5)]
    assert counts == [[81, 27, 9, 3, 1], [27, 9, 3, 1], [9, 3, 1], [6, 2], [5]]
    assert fidelity.bracket(5, budgets, 3) == fidelity.bracket(0, budgets, 3)


def test_decision_epochs_of_a_long_curve_are_log_spaced() -> None:
    assert fidelity.sequential_epochs(np.arange(1, 21)).tolist() == list(range(1, 20))
    long = fidelity.sequential_epochs(np.arange(501))
    assert long[0] == 1
    assert 10 <= len(long) <= 14
    assert np.all(np.diff(np.diff(long)[5:]) >= 0)
    online = fidelity.online_epochs(np.arange(101), 8)
    assert online.tolist() == [1, 2, 4, 7, 13, 24, 45, 84]
    sparse = np.array([3, 10, 30, 90])
    assert fidelity.online_epochs(sparse, 8).tolist() == [3, 10, 30]
    assert fidelity.sequential_epochs(np.array([9])).tolist() == []
    assert fidelity.online_epochs(np.array([9]), 8).tolist() == []


def test_the_first_epoch_after_each_budget_is_a_decision_epoch() -> None:
    for end in (3, 9, 27, 81, 243):
        epochs = fidelity.rung_epochs(np.arange(501), end, 3)
        assert epochs[0] == 1
        assert epochs[-1] < end
        assert {b + 1 for b in (3, 9, 27, 81) if b < end} <= set(epochs.tolist())


def test_rungs_bottom_up_end_before_the_last_epoch() -> None:
    assert fidelity.halving_epochs(np.arange(28), 1, 3).tolist() == [1, 3, 9]
    assert fidelity.halving_epochs(np.arange(29), 1, 3).tolist() == [1, 3, 9, 27]
    assert fidelity.halving_epochs(np.arange(61), 3, 3).tolist() == [3, 9, 27]


@pytest.mark.parametrize("scale", [5, 1000, 10**12])
@pytest.mark.parametrize("n", [7, 20, 52, 140])
def test_schedules_are_the_same_in_any_unit(n: int, scale: int) -> None:
    epochs = np.arange(n + 1)
    for schedule in (
        lambda e, unit: fidelity.sequential_epochs(e),
        lambda e, unit: fidelity.sequential_epochs(e, all_up_to=0),
        lambda e, unit: fidelity.online_epochs(e, 8),
        lambda e, unit: fidelity.rung_epochs(e, (n - 1) * unit, 3),
        lambda e, unit: fidelity.halving_epochs(e, 2 * unit, 3),
        lambda e, unit: np.array(rung_ends(e, 3)),
        lambda e, unit: np.array([fidelity.share_of(e, 10)]),
        lambda e, unit: np.array([[vars(r)["epochs"], r.next] for r in brackets(e, 3)[0]]),
    ):
        expected = schedule(epochs, 1) * scale
        np.testing.assert_array_equal(schedule(epochs * scale, scale), expected)
        np.testing.assert_array_equal(schedule(epochs[1:] * scale, scale), expected)


def test_sparse_and_uneven_epochs_give_recorded_rungs() -> None:
    logged = np.array([1, 1000, 2000, 3000, 4000, 5000, 7500, 10_000])
    assert rung_ends(logged, 3) == [1, 1000, 2000, 7500]
    assert fidelity.halving_epochs(logged, 500, 3).tolist() == [1, 1000, 4000]
    late = np.array([100, 110, 120, 150, 200, 280, 300, 310])
    assert rung_ends(late, 3) == [100, 300]
    assert fidelity.rung_epochs(late, 300, 3).tolist() == [100, 110, 120, 150, 200, 280]
    many = np.arange(1, 100) * 10**10
    assert set(fidelity.rung_epochs(many, 81 * 10**10, 3)) <= set(many)
    assert evaluation_epochs(0, 10**12, 6, 3)[-1] == 10**12 - 3
    assert fidelity.pause_budgets(1, 10**12, 3)[-1] == 10**12


def test_an_evaluation_is_decided_on_before_anything_new_is_trained() -> None:
    assert evaluation_epochs(0, 50, 6, 3) == [0, 1, 2, 5, 10, 22, 47]
    assert evaluation_epochs(17, 50, 6, 3) == [17, 22, 47]
    assert evaluation_epochs(6, 8, 6, 3) == []
    assert evaluation_epochs(0, 2, 6, 3) == []
    assert evaluation_epochs(0, 2, 6, 2) == [0]
    assert evaluation_epochs(0, 4, 6, 3) == [0, 1]


def test_pauses_are_spread_from_the_lowest_to_the_highest_budget() -> None:
    assert fidelity.pause_budgets(1, 9, 3) == [1, 2, 4, 9]
    assert fidelity.pause_budgets(1, 27, 3) == [1, 2, 4, 7, 14, 27]
    assert fidelity.pause_budgets(1, 50, 3) == [1, 2, 4, 7, 14, 26, 50]
    assert fidelity.pause_budgets(5, 5, 3) == [5]
    assert fidelity.pause_budgets(1, 3, 2) == [1, 2, 3]
    assert fidelity.pause_budgets(0.25, 1.0, 3) == [0.25, 0.5, 1.0]
    assert {type(b) for b in fidelity.pause_budgets(1, 50, 3)} == {int}
