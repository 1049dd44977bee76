"""Fixtures that all tests share: synthetic curves with a known answer, and the real data."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet
from curvecast.scores import SCORES


@pytest.fixture
def make_curves() -> Callable[..., CurveSet]:
    """Make n saturating curves a - b * exp(-c * t) + noise whose limit depends on hp_lr."""

    def make(
        n: int = 60,
        last_epoch: int = 20,
        *,
        first_epoch: int = 1,
        noise: float = 0.0,
        seed: int = 0,
        direction: str = "maximize",
        name: str = "synthetic/saturating",
    ) -> CurveSet:
        rng = np.random.default_rng(seed)
        lr = 10 ** rng.uniform(-4, -1, n)
        layers = rng.integers(1, 5, n)
        epochs = np.arange(first_epoch, last_epoch + 1)
        limit = 0.9 - 0.05 * np.abs(np.log10(lr) + 2.5) + 0.01 * layers
        rate = rng.uniform(0.08, 0.3, n)
        values = limit[:, None] - 0.6 * np.exp(-rate[:, None] * epochs[None, :])
        values = values + noise * rng.standard_normal(values.shape)
        configs = pd.DataFrame(
            {
                "id": [f"run{i}" for i in range(n)],
                "group": np.arange(n),
                "hp_lr": lr,
                "hp_optimizer": pd.Categorical(rng.choice(["adam", "sgd"], n)),
                "ap_layers": layers.astype(float),
            }
        )
        curves = CurveSet(
            configs=configs,
            values=values,
            epochs=epochs,
            metric="validation accuracy",
            direction="maximize",
            name=name,
            source="made for a test",
            log_columns=("hp_lr",),
        )
        return curves if direction == "maximize" else curves.negated()

    return make


@pytest.fixture
def make_scores() -> Callable[..., pd.DataFrame]:
    """Make score rows with the given R² per repeat, by (data set, model); mae = 1 - r2."""

    def make(
        r2: dict[tuple[str, str], list[float]], *, fraction: float = 0.25, **columns: object
    ) -> pd.DataFrame:
        rows = [
            {
                "dataset": dataset,
                "model": model,
                "experiment": "main",
                "features": "TS+AP+HP",
                "n_train": 100,
                "repeat": repeat,
                "tau": 5,
                "fraction": fraction,
                "n_test": 900,
                **dict.fromkeys(SCORES, 0.5),
                "r2": value,
                "mae": 1 - value,
                **columns,
            }
            for (dataset, model), values in r2.items()
            for repeat, value in enumerate(values)
        ]
        return pd.DataFrame(rows)

    return make


@pytest.fixture
def write_images() -> Callable[..., list[Path]]:
    """Write images and labels as the Kuzushiji data are published: npz, or idx (gzip)."""

    def write(folder: Path, format: str, x: np.ndarray, y: np.ndarray, part: str) -> list[Path]:
        paths = []
        for name, array in (("imgs", x), ("labels", y)):
            path = folder / f"{part}-{name}.{format}"
            if format == "npz":
                np.savez_compressed(path, array)
            else:
                header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
                path.write_bytes(gzip.compress(header + array.tobytes()))
            paths.append(path)
        return paths

    return write


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder with the published raw files; skips the test where CURVECAST_MIRROR is not set."""
    if "CURVECAST_MIRROR" not in os.environ:
        pytest.skip("CURVECAST_MIRROR is not set: no published raw files at hand")
    return Path(os.environ["CURVECAST_MIRROR"]).resolve()
