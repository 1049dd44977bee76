from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from curvecast import DataError
from curvecast.data import registry as datasets
from curvecast.data.registry import RawFile, fetch, load_registry, locate, preflight

CONTENT = bytes(range(256)) * 4000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


# --- the registry -------------------------------------------------------------------------------


def test_every_stanza_is_complete() -> None:
    registry = load_registry()
    collections = [name.split("/")[0] for name in registry]
    expected = {"baker": 8, "embedded": 3, "lcbench": 35, "lcbench_full": 35}
    assert {kind: collections.count(kind) for kind in expected} == expected
    assert list(registry) == sorted(registry)
    for name, stanza in registry.items():
        assert stanza["licence"], name
        assert stanza["citation"], name
        for file in datasets.files_of(stanza):
            assert file.local or file.urls or file.page, name
            assert file.local or file.checksum, name
            assert all(url.startswith("http") for url in file.urls), name
            assert "{" not in file.path, name
    assert all(
        "fb78f31ce8d2b9f211bf88649a1393af49a1892a" in file.urls[0]
        for name in datasets.expand(["lcbench/*"], registry)
        for file in datasets.files_of(registry[name])
    )


def test_the_registry_is_alphabetical() -> None:
    content = yaml.safe_load(datasets.REGISTRY.read_text())
    names = list(content["datasets"])
    assert names == sorted(names)
    members = list(content["families"]["lcbench"]["members"])
    assert members == sorted(members, key=str.lower)


def test_a_family_fills_in_its_members() -> None:
    stanza = load_registry()["lcbench_full/numerai28.6"]
    assert (stanza["dataset"], stanza["target"]) == ("numerai28.6", "Train/val_accuracy")
    (file,) = datasets.files_of(stanza)
    assert (file.path, file.checksum) == (
        "lcbench/data_2k_lw.zip",
        "md5:26c8493006358a15ce12041c0bfc12a2",
    )


@pytest.mark.real_data
def test_every_file_of_the_mirror_is_registered_with_its_checksum(mirror: Path) -> None:
    registry = load_registry()
    here = {
        file.path: file
        for stanza in registry.values()
        for file in datasets.files_of(stanza)
        if not file.local and (mirror / file.path).is_file()
    }
    data = [p for p in mirror.rglob("*") if p.suffix in (".csv", ".npz", ".h5", ".gz")]
    assert sorted(here) == sorted(str(p.relative_to(mirror)) for p in data)
    for path, file in here.items():
        datasets.verify(mirror / path, file.checksum)
        assert file.bytes == (mirror / path).stat().st_size


