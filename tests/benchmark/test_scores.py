from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from curvecast import CurveSet, DataError
from curvecast.benchmark import scores
from curvecast.files import read_parquet, write_parquet
from curvecast.predictors.quantiles import SHAPES

LEVELS = np.array(list(scores.LEVELS.values()))


def predictions(n: int = 50, *, seed: int = 0, repeats: int = 2, taus: tuple[int, ...] = (2, 5)):
    """Gaussian prediction rows in the form of a prediction file; all repeats share test runs."""
    rng = np.random.default_rng(seed)
    final = rng.normal(size=n)
    parts = []
    for repeat in range(repeats):
        for tau in taus:
            order = rng.permutation(n)
            y = final[order]
            parts.append(
                pd.DataFrame(
                    {
                        "features": pd.Categorical(["TS+AP+HP"] * n),
                        "n_train": np.int32(100),
                        "repeat": np.int32(repeat),
                        "tau": np.int32(tau),
                        "configuration": order.astype(np.int32),
                        "y_true": y.astype(np.float32),
                        "y_mean": (y + rng.normal(size=n) / tau).astype(np.float32),
                        "y_std": np.float32(1 / tau),
                        **dict.fromkeys(scores.LEVELS, np.float32(np.nan)),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def gaussian_quantiles(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return mean[:, None] + std[:, None] * ndtri(LEVELS)


def gaussian_score(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, float]:
    return scores.score(y, mean, gaussian_quantiles(mean, std))


def crps_by_integration(cdf, y: float, low: float, high: float, kinks=()) -> float:
    ends = sorted({low, y, high, *kinks})
    pieces = [
        quad(lambda x: cdf(x) ** 2 if x < y else (1 - cdf(x)) ** 2, a, b, epsabs=1e-10)[0]
        for a, b in pairwise(ends)
    ]
    return sum(pieces)


# point scores


def test_r2_errors_and_ranks_by_hand() -> None:
    y, mean = np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 2.0, 4.0, 3.0])
    result = gaussian_score(y, mean, np.ones(4))
    # mean of y is 3, SST = 4 + 1 + 0 + 9 = 14, SSE = 1 + 0 + 1 + 9 = 11
    assert result["r2"] == pytest.approx(1 - 11 / 14)
    assert result["mse"] == pytest.approx(11 / 4)
    assert result["mae"] == pytest.approx(5 / 4)
    # ranks 1 2 3 4 against 1.5 1.5 4 3
    assert result["spearman"] == pytest.approx(3.5 / math.sqrt(5 * 4.5))
    # 4 concordant pairs, 1 discordant, 1 tied in the prediction: (4 - 1) / sqrt(6 * 5)
    assert result["kendall"] == pytest.approx(3 / math.sqrt(30))


def test_perfect_and_mean_predictions() -> None:
    y = np.random.default_rng(0).normal(size=200)
    perfect = gaussian_score(y, y, np.zeros(200))
    assert perfect["r2"] == 1
    assert perfect["crps"] == pytest.approx(0, abs=1e-5)
    assert perfect["cover50"] == perfect["cover95"] == 1
    constant = gaussian_score(y, np.full(200, y.mean()), np.full(200, y.std()))
    assert constant["r2"] == pytest.approx(0, abs=1e-12)
    assert math.isnan(constant["spearman"])
    assert math.isnan(constant["kendall"])


def test_constant_targets_have_no_r2_but_errors() -> None:
    result = gaussian_score(np.full(5, 0.3), np.full(5, 0.4), np.full(5, 0.1))
    assert math.isnan(result["r2"])
    assert result["mae"] == pytest.approx(0.1)
    assert result["cover95"] == 1


def test_r2_is_not_clipped() -> None:
    y = np.array([0.0, 1.0])
    assert gaussian_score(y, y + 100, np.ones(2))["r2"] == pytest.approx(1 - 2 * 100**2 / 0.5)


# distributions


@pytest.mark.parametrize("y", [-2.0, 0.1, 0.7, 4.0])
def test_crps_of_gaussian_quantiles_is_the_integral(y: float) -> None:
    mean, std = 0.3, 0.8
    expected = crps_by_integration(lambda x: ndtr((x - mean) / std), y, -12, 14)
    quantiles = gaussian_quantiles(np.array([mean]), np.array([std]))
    nll, crps = scores.quantile_nll_crps(np.array([y]), quantiles, 1e-9)
    assert crps[0] == pytest.approx(expected, abs=1e-8)
    assert nll[0] == pytest.approx(-norm.logpdf(y, mean, std), rel=1e-9)


def test_gaussian_nll_and_coverage_of_exact_predictions() -> None:
    rng = np.random.default_rng(1)
    std = rng.uniform(0.5, 3, 200_000)
    mean = rng.normal(size=std.size)
    result = gaussian_score(mean + std * rng.normal(size=std.size), mean, std)
    for name, level in (("cover50", 0.5), ("cover80", 0.8), ("cover95", 0.95)):
        assert result[name] == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 2e5))
    assert result["nll"] == pytest.approx(
        0.5 * math.log(2 * math.pi * math.e) + np.mean(np.log(std)), abs=0.01
    )
    assert result["width80"] == pytest.approx(2 * ndtri(0.9) * std.mean())


