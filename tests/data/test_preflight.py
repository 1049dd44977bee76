from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from curvecast import DataError
from curvecast.data import preflight
from curvecast.data.registry import files_of, load_registry
from curvecast.data.stanza import RawFile

CONTENT = bytes(range(256)) * 4000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
OWN = {"reader": "table", "curve_columns": "acc_{epoch}", "direction": "maximize"}


@pytest.fixture
def registry(tmp_path: Path) -> dict[str, Any]:
    """Sets whose files lie in raw/, in a mirror, on a server, nowhere; one has two files."""

    def entry(name: str, **more: Any) -> dict[str, Any]:
        return {"path": f"{name}.csv", "checksum": SHA256, "bytes": 2_500_000, **more}

    for folder in ("raw", "mirror"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"in_{folder}.csv").write_bytes(CONTENT)
    server = "http://127.0.0.1:9/"
    files = {
        "a/raw": [entry("in_raw")],
        "b/mirror": [entry("in_mirror", url=f"{server}in_mirror.csv")],
        "c/server": [entry("on_server", url=f"{server}on_server.csv")],
        "d/nowhere": [entry("by_hand", page="https://example.org/form")],
        "e/half": [entry("in_raw"), entry("on_server", url=f"{server}on_server.csv")],
    }
    base = OWN
    return load_registry({name: {**base, "files": entries} for name, entries in files.items()})


OWN_NAMES = ["a/raw", "b/mirror", "c/server", "d/nowhere", "e/half"]


def test_preflight_finds_each_file(registry: dict[str, Any], tmp_path: Path) -> None:
    report = preflight.preflight(
        OWN_NAMES, registry, tmp_path / "raw", mirrors=[tmp_path / "mirror"]
    )
    assert report.usable == ["a/raw", "b/mirror", "c/server", "e/half"]
    assert [file.name for file in report.raw] == ["in_raw.csv"]
    assert report.mirrored == {"in_mirror.csv": tmp_path / "mirror" / "in_mirror.csv"}
    assert [file.name for file in report.download] == ["on_server.csv"]
    assert list(report.left_out) == ["d/nowhere"]
    text = report.text()
    assert "4 data sets; 1 files are in place, 1 come from a mirror, 1 will be downloaded" in text
    assert "download on_server.csv (2.5 MB) from http://127.0.0.1:9/on_server.csv" in text
    assert "LEFT OUT, because files are missing: d/nowhere" in text
    assert (
        f"Get by_hand.csv from https://example.org/form and put it at {tmp_path}/raw/"
        "by_hand.csv or below a mirror (CURVECAST_MIRROR) as by_hand.csv"
    ) in text
    assert not list((tmp_path / "raw").glob("on_server*"))


def test_preflight_offline_names_url_and_place(registry: dict[str, Any], tmp_path: Path) -> None:
    report = preflight.preflight(
        OWN_NAMES, registry, tmp_path / "raw", mirrors=[tmp_path / "mirror"], offline=True
    )
    assert report.usable == ["a/raw", "b/mirror"]
    assert list(report.left_out) == ["c/server", "d/nowhere", "e/half"]
    assert [file.name for file in report.left_out["e/half"]] == ["on_server.csv"]
    assert not report.download
    assert report.text().count("Get on_server.csv from http://127.0.0.1:9/on_server.csv") == 1


def test_preflight_fails_on_request(registry: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.on_missing is fail(.|\n)*LEFT OUT.*d/nowhere"):
        preflight.preflight(OWN_NAMES, registry, tmp_path / "raw", on_missing="fail")
    report = preflight.preflight(OWN_NAMES[:1], registry, tmp_path / "raw", on_missing="fail")
    assert report.usable == ["a/raw"]


def test_what_the_network_does_not_reach_is_left_out(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURVECAST_UNREACHABLE", "left.over")
    # nothing listens on port 9
    report = preflight.preflight(OWN_NAMES, registry, tmp_path / "raw", probe=True)
    assert report.unreachable == ("127.0.0.1:9",)
    assert report.usable == ["a/raw"]
    assert "The network does not reach 127.0.0.1:9" in report.text()

    # the processes that the first one starts do not ask, and plan the same
    monkeypatch.setattr(preflight, "silent_hosts", None)
    assert preflight.preflight(OWN_NAMES, registry, tmp_path / "raw") == report


def test_the_network_is_asked_only_for_what_could_be_skipped(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[RawFile]] = []
    monkeypatch.setattr(preflight, "silent_hosts", lambda files: asked.append(list(files)) or [])
    monkeypatch.delenv("CURVECAST_UNREACHABLE", raising=False)
    names = OWN_NAMES[:3]
    report = preflight.preflight(names, registry, tmp_path / "raw", probe=True, on_missing="fail")
    assert asked == []
    assert report.usable == ["a/raw", "b/mirror", "c/server"]
    report = preflight.preflight(names, registry, tmp_path / "raw", probe=True)
    assert [file.name for file in asked[0]] == ["in_mirror.csv", "on_server.csv"]
    assert report.usable == ["a/raw", "b/mirror", "c/server"]


def test_a_missing_file_of_the_user_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    registry = load_registry({"mine/runs": {**OWN, "file": str(path)}})
    with pytest.raises(DataError, match=r"runs\.csv: the file of a data set .* does not exist"):
        preflight.preflight(["mine/runs"], registry, tmp_path / "raw")
    path.write_text("lr,acc_1\n")
    report = preflight.preflight(["mine/runs"], registry, tmp_path / "raw", offline=True)
    assert report.usable == ["mine/runs"]
    (file,) = files_of(registry["mine/runs"])
    assert file.destination(tmp_path / "raw") == path


def test_mirrors_come_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURVECAST_MIRROR", os.pathsep.join(["/a", "/b"]))
    assert preflight.mirrors(["/c"]) == [Path("/a"), Path("/b"), Path("/c")]
    monkeypatch.delenv("CURVECAST_MIRROR")
    assert preflight.mirrors() == []


def test_locate_prefers_raw(tmp_path: Path) -> None:
    file = RawFile(path="a/b.csv", checksum=SHA256)
    mirrors = [tmp_path / "one", tmp_path / "two"]
    assert preflight.locate(file, tmp_path / "raw", mirrors) is None
    for folder in ("two", "one", "raw"):
        path = tmp_path / folder / "a" / "b.csv"
        path.parent.mkdir(parents=True)
        path.write_text("")
        assert (
            preflight.locate(file, tmp_path / "raw", [tmp_path / "one", tmp_path / "two"]) == path
        )
