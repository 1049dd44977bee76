from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError
from curvecast.benchmark.scores import fill_quantiles
from curvecast.report.figures import predictions


def frame_of(curves: CurveSet, *, tau: int = 5, repeats: int = 2) -> pd.DataFrame:
    n = len(curves)
    parts = [
        pd.DataFrame(
            {
                "features": "TS+AP+HP",
                "n_train": 10,
                "repeat": repeat,
                "tau": tau,
                "configuration": np.arange(n),
                "y_true": curves.final,
                "y_mean": curves.final + 0.01,
                "y_std": 0.02,
            }
        )
        for repeat in range(repeats)
    ]
    return fill_quantiles(pd.concat(parts, ignore_index=True))


def visible(figure) -> list:
    return [axis for axis in figure.axes if axis.get_visible()]


def test_one_tau_is_chosen(make_curves) -> None:
    curves = make_curves(n=10)
    both = pd.concat([frame_of(curves, tau=5), frame_of(curves, tau=8)])
    assert set(predictions.at_fraction(both, 8)["tau"]) == {8}
    with pytest.raises(DataError, match="no predictions at tau 9"):
        predictions.at_fraction(both, 9)


def test_predicted_against_true_is_a_rasterised_cloud(make_curves) -> None:
    frame = frame_of(make_curves(n=300, name="x/a"))
    figure = predictions.predicted_against_true({"ols": frame, "ridge": frame}, "x/a", "accuracy")
    axes = visible(figure)
    assert len(axes) == 2
    assert [axis.get_ylabel() for axis in axes] == ["a\npredicted accuracy", ""]
    cloud = axes[0].lines[1]
    assert cloud.get_rasterized()
    assert len(cloud.get_xdata()) == 600
    assert axes[0].get_xlim() == axes[0].get_ylim()


def test_outliers_do_not_stretch_the_axes_but_are_counted(make_curves) -> None:
    frame = frame_of(make_curves(n=400), repeats=1)
    frame.loc[0, "y_mean"] = 1000.0
    figure = predictions.predicted_against_true({"ols": frame}, "x/a", "accuracy")
    (axis,) = visible(figure)
    assert axis.get_xlim()[1] < 2
    outside = float(axis.texts[0].get_text().split(" ")[0])
    assert outside >= 0.2


def test_gallery_shows_runs_evenly_over_the_ranking(make_curves) -> None:
    curves = make_curves(n=40)
    figure = predictions.gallery(curves, frame_of(curves), 5, model="ols", n=4)
    axes = visible(figure)
    assert len(axes) == 4
    shown = [axis.lines[-1].get_ydata()[0] for axis in axes]
    ranked = np.sort(curves.final)
    np.testing.assert_allclose(shown, ranked[[0, 13, 26, 39]])
    seen = axes[0].lines[1]
    assert seen.get_xdata().tolist() == [1, 2, 3, 4, 5]
    interval = axes[0].lines[2].get_ydata()
    assert interval[1] - interval[0] == pytest.approx(2 * 1.2815515655 * 0.02)


def test_gallery_of_fewer_runs_than_panels(make_curves) -> None:
    curves = make_curves(n=3)
    figure = predictions.gallery(curves, frame_of(curves), 5, model="ols", n=12)
    assert len(visible(figure)) == 3