@pytest.mark.parametrize("y", [-3.0, 0.02, 0.35, 0.9, 3.0])
def test_scores_of_skewed_quantiles_are_those_of_their_distribution(y: float) -> None:
    knots = ndtri(LEVELS)
    quantiles = np.exp(0.6 * knots)
    slopes = np.diff(quantiles) / np.diff(knots)

    def quantile(z: float) -> float:
        i = int(np.clip(np.searchsorted(knots, z) - 1, 0, len(slopes) - 1))
        return quantiles[i] + slopes[i] * (z - knots[i])

    def cdf(x: float) -> float:
        i = int(np.clip(np.searchsorted(quantiles, x) - 1, 0, len(slopes) - 1))
        return float(ndtr(knots[i] + (x - quantiles[i]) / slopes[i]))

    assert cdf(quantile(1.3)) == pytest.approx(ndtr(1.3))
    nll, crps = scores.quantile_nll_crps(np.array([y]), quantiles[None], 1e-9)
    assert crps[0] == pytest.approx(crps_by_integration(cdf, y, -8, 12, quantiles), abs=1e-7)
    step = 1e-6
    density = (cdf(y + step) - cdf(y - step)) / (2 * step)
    assert nll[0] == pytest.approx(-math.log(density), rel=1e-5)


def test_zero_standard_deviation() -> None:
    y = np.array([0.0, 1.0, 2.0])
    missed = gaussian_score(y, y + 0.5, np.zeros(3))
    assert missed["crps"] == pytest.approx(0.5, abs=1e-5)
    assert missed["cover95"] == 0
    assert missed["width80"] == 0
    # the spread is bounded below by 1e-6 of the targets' standard deviation
    floor = 1e-6 * y.std()
    expected = 0.5 * math.log(2 * math.pi) + math.log(floor) + 0.5 * (0.5 / floor) ** 2
    assert missed["nll"] == pytest.approx(expected, rel=1e-4)


def test_quantiles_that_coincide_are_a_point_mass() -> None:
    y = np.array([0.0, 1.0, 2.0])
    point = scores.score(y, y + 0.5, np.repeat(y[:, None] + 0.5, 10, axis=1))
    assert point["crps"] == pytest.approx(0.5, abs=1e-5)
    assert np.isfinite(point["nll"])
    assert point["nll"] > 1e9


