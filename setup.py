"""Puts the script that draws the chart of `curvecast report` into the package."""

from pathlib import Path

import vl_convert
from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithScript(build_py):
    def run(self) -> None:
        path = Path(self.get_package_dir("curvecast.report.page"), "vega.js")
        head = "/*! Vega, Vega-Lite, Vega-Embed, D3: BSD-3-Clause, ISC, MIT: licenses/vega.txt */"
        path.write_text(f"{head}\n" + vl_convert.javascript_bundle(), encoding="utf-8")
        super().run()


setup(cmdclass={"build_py": BuildWithScript})
