"""Writes and reads files: whole ones only, and the locks of a run. No other module writes.

A file is written beside its place under a temporary name, then renamed. A process that is killed
leaves the temporary name behind; `claim` of the next run removes it. Parquet, JSON and arrays
carry the SHA-256 of all their bytes (with zeros in its own place), which reading compares. That of
a CSV file stands beside it, `.r2.csv.sha256` for `r2.csv`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import filelock
import numpy as np
import pandas as pd
import yaml
from safetensors import SafetensorError
from safetensors.numpy import load, save

from curvecast.extras import missing

_META = b"curvecast"
# What stands in front of the digits of a file's digest, and the place for them.
_MARK = b"curvecast-sha256:"
_UNSEALED = _MARK.decode() + 64 * "0"
# The parser in C, where libyaml is there: ten times as fast.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# `.r2.csv.4711`: the name that `written` gives to a file that is not whole yet.
_TEMPORARY = re.compile(r"\..+\.\d+")


class DataError(ValueError):
    """Data that cannot be used; the message names file, row and column as far as they are known."""

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        row: object = None,
        column: object = None,
    ) -> None:
        places = (("file", file), ("row", row), ("column", column))
        where = ", ".join(f"{label} {value}" for label, value in places if value is not None)
        self.problem = problem
        super().__init__(f"{where}: {problem}" if where else problem)


# --- writing and reading ------------------------------------------------------------------------


@contextlib.contextmanager
def written(path: str | Path, *, sealed: bool = False) -> Iterator[Path]:
    """Give the temporary name to write to; the file gets its name when the block ends well.

    The folder is made where it is missing. An error in the block leaves nothing behind, and an
    earlier file of this name as it was. `sealed`: the digest goes into the place for it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        if sealed:
            place, digest = _digest(temporary.read_bytes())
            with temporary.open("r+b") as stream:
                stream.seek(place)
                stream.write(digest)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(content: bytes) -> tuple[int, bytes]:
    """Where the digits of a sealed file's digest stand, and what they have to be."""
    view, place = memoryview(content), content.find(_MARK) + len(_MARK)
    digest = hashlib.sha256(view[:place])
    digest.update(64 * b"0" + view[place + 64 :])
    return place, digest.hexdigest().encode()


def read_bytes(path: str | Path, *, own: bool = True) -> bytes:
    """Read a file whole, and compare it with its digest.

    `own`: the project wrote it, so that it must have a digest. Raises DataError for a damaged file.
    """
    content = Path(path).read_bytes()
    if _MARK not in content:
        if own:
            problem = "damaged, or not written by this version of curvecast: it has no digest"
            raise DataError(problem, file=path)
        return content
    place, digest = _digest(content)
    if content[place : place + 64] != digest:
        raise DataError("the file is damaged: its content does not fit its digest", file=path)
    return content


def write_bytes(content: bytes, path: str | Path) -> None:
    """Write bytes."""
    with written(path) as temporary:
        temporary.write_bytes(content)


def write_text(text: str, path: str | Path) -> None:
    """Write UTF-8 text with the line ends of Unix."""
    write_bytes(text.encode("utf-8"), path)


def write_csv(frame: pd.DataFrame, path: str | Path, *, sealed: bool = False) -> None:
    """Write a frame as CSV with six significant digits; `sealed`: and its digest beside it."""
    text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    if sealed:
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        write_text(f"{digest}  {Path(path).name}\n", _beside(path))
    write_text(text, path)


def read_csv(path: str | Path, *, own: bool = True) -> pd.DataFrame:
    """Read what `write_csv` sealed.

    `own`: the project wrote it, so that it must have a digest. Raises DataError for a damaged file.
    """
    content, digest = Path(path).read_bytes(), _beside(path)
    if own and not digest.is_file():
        raise DataError(f"its digest {digest.name} is missing", file=path)
    if own and digest.read_bytes().split()[:1] != [hashlib.sha256(content).hexdigest().encode()]:
        raise DataError("the file is damaged: its content does not fit its digest", file=path)
    return pd.read_csv(io.BytesIO(content))


def _beside(path: str | Path) -> Path:
    return Path(path).with_name(f".{Path(path).name}.sha256")


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a mapping as indented JSON with sorted keys; `digest` is a key more."""
    text = json.dumps({**content, "digest": _UNSEALED}, indent=1, sort_keys=True) + "\n"
    with written(path, sealed=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: str | Path) -> str:
    """Read UTF-8 text. Raises DataError with the line of anything else."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line} is not UTF-8 text ({error.reason})", file=path) from error


def read_yaml(path: str | Path) -> Any:
    """Read YAML. Raises DataError for anything else, and for a mapping that has a key twice."""
    try:
        loader = _YAML(read_text(path))
        node = loader.get_single_node()
        nodes = [node] if node else []
        for node in nodes:  # grows: the nodes below each are checked too
            if isinstance(node, yaml.MappingNode):
                keys = [key.value for key, _ in node.value]
                for n, (key, _) in enumerate(node.value):
                    if key.value in keys[:n] and key.value != "<<":
                        line = key.start_mark.line + 1
                        raise DataError(
                            f"the key {key.value!r} is there twice", file=path, row=line
                        )
                nodes += [value for _, value in node.value]
            elif isinstance(node, yaml.SequenceNode):
                nodes += node.value
        return loader.construct_document(nodes[0]) if nodes else None
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise DataError(f"not valid YAML ({text})", file=path) from error


