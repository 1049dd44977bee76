"""Fixtures that all tests share: synthetic curves with a known answer, and the real data."""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet
from curvecast.benchmark.scores import SCORES


@pytest.fixture
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules that a test loads from its folder: another one has some of these names."""
    path, folder = list(sys.path), str(tmp_path_factory.getbasetemp())
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(folder):
            del sys.modules[name]


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
                "r2_test_se": np.nan,
                "unseen": 0,
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


@pytest.fixture(scope="session")
def table_of() -> Callable[..., pd.DataFrame]:
    """Make a table of n runs, their settings and errors that fall to a limit which those tell."""

    def make(n: int = 40, last: int = 20) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        lr = 10.0 ** rng.uniform(-4, -1, n)
        optimizer = rng.choice(["adam", "sgd"], n)
        limit = 0.1 + 0.05 * np.abs(np.log10(lr) + 2.5) + 0.05 * (optimizer == "sgd")
        epochs = np.arange(1, last + 1)
        noise = 0.002 * rng.standard_normal((n, last))
        values = limit[:, None] + 0.5 * np.exp(-0.3 * epochs) + noise
        frame = pd.DataFrame({"run": [f"r{i}" for i in range(n)], "lr": lr, "optimizer": optimizer})
        return pd.concat(
            [frame, pd.DataFrame(values, columns=[f"err_{e}" for e in epochs])], axis=1
        )

    return make


_PROBE = """<script>
addEventListener("load", async () => {
  const wait = ms => new Promise(go => setTimeout(go, ms));
  await wait(1000);  // pictures that are open are unpacked, charts drawn
  const height = document.documentElement.scrollHeight;
  for (const part of document.querySelectorAll("details")) part.open = true;
  while (document.querySelector("img[data-packed]")) await wait(20);
  const images = [];
  for (const image of document.images) {
    image.loading = "eager";
    await image.decode().catch(() => {});
    images.push([image.closest("figure").id, image.naturalWidth]);
  }
  const sections = [...document.querySelectorAll("section")].map(section => ({
    id: section.id,
    words: section.innerText.split(/\\s+/).length,
    rows: section.querySelectorAll("tbody tr").length,
    charts: section.querySelectorAll("canvas").length,
    figures: section.querySelectorAll("img").length,
    findings: section.querySelectorAll(".findings li").length,
  }));
  const tables = [...document.querySelectorAll("table")].map(table => {
    const head = table.tHead.rows[0].cells[0], first = () => table.tBodies[0].rows[0].innerText;
    head.click();
    const one = first();
    head.click();
    const rows = table.tBodies[0].rows.length;
    return { id: table.closest("[id]").id, rows, moved: one !== first() };
  });
  const wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  parent.postMessage(JSON.stringify({ images, sections, tables, wider, height }), "*");
});
</script></body>"""
# A frame is as narrow as one likes, a window is not.
_FRAME = """<iframe src="page.html" style="border: 0; width: {width}px; height: 900px"></iframe>
<pre id="probe"></pre>
<script>
addEventListener("message", event => {
  document.getElementById("probe").textContent = event.data;
});
</script>"""


@pytest.fixture(scope="session")
def look_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int], dict[str, Any]]:
    """Open a page in a real browser of a given width and say what is there.

    `images` (figure and width of each decoded image), `sections`, `tables` (their rows, and
    whether a click on the first head turned them round), `wider` (pixels by which the page is
    wider than the window), `height` (of the page before anything is unfolded).
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        pytest.skip("no Chromium is installed (apt install chromium)")

    def look(page: Path, width: int) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("page")
        text = page.read_text(encoding="utf-8")
        before, _, after = text.rpartition("</body>")  # a plotting library holds the same text
        (folder / "page.html").write_text(before + _PROBE + after, encoding="utf-8")
        (folder / "frame.html").write_text(_FRAME.replace("{width}", str(width)), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += ["--window-size=1500,1000", "--virtual-time-budget=20000"]
        command += [f"--user-data-dir={folder / 'profile'}", (folder / "frame.html").as_uri()]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        found = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, flags=re.DOTALL)
        assert found, done.stderr[-2000:]
        return json.loads(html.unescape(found[1]))

    return look