def test_coverage_at_the_top_is_that_of_the_best_predicted_tenth() -> None:
    y = np.arange(20.0)
    mean = y.copy()
    mean[[18, 19]] = [30.0, 31.0]  # the two best predicted runs miss their intervals from below
    quantiles = gaussian_quantiles(mean, np.ones(20))
    up = scores.score(y, mean, quantiles)
    assert (up["cover80"], up["cover80_top"], up["exceed_top"]) == (0.9, 0.0, 0.0)
    # where less is better the best two are 0 and 1; one of them ends far below its bound
    y[0] = -9.0
    down = scores.score(y, mean, quantiles, sign=-1.0)
    assert (down["cover80_top"], down["exceed_top"]) == (0.5, 0.5)


# frames and files


def test_reader_fills_gaussian_quantiles(tmp_path: Path) -> None:
    frame = predictions()
    write_parquet(frame, tmp_path / "p.parquet")
    filled = scores.read_predictions(tmp_path / "p.parquet")
    mean, std = frame["y_mean"].to_numpy(float), frame["y_std"].to_numpy(float)
    np.testing.assert_allclose(filled[list(scores.LEVELS)], gaussian_quantiles(mean, std))


def test_reader_keeps_given_quantiles(tmp_path: Path) -> None:
    frame = predictions()
    for name, level in scores.LEVELS.items():
        frame[name] = np.float32(level)
    write_parquet(frame, tmp_path / "p.parquet")
    filled = scores.read_predictions(tmp_path / "p.parquet")
    np.testing.assert_allclose(filled["q90"], 0.90, rtol=1e-6)


def test_reader_fills_quantiles_from_the_shape_of_a_cell(tmp_path: Path) -> None:
    frame = predictions(repeats=1)
    shape = np.sinh(ndtri(LEVELS))
    for name, value in zip(SHAPES.values(), shape, strict=True):
        frame[name] = np.float32(value)
    write_parquet(frame, tmp_path / "p.parquet")
    filled = scores.read_predictions(tmp_path / "p.parquet")
    assert not set(SHAPES.values()) & set(filled)
    mean, std = filled["y_mean"].to_numpy(), filled["y_std"].to_numpy()
    expected = mean[:, None] + std[:, None] * shape
    np.testing.assert_allclose(filled[list(scores.LEVELS)], expected, atol=1e-5)


def test_reader_names_file_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    frame = predictions()
    frame.loc[7, "q25"] = 0.5
    write_parquet(frame, path)
    with pytest.raises(DataError, match=r"p\.parquet, row 7, column q005"):
        scores.read_predictions(path)
    frame = predictions()
    frame.loc[3, "y_mean"] = np.inf
    write_parquet(frame, path)
    with pytest.raises(DataError, match=r"p\.parquet, row 3, column y_mean: inf"):
        scores.read_predictions(path)
    frame = predictions()
    frame.loc[4, "y_std"] = -1
    write_parquet(frame, path)
    with pytest.raises(DataError, match=r"p\.parquet, row 4, column y_std"):
        scores.read_predictions(path)
    write_parquet(predictions().drop(columns="tau"), path)
    with pytest.raises(DataError, match=r"p\.parquet, column tau: missing"):
        scores.read_predictions(path)


def test_a_row_per_cell_whatever_the_order() -> None:
    frame = scores.fill_quantiles(predictions())
    shuffled = frame.sample(frac=1, random_state=3)
    result = scores.score_frame(frame)
    assert result[["repeat", "tau"]].to_numpy().tolist() == [[0, 2], [0, 5], [1, 2], [1, 5]]
    assert (result["n_test"] == 50).all()
    pd.testing.assert_frame_equal(result, scores.score_frame(shuffled), check_exact=True)
    cell = frame[(frame["repeat"] == 1) & (frame["tau"] == 5)]
    expected = scores.r2(cell["y_true"].to_numpy(), cell["y_mean"].to_numpy())
    assert result["r2"].iloc[3] == pytest.approx(expected, rel=1e-12)


