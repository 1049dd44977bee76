from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError
from curvecast.files import write_parquet
from curvecast.report.figures import predictions


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., list[Path]]:
    """Write predictions of the curves at tau, whose `y_mean` may be replaced in places."""

    def write(curves: CurveSet, *, tau: int = 5, repeats: int = 2, **means: float) -> list[Path]:
        n = len(curves)
        columns = {
            "features": "TS+AP+HP",
            "n_train": 10,
            "repeat": np.repeat(range(repeats), n),
            "tau": tau,
            "configuration": np.tile(range(n), repeats),
            "y_true": np.tile(curves.final, repeats),
            "y_mean": np.tile(curves.final, repeats) + 0.01,
            "y_std": 0.02,
        }
        frame = pd.DataFrame(columns)
        for row, mean in means.items():
            frame.loc[int(row[1:]), "y_mean"] = mean
        write_parquet(frame, tmp_path / "ols.parquet")
        return [tmp_path / "ols.parquet"]

    return write


def visible(figure) -> list:
    return [axis for axis in figure.axes if axis.get_visible()]


def test_predictions_of_another_tau_are_refused(make_curves, save) -> None:
    curves = make_curves(n=10)
    with pytest.raises(DataError, match="no predictions at tau 5"):
        predictions.scatter(curves, save(curves, tau=8), ["ols"], 0.25)


def test_predicted_against_true_is_a_rasterised_cloud(make_curves, save) -> None:
    curves = make_curves(n=300, name="x/a")
    figure = predictions.scatter(curves, save(curves) * 2, ["ols", "ridge"], 0.25)
    axes = visible(figure)
    assert len(axes) == 2
    assert [axis.get_ylabel() for axis in axes] == [f"a\npredicted {curves.metric}", ""]
    cloud = axes[0].lines[1]
    assert cloud.get_rasterized()
    assert len(cloud.get_xdata()) == 600
    assert axes[0].get_xlim() == axes[0].get_ylim()


def test_outliers_do_not_stretch_the_axes_but_are_counted(make_curves, save) -> None:
    curves = make_curves(n=400)
    (axis,) = visible(predictions.scatter(curves, save(curves, repeats=1, r0=1e3), ["ols"], 0.25))
    assert axis.get_xlim()[1] < 2
    outside = float(axis.texts[0].get_text().split(" ")[0])
    assert outside >= 0.2


def test_gallery_shows_runs_evenly_over_the_ranking(make_curves, save) -> None:
    curves = make_curves(n=34)
    axes = visible(predictions.gallery(curves, save(curves), ["ols"], 0.25))
    assert len(axes) == 12
    shown = [axis.lines[-1].get_ydata()[0] for axis in axes]
    np.testing.assert_allclose(shown, np.sort(curves.final)[::3])
    seen = axes[0].lines[1]
    assert seen.get_xdata().tolist() == [1, 2, 3, 4, 5]
    interval = axes[0].lines[2].get_ydata()
    assert interval[1] - interval[0] == pytest.approx(2 * 1.2815515655 * 0.02)


def test_gallery_of_fewer_runs_than_panels(make_curves, save) -> None:
    curves = make_curves(n=3)
    assert len(visible(predictions.gallery(curves, save(curves), ["ols"], 0.25))) == 3
