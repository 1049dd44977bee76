from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, protocol

FRACTIONS = (0.1, 0.2, 0.25, 0.4, 0.6, 0.8)


@pytest.mark.parametrize(
    ("last_epoch", "taus"),
    [
        (20, [2, 4, 5, 8, 12, 16]),
        (50, [5, 10, 13, 20, 30, 40]),
        (60, [6, 12, 15, 24, 36, 48]),
        (140, [14, 28, 35, 56, 84, 112]),
        (500, [50, 100, 125, 200, 300, 400]),
    ],
)
def test_taus_of_the_published_grid(last_epoch: int, taus: list[int]) -> None:
    assert [protocol.tau_of(fraction, range(last_epoch + 1)) for fraction in FRACTIONS] == taus
    grid = protocol.tau_grid(range(1, last_epoch + 1), FRACTIONS)
    assert grid == dict(zip(taus, FRACTIONS, strict=True))


def test_tau_is_at_least_one_and_at_most_the_end() -> None:
    assert protocol.tau_of(0.01, range(21)) == 1
    assert protocol.tau_of(1.0, range(21)) == 20
    # .07 * 100 is 7.000000000000001 in floating point
    assert protocol.tau_of(0.07, range(101)) == 7
    for fraction in (0.0, 1.01, -0.5):
        with pytest.raises(DataError, match="is not in"):
            protocol.tau_of(fraction, range(21))
    with pytest.raises(DataError, match="no trained epoch"):
        protocol.tau_of(0.5, [0])


def test_fractions_are_of_recorded_epochs() -> None:
    tokens = np.arange(1, 21) * 10**12 // 20
    assert [protocol.tau_of(f, tokens) for f in (0.01, 0.25, 0.29, 0.8)] == [
        *(5 * 10**10, 25 * 10**10, 25 * 10**10, 8 * 10**11)
    ]
    sizes = [0, 10, 30, 100, 300, 1000]
    assert protocol.tau_grid(sizes, [0.005, 0.05, 0.25, 0.6]) == {
        10: 0.005,
        30: 0.05,
        100: 0.25,
        300: 0.6,
    }


def test_epochs_join_the_grid_in_order() -> None:
    grid = protocol.tau_grid(range(51), [0.5, 0.1], taus=[7, 25])
    assert list(grid.items()) == [(5, 0.1), (7, 0.14), (25, 0.5)]
    with pytest.raises(DataError, match="tau 51"):
        protocol.tau_grid(range(51), [0.5], taus=[51])


def test_seeds_depend_on_names_alone() -> None:
    assert protocol.seed_from("lcbench/adult", 3) == protocol.seed_from("lcbench/adult", 3)
    seeds = {protocol.seed_from(name, repeat) for name in "abc" for repeat in range(50)}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert protocol.seed_from("a", "bc") != protocol.seed_from("ab", "c")
    # written down once: a change here would change every published table of this project
    assert protocol.seed_from("baker/metaqnn_cifar10", 0) == 2284097714


