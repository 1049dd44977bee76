"""Hooks of mkdocs: pages of the site that stand elsewhere in the repository, or in the code."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from curvecast.predictors import registry

ROOT = Path(__file__).resolve().parents[1]
# Files beside docs/ and their names in the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def on_startup(**_: Any) -> None:
    """Let the kernel of the notebooks say errors alone; it warns of its own transport."""
    profile = Path(tempfile.mkdtemp(), "profile_default")
    profile.mkdir()
    (profile / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 'ERROR'\n")
    os.environ["IPYTHONDIR"] = str(profile.parent)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the repository's top, with the links that they have here."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        for other, page in PAGES.items():
            text = text.replace(f"]({other})", f"]({page})")
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "CITATION.cff", abs_src_path=str(ROOT / "CITATION.cff")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the table of models in its place, and the blank line before lists, which GitHub adds."""
    rows = [f"| `{e.name}` | {e.label} | {e.cite} |" for e in registry().values()]
    table = "\n".join(["| name | method | source |", "|---|---|---|", *rows])
    markdown = markdown.replace("<!-- models -->", table)
    return re.sub(r"^((?!- |\s).+)\n(?=- )", r"\1\n\n", markdown, flags=re.MULTILINE)


def on_page_content(html: str, **_: Any) -> str:
    """Links between pages that stand in a notebook, which mkdocs does not see."""
    return re.sub(r'href="(\w+)\.md"', r'href="\1.html"', html)
