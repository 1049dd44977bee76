"""Critical-difference diagrams show the ranks that they were given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curvecast.report.figures import ranks as plots

COLUMNS = "collection fraction n_train metric model average_rank sets critical_difference group"


def frame(gap: float) -> pd.DataFrame:
    rows = [
        ("lcbench", fraction, 100, metric, model, rank, 35, gap, group)
        for fraction in (0.25, 0.5)
        for metric in ("R²", "MAE")
        for model, rank, group in (("ols", 1.2, "a"), ("ridge", 1.3, "a"), ("mean", 3.0, "b"))
    ]
    return pd.DataFrame(rows, columns=COLUMNS.split())


def test_every_model_stands_at_its_rank_in_every_panel() -> None:
    figure = plots.diagram(frame(0.56))
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in axes] == [
        "R² at 25 %, 35 data sets",
        "MAE at 25 %, 35 data sets",
        "R² at 50 %, 35 data sets",
        "MAE at 50 %, 35 data sets",
    ]
    for axis in axes:
        texts = {text.get_text() for text in axis.texts}
        assert {"ols (1.2)", "ridge (1.3)", "(3.0) mean"} <= texts
        drawn = np.sort(np.concatenate([c.get_offsets()[:, 0] for c in axis.collections]))
        np.testing.assert_allclose(drawn, [1.2, 1.3, 3.0])


def test_a_panel_with_too_few_sets_says_so() -> None:
    figure = plots.diagram(frame(np.nan))
    said = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert said == {"too few data sets"}
