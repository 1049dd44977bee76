"""The built site: links inside it, nothing from a network, pages at two widths. For `make docs`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

SITE = Path(__file__).resolve().parents[1] / "site"
OPENED = ("index", "from_log_to_advice", "tables_in_pandas", "science", "api")
# What a page says of itself: its width, its window's, its headings, pictures, those without a size.
_PROBE = """<script>addEventListener("load", () => setTimeout(() => {
const images = [...document.querySelectorAll(".md-content img")];
document.title = "probe " + [document.documentElement.scrollWidth, innerWidth,
document.querySelectorAll(".md-content h1, .md-content h2").length, images.length,
images.filter(i => !i.naturalWidth).length].join(" ") + " end"; }, 500));</script></body>"""


def pages() -> list[Path]:
    return sorted(page for page in SITE.glob("*.html") if page.stem != "404")


def test_every_link_inside_the_site_leads_to_a_page_and_a_place() -> None:
    names = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in pages()}
    assert len(names) > 25
    broken = []
    for page in names:
        for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text()):
            path, _, place = unquote(link).partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            if re.match(r"(https?|mailto|data|javascript):", link):
                continue
            if not target.exists() or (place and place not in names.get(target, {place})):
                broken.append((page.name, link))
    assert broken == []


def test_no_page_loads_anything_from_a_network() -> None:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', text) == [], page
        assert re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', text) == [], page


def test_notebooks_were_executed() -> None:
    text = (SITE / "from_log_to_advice.html").read_text(encoding="utf-8")
    assert "stopped after epoch" in text
    assert "data:image/png;base64" in text
    assert "r2_mean" in (SITE / "tables_in_pandas.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1400, 500])
@pytest.mark.parametrize("name", OPENED)
def test_a_page_fits_its_window_and_shows_its_pictures(
    name: str, width: int, tmp_path: Path
) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    assert browser is not None, "no Chromium is installed (apt install chromium)"
    page = SITE / f"{name}.probe.html"
    text = (SITE / f"{name}.html").read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", _PROBE), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--window-size={width},1000", "--virtual-time-budget=8000"]
    command += [f"--user-data-dir={tmp_path}", page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    finally:
        page.unlink()
    probe = re.search(r"<title>probe ([\d ]+) end</title>", done.stdout)
    assert probe, done.stderr[-1000:]
    wide, window, headings, images, empty = map(int, probe[1].split())
    assert window == width
    assert wide <= window
    assert headings > 1
    assert empty == 0
    assert images > 0 or name not in ("index", "from_log_to_advice")