def grouped(make_curves, n: int = 90, size: int = 3) -> CurveSet:
    curves = make_curves(n=n)
    curves.configs["group"] = np.random.default_rng(0).permutation(np.arange(n) // size)
    return curves


def test_split_is_disjoint_complete_and_reproducible(make_curves) -> None:
    curves = make_curves(n=50)
    split = protocol.split(curves, 20, repeat=1)
    assert len(split.train) == 20
    np.testing.assert_array_equal(np.sort(np.r_[split.train, split.test]), np.arange(50))
    again = protocol.split(make_curves(n=50), 20, repeat=1)
    np.testing.assert_array_equal(again.train, split.train)
    assert not np.array_equal(protocol.split(curves, 20, repeat=2).train, split.train)


def test_split_does_not_depend_on_values(make_curves) -> None:
    curves = make_curves(n=50)
    split = protocol.split(curves, 20, repeat=0)
    curves.values[:] = np.random.default_rng(1).standard_normal(curves.values.shape)
    np.testing.assert_array_equal(protocol.split(curves, 20, repeat=0).train, split.train)


def test_split_depends_on_the_name_of_the_data_set(make_curves) -> None:
    one = protocol.split(make_curves(n=50, name="a"), 20, repeat=0)
    other = protocol.split(make_curves(n=50, name="b"), 20, repeat=0)
    assert not np.array_equal(one.train, other.train)


def test_repeated_configurations_stay_on_one_side(make_curves) -> None:
    curves = grouped(make_curves)
    for repeat in range(5):
        split = protocol.split(curves, 30, repeat)
        assert not set(curves.groups[split.train]) & set(curves.groups[split.test])
        assert len(split.train) == 30


def test_smaller_training_sets_are_prefixes_with_the_same_test_runs(make_curves) -> None:
    curves = make_curves(n=80)
    large = protocol.split(curves, 40, repeat=2)
    for n in (10, 25, 40):
        small = protocol.split(curves, n, repeat=2, reserve=40)
        np.testing.assert_array_equal(small.train, large.train[:n])
        np.testing.assert_array_equal(small.test, large.test)


def test_prefixes_of_grouped_runs_do_not_leak_into_the_test_runs(make_curves) -> None:
    curves = grouped(make_curves)
    small = protocol.split(curves, 10, repeat=0, reserve=30)
    assert not set(curves.groups[small.train]) & set(curves.groups[small.test])


def test_disjoint_training_sets_share_their_test_runs(make_curves) -> None:
    curves = grouped(make_curves, n=300)
    assert protocol.disjoint_sets(curves, 30, 10) == 8
    splits = [protocol.split(curves, 30, repeat, disjoint=8) for repeat in range(8)]
    trained = np.concatenate([split.train for split in splits])
    assert len(set(curves.groups[trained])) == 8 * 10
    for split in splits:
        np.testing.assert_array_equal(split.test, splits[0].test)
    np.testing.assert_array_equal(np.sort(np.r_[trained, splits[0].test]), np.arange(300))
    small = protocol.split(curves, 10, 3, reserve=30, disjoint=8)
    np.testing.assert_array_equal(small.train, splits[3].train[:10])
    np.testing.assert_array_equal(small.test, splits[3].test)
    assert len(protocol.split(curves, 0, 3, reserve=30, disjoint=8).train) == 0


@pytest.mark.parametrize(
    ("runs", "n_train", "repeats", "sets"),
    [
        (2000, 100, 10, 10),
        (1000, 100, 10, 8),  # a fifth of the runs stays for testing
        (486, 100, 10, 0),  # fewer than five sets: they overlap
        (486, 100, 3, 3),
        (280, 100, 10, 0),
    ],
)
def test_how_many_sets_are_disjoint(runs: int, n_train: int, repeats: int, sets: int) -> None:
    curves = SimpleNamespace(final=np.zeros(runs))
    assert protocol.disjoint_sets(curves, n_train, repeats) == sets


def test_runs_without_a_finite_end_are_in_neither_side(make_curves) -> None:
    curves = make_curves(n=40)
    curves.values[[3, 8], -1] = [np.nan, np.inf]
    split = protocol.split(curves, 15, repeat=0)
    assert not {3, 8} & set(split.train.tolist() + split.test.tolist())
    assert len(split.train) + len(split.test) == 38


def test_pools_restrict_either_side(make_curves) -> None:
    curves = make_curves(n=60)
    shallow = (curves.configs["ap_layers"] < 3).to_numpy()
    split = protocol.split(curves, 10, 0, train_pool=shallow, test_pool=~shallow)
    assert shallow[split.train].all()
    assert not shallow[split.test].any()
    assert len(split.test) == (~shallow).sum()


def test_too_few_runs_name_the_data_set_and_the_key_to_change(make_curves) -> None:
    with pytest.raises(DataError, match=r"synthetic/saturating.*needs 50.*protocol\.n_train"):
        protocol.split(make_curves(n=40), 50, repeat=0)
    with pytest.raises(DataError, match="1 are left to test on"):
        protocol.split(make_curves(n=40), 39, repeat=0)
    curves = make_curves(n=40)
    curves.configs["group"] = np.arange(40) // 20
    with pytest.raises(DataError, match=r"0 runs can be trained on .*repeated configurations"):
        protocol.split(curves, 10, repeat=0)


def test_folds_hold_whole_groups_and_are_of_nearly_equal_size() -> None:
    groups = np.repeat(np.arange(100, 131), 2)
    folds = protocol.grouped_folds(groups, 3, seed=5)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1
    sizes = np.bincount(folds)
    assert len(sizes) == 3
    assert sizes.max() - sizes.min() <= 2
    np.testing.assert_array_equal(folds, protocol.grouped_folds(groups, 3, seed=5))
    assert not np.array_equal(folds, protocol.grouped_folds(groups, 3, seed=6))
