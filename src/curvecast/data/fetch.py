"""Brings one raw file into place: from a mirror or the network, resumed and verified.

Not pooch: it does not resume a broken download and knows no git blob ids.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from curvecast.data.stanza import RawFile
from curvecast.files import DataError, locked, verify, written

# What a broken connection loses at most; a smaller read is slower.
_CHUNK = 1 << 14
# Bytes per second below which a connection counts as broken, over the seconds of `timeout`.
_SLOWEST = 1000.0
# Seconds before the first further attempt; they double.
_PAUSE = 0.5


def fetch(
    file: RawFile,
    destination: str | Path,
    *,
    mirrors: Sequence[str | Path] = (),
    offline: bool = False,
    attempts: int = 4,
    timeout: float = 60.0,
) -> Path:
    """Bring one file to `destination`, verified; it never has that name before it is whole.

    A file that is in place already is verified and left alone. From a mirror it is hard-linked,
    or copied where the mirror is on another file system. A download is written to
    `destination.part`; a broken one leaves that file, and the next call goes on where it ended. Of
    several calls for one file, one downloads and the others wait for it.

    Parameters
    ----------
    attempts : how often a broken connection is taken up again, per url.
    timeout : seconds without a byte, or under 1 kB/s, after which a connection counts as broken.

    Raises
    ------
    DataError : the file cannot be had (names the urls, the file and where to put it by hand), is
        larger than its stanza says, or has the wrong content (names both checksums).
    """
    destination = Path(destination)
    places = [destination, *(Path(root) / file.path for root in mirrors)]
    if place := next((path for path in places if path.is_file()), None):
        verify(place, file.checksum)
        if place != destination:
            _link_or_copy(place, destination)
        return destination
    if offline or not file.urls:
        reason = "data.offline is true" if file.urls else "it has no address to download from"
        raise DataError(f"not found and {reason}. {file.how_to_get(destination)}")
    lock = destination.with_name(f".{destination.name}.lock")
    with locked(lock, wait=True):
        try:
            _from_network(file, destination, attempts, timeout)
        finally:
            lock.unlink()
    return destination


def _from_network(file: RawFile, destination: Path, attempts: int, timeout: float) -> None:
    """Download from the first url that gives the file, unless another process was first."""
    if destination.is_file():
        return verify(destination, file.checksum)
    part = destination.with_name(f"{destination.name}.part")
    problems = []
    for url in file.urls:
        try:
            _download_verified(url, part, file, destination, attempts=attempts, timeout=timeout)
        except (DataError, requests.RequestException, OSError) as error:
            problems.append(f"{url}: {error}")
            continue
        _link_or_copy(part, destination)
        part.unlink()
        return
    raise DataError(
        f"download failed ({'; '.join(problems)}). {file.how_to_get(destination)}", file=destination
    )


def _link_or_copy(source: Path, destination: Path) -> None:
    """Hard link where the file system allows it (a symbolic link would tie results to a mirror)."""
    with written(destination) as temporary:
        try:
            os.link(source.resolve(), temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _download_verified(
    url: str, part: Path, file: RawFile, destination: Path, *, attempts: int, timeout: float
) -> None:
    """Download to `part` and verify; a part that an earlier call left is not trusted twice."""
    for left_over in (part.exists(), False):
        _download(url, part, file.bytes, attempts=attempts, timeout=timeout)
        try:
            return verify(part, file.checksum, called=destination)
        except DataError:
            part.unlink()
            if not left_over:
                raise


def _download(url: str, part: Path, size: int, *, attempts: int, timeout: float) -> None:
    """Download to `part`, going on where it ends; `size` is the declared one, 0 where unknown.

    Raises requests.RequestException or OSError, and DataError where there is more than `size`.
    """
    for attempt in range(attempts):
        try:
            return _continue_download(url, part, size, timeout)
        except (requests.RequestException, ConnectionError) as error:
            response = getattr(error, "response", None)
            refused = response is not None and response.status_code < 500
            if refused or attempt == attempts - 1:
                raise
        time.sleep(min(_PAUSE * 2**attempt, 8.0))


def _continue_download(url: str, part: Path, size: int, timeout: float) -> None:
    start = part.stat().st_size if part.exists() else 0
    # identity: a range of a compressed transfer would not be a range of the file
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if start and response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return
            part.unlink()
            raise ConnectionError(f"the {start} bytes of {part.name} do not belong to this file")
        response.raise_for_status()
        if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
            raise ConnectionError(f"the server answers {response.status_code} without the file")
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        with part.open("ab" if start and goes_on else "wb") as stream:
            began, before = time.monotonic(), stream.tell()
            for chunk in response.iter_content(_CHUNK):
                if size and stream.tell() + len(chunk) > size:
                    part.unlink()
                    raise DataError(f"the server sends more than the {size} bytes of this file")
                stream.write(chunk)
                passed = time.monotonic() - began
                if passed > timeout:
                    if stream.tell() - before < _SLOWEST * passed:
                        raise ConnectionError(f"under {_SLOWEST / 1000:g} kB/s for {timeout:g} s")
                    began, before = time.monotonic(), stream.tell()