def read_json(path: str | Path) -> dict[str, Any]:
    """Read what `write_json` wrote. Raises DataError for anything else."""
    content: dict[str, Any] = json.loads(read_bytes(path))
    del content["digest"]
    return content


def write_arrays(
    arrays: Mapping[str, np.ndarray], path: str | Path, meta: Mapping[str, Any] | None = None
) -> None:
    """Write arrays by name with JSON metadata, in the safetensors format."""
    # One key: several would stand in an order of chance.
    header = {_META.decode(): json.dumps({"digest": _UNSEALED, **(meta or {})})}
    with written(path, sealed=True) as temporary:
        temporary.write_bytes(
            save({k: np.asarray(v, order="C") for k, v in arrays.items()}, header)
        )


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_arrays` wrote: arrays in the order of their names, and metadata.

    Raises DataError for anything else.
    """
    content = read_bytes(path)
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        meta: dict[str, Any] = json.loads(header["__metadata__"][_META.decode()])
        del meta["digest"]
        return {name: array.copy() for name, array in sorted(load(content).items())}, meta
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"not a file of arrays ({error!r})", file=path) from error


def _pyarrow(path: str | Path) -> tuple[Any, Any]:
    """The modules of pyarrow, which is half as large as all other packages together."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(missing(error), file=path) from error
    return pyarrow, pyarrow.parquet


def write_parquet(
    frame: pd.DataFrame, path: str | Path, meta: Mapping[str, Any] | None = None
) -> None:
    """Write a frame with JSON metadata as zstd Parquet. Raises DataError without pyarrow."""
    pa, pq = _pyarrow(path)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    more = {_META: json.dumps(dict(meta or {})), "digest": _UNSEALED}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **more})
    with written(path, sealed=True) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_parquet(path: str | Path, *, own: bool = True) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a Parquet file and its JSON metadata.

    `own`: the project wrote it. Raises DataError where it is damaged or no Parquet file, and
    without pyarrow.
    """
    pa, pq = _pyarrow(path)
    try:
        table = pq.read_table(pa.BufferReader(read_bytes(path, own=own)))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a complete Parquet file ({error})", file=path) from error
    meta = json.loads((table.schema.metadata or {}).get(_META, b"{}"))
    return table.to_pandas(), meta


def checksum(path: str | Path, algorithm: str) -> str:
    """Hexadecimal checksum of a file: `sha256`, `md5`, or `gitblob` (git's id of its content)."""
    head = b"blob %d\0" % Path(path).stat().st_size if algorithm == "gitblob" else b""
    digest = hashlib.new("sha1" if head else algorithm, head, usedforsecurity=False)
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, lambda: digest).hexdigest()


def verify(path: str | Path, expected: str, *, called: str | Path | None = None) -> None:
    """Compare a file with a checksum like `md5:26c8…`. Raises DataError with both where wrong.

    `called` is the name for the message, where `path` is a temporary one.
    """
    algorithm, _, digits = expected.partition(":")
    actual = checksum(path, algorithm)
    if actual != digits.lower():
        raise DataError(
            f"wrong checksum: expected {algorithm} {digits}, the file has {actual} "
            f"({Path(path).stat().st_size} bytes)",
            file=called or path,
        )


# --- locks --------------------------------------------------------------------------------------


def locked(
    path: str | Path, problem: str = "", *, wait: bool = False
) -> filelock.AcquireReturnProxy:
    """Hold the lock file `path` until the end of a `with` block, or of this process.

    Where another process holds it: `wait` for it, or raise DataError with the problem.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        return filelock.FileLock(path).acquire(timeout=-1 if wait else 0)
    except filelock.Timeout as error:
        raise DataError(problem, file=path) from error


def claim(state: Path, results: Path) -> TextIO:
    """Note that a run of Snakemake is under way, until this process ends or closes the result.

    Snakemake cannot tell whether the run that made its lock files still lives, so after a kill it
    asks for `--unlock`. Here every run also holds a lock of the operating system, which a killed
    process loses. Where no other run lives, the lock files are of a killed run: they are removed,
    and so are half-written files below `results`. Those of a job that was killed alone are
    removed when they are an hour old. Locks of a run on another host stay, because not every
    shared file system tells hosts of each other's locks.

    Parameters
    ----------
    state : Snakemake's folder, `.snakemake`.
    results : the folder of the run.
    """
    state.mkdir(parents=True, exist_ok=True)
    # Not filelock: it has no shared lock that several runs hold at once.
    claimed = open(state / "curvecast.lock", "a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(claimed, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(claimed, fcntl.LOCK_SH)
        return claimed
    except OSError:
        return claimed  # a file system without locks: nothing can be known, nothing is removed
    claimed.seek(0)
    left_over = any((state / "locks").glob("*.lock"))
    if not left_over or claimed.read() == socket.gethostname():
        if left_over:
            shutil.rmtree(state / "locks")
        _remove_temporary(results, older_than=0 if left_over else 3600)
        claimed.truncate(0)
        claimed.write(socket.gethostname())
        claimed.flush()
    fcntl.flock(claimed, fcntl.LOCK_SH)
    return claimed


def _remove_temporary(results: Path, older_than: float) -> None:
    """Remove half-written files that are older than so many seconds."""
    for path in results.rglob(".*"):
        if (
            _TEMPORARY.fullmatch(path.name)
            and path.is_file()
            and time.time() - path.stat().st_mtime >= older_than
        ):
            path.unlink()
