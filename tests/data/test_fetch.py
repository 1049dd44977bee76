from __future__ import annotations

import contextlib
import hashlib
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from curvecast import DataError
from curvecast.data import fetch as fetching
from curvecast.data.fetch import fetch
from curvecast.data.preflight import preflight, silent_hosts
from curvecast.data.registry import find_file, load_registry
from curvecast.data.stanza import RawFile
from curvecast.files import checksum

CONTENT = bytes(range(256)) * 4000
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
OWN = {"reader": "table", "curve_columns": "acc_{epoch}", "direction": "maximize"}


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
        if mode == "endless":
            body *= 2
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mode == "drips":
            with contextlib.suppress(OSError):
                for byte in range(200):
                    time.sleep(0.01)
                    self.wfile.write(body[byte : byte + 1])
            return
        if mode == "late":
            time.sleep(0.3)
        # cut: every connection ends after 400 kB; dies: there is never more than 100 kB
        limit = {"cut": 400_000, "dies": max(0, 100_000 - start)}.get(mode, len(body))
        self.wfile.write(body[:limit])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
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
    return RawFile(path="folder/file.bin", urls=urls, checksum=checksum, bytes=len(CONTENT))


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
    assert silent_hosts([at(server, "ok")]) == []
    nobody = RawFile(path="x", urls=("http://127.0.0.1:9/x",), checksum=SHA256)
    assert silent_hosts([nobody, at(server, "ok")]) == ["127.0.0.1:9"]


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
    found = checksum(whole, algorithm)
    whole.unlink()
    with pytest.raises(
        DataError,
        match=rf"file\.bin: wrong checksum: expected {algorithm} {expected}, the file has {found}",
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
    assert f"Get folder/file.bin from {file.urls[0]} and put it at {target}" in message
    assert "or below a mirror (CURVECAST_MIRROR) as folder/file.bin" in message
    assert not list(target.parent.iterdir())
    assert len(server.requests) == (1 if mode == "absent" else 4)


def test_the_declared_size_is_a_limit(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"sends more than the {len(CONTENT)} bytes"):
        fetch(at(server, "endless"), tmp_path / "file.bin")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []
    fetch(at(server, "endless", "ok"), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_connection_that_drips_is_broken(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_CHUNK", 1)
    with pytest.raises(DataError, match=r"under 1 kB/s for 0\.5 s"):
        fetch(at(server, "drips"), tmp_path / "file.bin", timeout=0.5, attempts=1)


def test_concurrent_calls_download_once(server: Server, tmp_path: Path) -> None:
    file = at(server, "late")
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(fetch, file, tmp_path / "file.bin") for _ in range(4)]
    assert {call.result() for call in calls} == {tmp_path / "file.bin"}
    assert len(server.requests) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


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

    monkeypatch.setattr(fetching.os, "link", refuse)
    source = tmp_path / "mirror" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    file = RawFile(path="file.bin", checksum=SHA256)
    fetch(file, tmp_path / "raw" / "file.bin", mirrors=[tmp_path / "mirror"], offline=True)
    assert (tmp_path / "raw" / "file.bin").read_bytes() == CONTENT
    assert not (tmp_path / "raw" / "file.bin").samefile(source)
    assert [p.name for p in (tmp_path / "raw").iterdir()] == ["file.bin"]


def test_a_wrong_file_in_a_mirror_or_in_raw_is_named(tmp_path: Path) -> None:
    source = tmp_path / "mirror" / "file.bin"
    source.parent.mkdir()
    source.write_bytes(b"something else")
    file = RawFile(path="file.bin", checksum=SHA256)
    with pytest.raises(DataError, match=r"mirror/file\.bin: wrong checksum.* \(14 bytes\)"):
        fetch(file, tmp_path / "raw" / "file.bin", mirrors=[tmp_path / "mirror"])
    assert not (tmp_path / "raw" / "file.bin").exists()
    with pytest.raises(DataError, match=r"mirror/file\.bin: wrong checksum"):
        fetch(file, source)
    assert source.exists()


def test_nothing_is_downloaded_offline(server: Server, tmp_path: Path) -> None:
    file = at(server, "ok")
    with pytest.raises(DataError, match=r"data\.offline is true\. Get folder/file\.bin from http"):
        fetch(file, tmp_path / "file.bin", offline=True)
    with pytest.raises(
        DataError, match=r"it has no address .*Get folder/file\.bin from https://page"
    ):
        fetch(file.model_copy(update={"urls": (), "page": "https://page"}), tmp_path / "file.bin")
    assert not server.requests


def test_fetched_sets_pass_the_preflight(server: Server, tmp_path: Path) -> None:
    url = at(server, "ok").urls[0]
    file = {"path": "x/runs.csv", "checksum": SHA256, "url": url}
    registry = load_registry({"mine/runs": {**OWN, "file": file}})
    raw = find_file("x/runs.csv", registry)
    fetch(raw, raw.destination(tmp_path))
    report = preflight(["mine/runs"], registry, tmp_path, offline=True, on_missing="fail")
    assert [f.path for f in report.raw] == ["x/runs.csv"]
    with pytest.raises(DataError, match=r"y\.csv: no data set of the registry"):
        find_file("y.csv", registry)
