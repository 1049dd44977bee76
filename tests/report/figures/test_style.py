from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curvecast.predictors import ordered as model_order
from curvecast.report.figures import style


@style.styled
def figure():
    made, axes = style.panels([""], columns=3, width=3)
    axes[0].plot([0, 1], [0, 1], "o-", rasterized=True)
    axes[0].fill_between([0, 1], [0, 1], [1, 2], alpha=0.2)
    style.legend(made, {"a line": {"color": style.BLUE}})
    return made


def test_both_formats_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        style.save(figure(), tmp_path / name / "fig")
    for suffix in ("svg", "png"):
        one, other = (tmp_path / n / f"fig.{suffix}" for n in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()
    text = (tmp_path / "a" / "fig.svg").read_text()
    assert "<dc:date>" not in text
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["fig.png", "fig.svg"]


def test_nothing_stays_of_a_figure_that_cannot_be_drawn(tmp_path: Path) -> None:
    broken = figure()
    broken.text(0.5, 0.5, r"$\frac{$")
    with pytest.raises(ValueError, match="frac"):
        style.save(broken, tmp_path / "fig")
    assert list(tmp_path.iterdir()) == []


def test_known_models_all_look_different() -> None:
    models = [*model_order(), "mine", "yours"]
    looks = style.looks(models)
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == len(models)
    assert style.looks(["mine"])["mine"] == style.looks(["ols", "mine"])["mine"]


def luminance_after(matrix: np.ndarray, colour: str) -> np.ndarray:
    return matrix @ np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def test_hues_stay_apart_for_colour_blind_readers() -> None:
    # Machado, Oliveira and Fernandes (2009), full deuteranopia and protanopia.
    simulated = {
        "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    }
    hues = [style.BLACK, style.ORANGE, style.SKY, style.GREEN, style.BLUE, style.RED]
    for matrix in simulated.values():
        seen = np.array([luminance_after(np.array(matrix), hue) for hue in hues])
        distance = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert distance[np.triu_indices(len(hues), 1)].min() > 0.15


def test_png_has_report_size(tmp_path: Path) -> None:
    style.save(figure(), tmp_path / "fig")
    with Image.open(tmp_path / "fig.png") as image:
        assert image.width == 3 * style.RASTER_DPI


def test_long_names_are_cut() -> None:
    assert style.short("lcbench/higgs", 18) == "higgs"
    assert style.short("lcbench/blood-transfusion-service-center", 18) == "blood-transfusion…"