def test_depth_is_a_key_where_it_is_given() -> None:
    frame = predictions(repeats=1, taus=(2,))
    deep = pd.concat([frame.assign(depth=32), frame.assign(depth=62, y_mean=frame["y_true"])])
    result = scores.score_frame(scores.fill_quantiles(deep.reset_index(drop=True)))
    assert result["depth"].tolist() == [32, 62]
    assert result["r2"].iloc[1] == 1
    assert result["r2"].iloc[0] < 1


def test_score_file(tmp_path: Path, make_curves) -> None:
    curves: CurveSet = make_curves(last_epoch=20)
    curves.to_parquet(tmp_path / "c.parquet")
    write_parquet(predictions(), tmp_path / "p.parquet")
    out = tmp_path / "scores" / "toy.parquet"
    files = {"ols": tmp_path / "p.parquet", "ridge": tmp_path / "p.parquet"}
    draws = tmp_path / "draws" / "toy.parquet"
    written = scores.write_scores(
        files, tmp_path / "c.parquet", out, draws, fractions=[0.1], epochs=[5]
    )
    frame, _ = read_parquet(out)
    pd.testing.assert_frame_equal(frame, written)
    assert set(frame["dataset"]) == {"synthetic/saturating"}
    assert frame.groupby("tau")["fraction"].first().to_dict() == {2: 0.1, 5: 0.25}
    each = frame.drop(columns="model").groupby(frame["model"])
    pd.testing.assert_frame_equal(
        *(each.get_group(model).reset_index(drop=True) for model in ("ols", "ridge"))
    )
    drawn, _ = read_parquet(draws)
    assert drawn.groupby(["model", "tau"])["draw"].nunique().tolist() == [scores.DRAWS] * 4
    spread = drawn.groupby(["model", "tau"])["r2"].std()
    cells = frame.groupby(["model", "tau"])["r2_test_se"]
    np.testing.assert_allclose(cells.first(), spread, rtol=1e-6)
    assert (cells.nunique() == 1).all()
    assert (frame["unseen"] == 0).all()
    with pytest.raises(DataError, match=r"p\.parquet.*: tau 5 is not in the configured grid"):
        scores.write_scores(files, tmp_path / "c.parquet", out, draws, fractions=[0.1])


def test_bootstrap_by_hand() -> None:
    """Two repeats with the errors 1 and -2 on runs with the ends 0 and 4, and 0 on a third at 2."""
    rows = pd.DataFrame(
        {
            **{"features": "TS", "n_train": 5, "tau": 2, "repeat": [0, 0, 0, 1, 1, 1]},
            **{"configuration": [0, 1, 2] * 2, "y_true": [0.0, 4.0, 2.0] * 2},
            "y_mean": [1.0, 6.0, 2.0, 1.0, 2.0, 2.0],
        }
    )
    drawn = scores.bootstrap(rows, np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]))
    assert drawn["draw"].tolist() == [0, 1]
    # mean squared errors of the runs are 1, 4 and 0; SST is 8, and 8/3 around 8/3
    np.testing.assert_allclose(drawn["r2"], [1 - 5 / 8, 1 - 4 / (8 / 3)], rtol=1e-6)
    np.testing.assert_allclose(drawn["mae"], [1.0, 2 / 3], rtol=1e-6)
    other = rows[~((rows["repeat"] == 1) & (rows["configuration"] == 0))]
    assert scores.bootstrap(other, np.ones((2, 3))).empty


def test_runs_without_a_value_so_early_are_counted(tmp_path: Path, make_curves) -> None:
    curves: CurveSet = make_curves(50, last_epoch=20)
    curves.values[:7, :2] = np.nan
    curves.values[0, -1] = np.nan
    curves.to_parquet(tmp_path / "c.parquet")
    write_parquet(predictions(), tmp_path / "p.parquet")
    frame = scores.write_scores(
        {"ols": tmp_path / "p.parquet"},
        tmp_path / "c.parquet",
        tmp_path / "s.parquet",
        tmp_path / "d.parquet",
        fractions=[0.1, 0.25],
    )
    assert frame.groupby("tau")["unseen"].first().to_dict() == {2: 6, 5: 0}
