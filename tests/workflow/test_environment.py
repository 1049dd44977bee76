"""The three lists of packages agree, and the check of the system speaks in sentences."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import yaml

from .conftest import ROOT


def pins(lines: list[str]) -> dict[str, str]:
    """Lower-case names and versions of lines `name==version`."""
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower().replace("_", "-"): version.strip() for name, version in pairs}


def read(name: str) -> dict[str, str]:
    return pins((ROOT / "envs" / name).read_text(encoding="utf-8").splitlines())


def test_every_wanted_package_is_frozen_at_its_version() -> None:
    frozen, wanted = read("requirements.txt"), read("requirements.in")
    assert len(wanted) > 20
    assert {name: frozen.get(name) for name in wanted} == wanted
    assert len(frozen) > len(wanted)


def test_conda_gets_the_same_versions() -> None:
    text = (ROOT / "envs/environment.yaml").read_text(encoding="utf-8")
    listed = yaml.safe_load(text)["dependencies"]
    conda = pins(next(entry["pip"] for entry in listed if isinstance(entry, dict)))
    wanted = read("requirements.in")
    assert {name: wanted.get(name) for name in conda} == conda
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {entry.split(">")[0].lower() for entry in project["dependencies"]}
    assert needed <= set(conda)


def test_a_machine_without_a_compiler_is_told_so() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "envs/check_system.py")],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "A C compiler is needed" in done.stderr
    assert "apt install gcc" in done.stderr