def own(**changes: Any) -> dict[str, Any]:
    stanza = {
        "reader": "table",
        "file": "runs.csv",
        "curve_columns": "acc_{epoch}",
        "direction": "maximize",
    }
    return {"mine/runs": {**stanza, **changes}}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"baker/lstm_ptb": own()["mine/runs"]}, "'baker/lstm_ptb' is in the registry already"),
        (own(typo=1), "'mine/runs': unknown key 'typo'"),
        (own(reader="xls"), "'mine/runs': reader is 'xls'"),
        (own(kind="curve"), "'mine/runs': kind is 'curve'"),
        (own(file=None), "'mine/runs': a file's entry is None"),
        (own(file={"url": "http://a/b"}), "neither `path` nor `local`"),
        (own(file={"path": "b.csv", "sha": "1"}), "unknown key 'sha' in a file's entry"),
        (own(file={"path": "b.csv", "checksum": "md5:12"}), "checksum of b.csv is 'md5:12'"),
        (own(file={"path": "b.csv"}), "checksum of b.csv is None"),
        (own(file={"path": "../b.csv", "checksum": SHA256}), "leaves the raw folder"),
        ({"mine/runs": {"like": "baker/lstm"}}, "unknown data set 'baker/lstm'; did you mean"),
        ({"mine/runs": {"reader": "table", "direction": "maximize"}}, "'mine/runs': no `file`"),
        ({"../runs": own()["mine/runs"]}, r"'../runs': a name has letters"),
        ({"mine/runs": "runs.csv"}, "'mine/runs': the stanza is 'runs.csv', not a mapping"),
    ],
)
def test_wrong_definitions(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_registry(extra)


def test_like_takes_over_and_changes() -> None:
    registry = load_registry(
        {"mine/nets": {"like": "baker/metaqnn_svhn", "architecture": ["num_params", "gap"]}}
    )
    assert registry["mine/nets"]["architecture"] == ["num_params", "gap"]
    assert registry["mine/nets"]["files"] == registry["baker/metaqnn_svhn"]["files"]


def test_a_registry_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_text("datasets: {a: [")
    with pytest.raises(DataError, match=r"datasets\.yaml: not valid YAML"):
        load_registry(path=path)


def test_expand_resolves_patterns_in_order() -> None:
    registry = load_registry()
    names = datasets.expand(["lcbench/adult", "lcbench/a*", "baker/lstm_ptb"], registry)
    assert names == ["lcbench/adult", "lcbench/airlines", "lcbench/albert", "baker/lstm_ptb"]
    with pytest.raises(DataError, match="unknown data set 'lcbench/adlt'; did you mean lcbench/ad"):
        datasets.expand(["lcbench/adlt"], registry)
    with pytest.raises(DataError, match="unknown data set 'task/kmnist'"):
        datasets.expand(["task/kmnist"], registry)


def test_params_of_a_rule_hold_no_urls() -> None:
    stanza = datasets.for_reader(load_registry()["lcbench/adult"])
    assert list(stanza["files"][0]) == ["path", "checksum"]
    assert "http" not in str(stanza)


# --- preflight ----------------------------------------------------------------------------------


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
    base = own()["mine/runs"]
    del base["file"]
    return load_registry({name: {**base, "files": entries} for name, entries in files.items()})


OWN_NAMES = ["a/raw", "b/mirror", "c/server", "d/nowhere", "e/half"]


def test_preflight_finds_each_file(registry: dict[str, Any], tmp_path: Path) -> None:
    report = preflight(OWN_NAMES, registry, tmp_path / "raw", mirrors=[tmp_path / "mirror"])
    assert report.usable == ["a/raw", "b/mirror", "c/server", "e/half"]
    assert [file.path for file in report.raw] == ["in_raw.csv"]
    assert report.mirrored == {"in_mirror.csv": tmp_path / "mirror" / "in_mirror.csv"}
    assert [file.path for file in report.download] == ["on_server.csv"]
    assert list(report.left_out) == ["d/nowhere"]
    text = report.text()
    assert "4 data sets; 1 files are in place, 1 come from a mirror, 1 will be downloaded" in text
    assert "download on_server.csv (2.5 MB) from http://127.0.0.1:9/on_server.csv" in text
    assert "LEFT OUT, because files are missing: d/nowhere" in text
    assert (
        f"by_hand.csv: get it from https://example.org/form and put it at {tmp_path}/raw/"
        "by_hand.csv or below a mirror (CURVECAST_MIRROR) as by_hand.csv"
    ) in text
    assert not list((tmp_path / "raw").glob("on_server*"))


def test_preflight_offline_names_url_and_place(registry: dict[str, Any], tmp_path: Path) -> None:
    report = preflight(
        OWN_NAMES, registry, tmp_path / "raw", mirrors=[tmp_path / "mirror"], offline=True
    )
    assert report.usable == ["a/raw", "b/mirror"]
    assert list(report.left_out) == ["c/server", "d/nowhere", "e/half"]
    assert [file.path for file in report.left_out["e/half"]] == ["on_server.csv"]
    assert not report.download
    assert report.text().count("get it from http://127.0.0.1:9/on_server.csv") == 1


def test_preflight_fails_on_request(registry: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.on_missing is fail(.|\n)*LEFT OUT.*d/nowhere"):
        preflight(OWN_NAMES, registry, tmp_path / "raw", on_missing="fail")
    report = preflight(OWN_NAMES[:1], registry, tmp_path / "raw", on_missing="fail")
    assert report.usable == ["a/raw"]
    with pytest.raises(DataError, match=r"data\.on_missing is 'ask', not skip or fail"):
        preflight(OWN_NAMES, registry, tmp_path / "raw", on_missing="ask")


def test_what_the_network_does_not_reach_is_left_out(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURVECAST_UNREACHABLE", "left.over")
    # nothing listens on port 9
    report = preflight(OWN_NAMES, registry, tmp_path / "raw", probe=True)
    assert report.unreachable == ("127.0.0.1:9",)
    assert report.usable == ["a/raw"]
    assert "The network does not reach 127.0.0.1:9" in report.text()

    # the processes that the first one starts do not ask, and plan the same
    monkeypatch.setattr(datasets, "silent_hosts", None)
    assert preflight(OWN_NAMES, registry, tmp_path / "raw") == report


def test_the_network_is_asked_only_for_what_could_be_skipped(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[RawFile]] = []
    monkeypatch.setattr(datasets, "silent_hosts", lambda files: asked.append(list(files)) or [])
    monkeypatch.delenv("CURVECAST_UNREACHABLE", raising=False)
    names = OWN_NAMES[:3]
    report = preflight(names, registry, tmp_path / "raw", probe=True, on_missing="fail")
    assert asked == []
    assert report.usable == ["a/raw", "b/mirror", "c/server"]
    report = preflight(names, registry, tmp_path / "raw", probe=True)
    assert [file.path for file in asked[0]] == ["in_mirror.csv", "on_server.csv"]
    assert report.usable == ["a/raw", "b/mirror", "c/server"]


def test_a_missing_file_of_the_user_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    registry = load_registry(own(file=str(path)))
    with pytest.raises(DataError, match=r"runs\.csv: the file of a data set .* does not exist"):
        preflight(["mine/runs"], registry, tmp_path / "raw")
    path.write_text("lr,acc_1\n")
    report = preflight(["mine/runs"], registry, tmp_path / "raw", offline=True)
    assert report.usable == ["mine/runs"]
    (file,) = datasets.files_of(registry["mine/runs"])
    assert file.destination(tmp_path / "raw") == path


def test_mirrors_come_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURVECAST_MIRROR", os.pathsep.join(["/a", "/b"]))
    assert datasets.mirrors(["/c"]) == [Path("/a"), Path("/b"), Path("/c")]
    monkeypatch.delenv("CURVECAST_MIRROR")
    assert datasets.mirrors() == []


def test_locate_prefers_raw(tmp_path: Path) -> None:
    file = RawFile("a/b.csv", checksum=SHA256)
    assert locate(file, tmp_path / "raw", [tmp_path / "one", tmp_path / "two"]) is None
    for folder in ("two", "one", "raw"):
        path = tmp_path / folder / "a" / "b.csv"
        path.parent.mkdir(parents=True)
        path.write_text("")
        assert locate(file, tmp_path / "raw", [tmp_path / "one", tmp_path / "two"]) == path


# --- checksums ----------------------------------------------------------------------------------


def test_known_checksums(tmp_path: Path) -> None:
    path = tmp_path / "hello.txt"
    path.write_bytes(b"hello world\n")
    # what git hash-object, md5sum and sha256sum print
    assert datasets.checksum(path, "gitblob") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
    assert datasets.checksum(path, "md5") == "6f5902ac237024bdd0c176cb93063dc4"
    assert datasets.checksum(path, "sha256").startswith("a948904f2f0f479b8f8197694b30184b0d2ed1c1")


# --- fetching -----------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves CONTENT; the first part of the path says how: ok, norange, cut, dies, ..."""

    daemon_threads = True
    requests: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        mode = self.path.split("/")[1]
        wanted = self.headers.get("Range")
        self.server.requests.append((mode, wanted))
        start = int(wanted[6:-1]) if wanted and mode != "norange" else 0
        if mode == "absent" or (mode == "busy" and len(self.server.requests) < 3):
            self.send_error(404 if mode == "absent" else 503)
            return
        if mode == "pending":
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # cut: every connection ends after 400 kB; dies: there is never more than 100 kB
        limit = {"cut": 400_000, "dies": max(0, 100_000 - start)}.get(mode, len(body))
        self.wfile.write(body[:limit])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(datasets.time, "sleep", lambda _: None)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    running = Server(("127.0.0.1", 0), Handler)
    running.requests = []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def at(server: Server, *modes: str, checksum: str = SHA256) -> RawFile:
    port = server.server_address[1]
    urls = tuple(f"http://127.0.0.1:{port}/{mode}/file.bin" for mode in modes)
    return RawFile("folder/file.bin", urls=urls, checksum=checksum, bytes=len(CONTENT))


def test_download(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "raw" / "folder" / "file.bin"
    assert fetch(at(server, "ok"), target) == target
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == ["file.bin"]
    fetch(at(server, "ok"), target)
    assert len(server.requests) == 1


def test_a_broken_connection_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    fetch(at(server, "cut"), target)
    assert target.read_bytes() == CONTENT
    # whole chunks are kept
    assert [wanted for _, wanted in server.requests] == [None, "bytes=393216-", "bytes=786432-"]


def test_a_server_that_refuses_is_not_silent(server: Server) -> None:
    assert datasets.silent_hosts([at(server, "ok")]) == []
    nobody = RawFile("x", urls=("http://127.0.0.1:9/x",), checksum=SHA256)
    assert datasets.silent_hosts([nobody, at(server, "ok")]) == ["127.0.0.1:9"]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    fetch(at(server, "busy"), tmp_path / "file.bin")
    assert len(server.requests) == 3
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_truncated_download_is_an_error_and_goes_on_later(server: Server, tmp_path: Path) -> None:
    target, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    with pytest.raises(
        DataError, match=r"file\.bin: download failed \(http://127.*/dies/file\.bin"
    ) as error:
        fetch(at(server, "dies"), target)
    assert not target.exists()
    assert part.read_bytes() == CONTENT[:98_304]
    assert "IncompleteRead" in str(error.value)
    server.requests.clear()
    fetch(at(server, "ok"), target)
    assert server.requests == [("ok", "bytes=98304-")]
    assert target.read_bytes() == CONTENT
    assert not part.exists()


def test_a_server_without_ranges_starts_from_the_beginning(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5000])
    fetch(at(server, "norange"), tmp_path / "file.bin")
    assert server.requests == [("norange", "bytes=5000-")]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more", b"another version" * 100])
def test_what_an_earlier_call_left_is_checked(server: Server, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "file.bin.part").write_bytes(left)
    fetch(at(server, "ok"), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert not (tmp_path / "file.bin.part").exists()


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "gitblob"])
def test_a_wrong_checksum_leaves_no_file(server: Server, tmp_path: Path, algorithm: str) -> None:
    expected = "0" * {"md5": 32, "sha256": 64, "gitblob": 40}[algorithm]
    whole = tmp_path / "whole"
    whole.write_bytes(CONTENT)
    found = datasets.checksum(whole, algorithm)
    whole.unlink()
    with pytest.raises(
        DataError,
        match=rf"file\.bin: wrong checksum: expected {algorithm} {expected}, found {found}",
    ):
        fetch(at(server, "ok", checksum=f"{algorithm}:{expected}"), tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "reason"), [("absent", "404"), ("pending", "answers 202 without the file")]
)
def test_a_failed_download_says_what_to_do(
    server: Server, tmp_path: Path, mode: str, reason: str
) -> None:
    target = tmp_path / "raw" / "file.bin"
    file = at(server, mode)
    with pytest.raises(DataError) as error:
        fetch(file, target)
    message = str(error.value)
    assert reason in message
    assert f"Get file.bin from {file.urls[0]} and put it at {target}" in message
    assert "or below a mirror (CURVECAST_MIRROR) as folder/file.bin" in message
    assert not list(target.parent.iterdir())
    assert len(server.requests) == (1 if mode == "absent" else 4)


def test_urls_are_tried_in_turn(server: Server, tmp_path: Path) -> None:
    fetch(at(server, "absent", "ok"), tmp_path / "file.bin")
    assert [mode for mode, _ in server.requests] == ["absent", "ok"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_mirror_comes_before_the_network(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "mirror" / "folder" / "file.bin"
    source.parent.mkdir(parents=True)
    source.write_bytes(CONTENT)
    source.chmod(0o444)
    target = tmp_path / "raw" / "file.bin"
    fetch(at(server, "ok"), target, mirrors=[tmp_path / "empty", tmp_path / "mirror"])
    assert not server.requests
    assert target.read_bytes() == CONTENT
    assert not target.is_symlink()
    assert target.samefile(source)  # one file system: no second copy
    target.unlink()
    assert source.exists()
    assert stat.S_IMODE(source.stat().st_mode) == 0o444


def test_a_mirror_on_another_file_system_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(datasets.os, "link", refuse)
    source = tmp_path / "mirror" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    file = RawFile("file.bin", checksum=SHA256)
    fetch(file, tmp_path / "raw" / "file.bin", mirrors=[tmp_path / "mirror"], offline=True)
    assert (tmp_path / "raw" / "file.bin").read_bytes() == CONTENT
    assert not (tmp_path / "raw" / "file.bin").samefile(source)
    assert [p.name for p in (tmp_path / "raw").iterdir()] == ["file.bin"]


def test_a_wrong_file_in_a_mirror_or_in_raw_is_named(tmp_path: Path) -> None:
    source = tmp_path / "mirror" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(b"something else")
    file = RawFile("file.bin", checksum=SHA256)
    with pytest.raises(DataError, match=r"mirror/file\.bin: wrong checksum.* \(14 bytes\)"):
        fetch(file, tmp_path / "raw" / "file.bin", mirrors=[tmp_path / "mirror"])
    assert not (tmp_path / "raw" / "file.bin").exists()
    with pytest.raises(DataError, match=r"mirror/file\.bin: wrong checksum"):
        fetch(file, source)
    assert source.exists()


def test_nothing_is_downloaded_offline(server: Server, tmp_path: Path) -> None:
    file = at(server, "ok")
    with pytest.raises(DataError, match=r"data\.offline is true\. Get file\.bin from http"):
        fetch(file, tmp_path / "file.bin", offline=True)
    with pytest.raises(DataError, match=r"it has no address .*Get file\.bin from https://page"):
        fetch(replace(file, urls=(), page="https://page"), tmp_path / "file.bin")
    assert not server.requests


def test_fetched_sets_pass_the_preflight(server: Server, tmp_path: Path) -> None:
    url = at(server, "ok").urls[0]
    stanza = own(file={"path": "x/runs.csv", "checksum": SHA256, "url": url})
    registry = load_registry(stanza)
    file = datasets.find_file("x/runs.csv", registry)
    fetch(file, file.destination(tmp_path))
    report = preflight(["mine/runs"], registry, tmp_path, offline=True, on_missing="fail")
    assert [f.path for f in report.raw] == ["x/runs.csv"]
    with pytest.raises(DataError, match=r"y\.csv: no data set of the registry"):
        datasets.find_file("y.csv", registry)
