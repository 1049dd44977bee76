"""The registry of raw files: what exists, where it comes from, and getting it here verified.

A *stanza* describes one data set: the facts that a reader needs and the raw files behind it. The
stanzas of the published collections live in resources/datasets.yaml; a user's own are written in
the same form under `dataset_definitions` of a config file. Files are looked for in the run's
`raw/` folder, then in local mirrors, then on the network.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests
import yaml

from curvecast.files import DataError, written

MIRROR_VARIABLE = "CURVECAST_MIRROR"
_UNREACHABLE_VARIABLE = "CURVECAST_UNREACHABLE"
REPOSITORY = Path(__file__).resolve().parents[3]
REGISTRY = REPOSITORY / "resources" / "datasets.yaml"

_FILE_KEYS = {"path", "local", "made", "urls", "checksum", "bytes", "page"}
_ALGORITHMS = {"sha256": 64, "md5": 32, "gitblob": 40}
# What a broken connection loses at most; a smaller read is slower.
_CHUNK = 1 << 14

_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)

Stanza = dict[str, Any]
_Stanzas = dict[str, Stanza]
_NO_FACTS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class RawFile:
    """One raw file.

    Attributes
    ----------
    path : place below `raw/` and below the root of a mirror; for a local file its path.
    urls : addresses to download it from, tried in this order.
    checksum : `sha256:`, `md5:` or `gitblob:` (git's id of the content) and hexadecimal digits;
        empty for a local file, which is used as it is.
    bytes : size, 0 where it is not known.
    page : a page on which a person can get a file that has no address of its own.
    local : the file is not fetched: it lies in the repository, belongs to the user or is made.
    made : a rule of this run makes the file.
    """

    path: str
    urls: tuple[str, ...] = ()
    checksum: str = ""
    bytes: int = 0
    page: str = ""
    local: bool = False
    made: bool = False

    def destination(self, raw_dir: str | Path) -> Path:
        """The path at which rules and readers find the file."""
        return Path(self.path) if self.local else Path(raw_dir) / self.path


# --- registry -----------------------------------------------------------------------------------


def load_registry(
    extra: Mapping[str, Any] | None = None, path: str | Path = REGISTRY
) -> dict[str, Stanza]:
    """Stanzas by name: those of the registry file and the user's own, in alphabetical order.

    Families are expanded and `like` is resolved, so that a stanza is complete by itself.

    Parameters
    ----------
    extra : `dataset_definitions` of a config: stanzas by name. A stanza may say `like: NAME` to
        take over another one with some keys changed.

    Raises
    ------
    DataError : not a registry, a name that is defined twice, a stanza with an unknown key or a
        missing one.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(f"not valid YAML ({error})", file=path) from error
    stanzas: dict[str, Stanza] = {}
    for name, stanza in (content.get("datasets") or {}).items():
        stanzas[name] = dict(stanza)
    families = content.get("families") or {}
    for prefix, family in families.items():
        if "members_of" in family:
            members = dict.fromkeys(families[family["members_of"]]["members"], _NO_FACTS)
        else:
            members = family["members"]
        stanzas |= _expand_family(prefix, family, members)
    for name, stanza in (extra or {}).items():
        if name in stanzas:
            raise DataError(f"data set {name!r} is in the registry already, choose another name")
        stanzas[name] = _with_like(name, stanza, stanzas)
    return {name: _normalised(name, stanzas[name]) for name in sorted(stanzas)}


def _expand_family(prefix: str, family: Mapping[str, Any], facts: Mapping[str, Any]) -> _Stanzas:
    """One stanza per member: `{name}` in texts is the member's name, its facts go into the file."""
    shared = {k: v for k, v in family.items() if k not in ("members", "members_of", "file")}
    return {
        f"{prefix}/{name}": {
            **_filled(shared, name),
            "files": [{**_filled(family["file"], name), **fact}],
        }
        for name, fact in facts.items()
    }


def _filled(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value.replace("{name}", name)
    if isinstance(value, Mapping):
        return {key: _filled(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, name) for item in value]
    return value


def _with_like(name: str, stanza: Mapping[str, Any], known: Mapping[str, Stanza]) -> Stanza:
    if not _NAME.fullmatch(name):
        raise DataError(
            f"data set {name!r}: a name has letters, digits, `_`, `-` and `.`, with single slashes "
            "between its parts"
        )
    if not isinstance(stanza, Mapping):
        raise DataError(f"data set {name!r}: the stanza is {stanza!r}, not a mapping")
    stanza = dict(stanza)
    if "like" not in stanza:
        return stanza
    model = stanza.pop("like")
    if model not in known:
        raise DataError(f"data set {name!r}: {_unknown(model, known)}")
    return {**known[model], **stanza}


def _normalised(name: str, stanza: Stanza) -> Stanza:
    stanza = dict(stanza)
    stanza.setdefault("kind", "curves")
    if stanza["kind"] not in ("curves", "task"):
        raise DataError(f"data set {name!r}: kind is {stanza['kind']!r}, not curves or task")
    if "file" in stanza:
        stanza["files"] = [stanza.pop("file")]
    if not stanza.get("files"):
        raise DataError(f"data set {name!r}: no `file`")
    stanza["files"] = [_file_entry(name, entry) for entry in stanza["files"]]
    if stanza["kind"] == "curves":
        from curvecast.data import readers

        readers.check(name, stanza)
    return stanza


def _file_entry(name: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, str | Mapping):
        raise DataError(f"data set {name!r}: a file's entry is {entry!r}, neither path nor mapping")
    entry = {"local": entry} if isinstance(entry, str) else dict(entry)
    unknown = sorted(set(entry) - _FILE_KEYS - {"url"})
    if unknown:
        raise DataError(f"data set {name!r}: unknown key {unknown[0]!r} in a file's entry")
    if "url" in entry:
        entry["urls"] = [entry.pop("url")]
    if "local" in entry or "made" in entry:
        return entry
    if "path" not in entry:
        raise DataError(f"data set {name!r}: a file's entry has neither `path` nor `local`")
    if Path(entry["path"]).is_absolute() or ".." in Path(entry["path"]).parts:
        raise DataError(f"data set {name!r}: path {entry['path']!r} leaves the raw folder")
    algorithm, _, digits = str(entry.get("checksum", "")).partition(":")
    if len(digits) != _ALGORITHMS.get(algorithm, -1):
        raise DataError(
            f"data set {name!r}: checksum of {entry['path']} is {entry.get('checksum')!r}, not "
            "`sha256:`, `md5:` or `gitblob:` with all of its hexadecimal digits"
        )
    return entry


def files_of(stanza: Mapping[str, Any]) -> list[RawFile]:
    """The raw files of a normalised stanza, in its order."""
    return [raw_file(entry) for entry in stanza["files"]]


def raw_file(entry: Mapping[str, Any]) -> RawFile:
    """A file's entry of a normalised stanza as an object."""
    if "made" in entry:
        return RawFile(path=entry["made"], local=True, made=True)
    if "local" in entry:
        path = Path(entry["local"])
        in_repository = REPOSITORY / path
        found = in_repository if not path.exists() and in_repository.exists() else path
        return RawFile(path=str(found), checksum=entry.get("checksum", ""), local=True)
    return RawFile(
        path=entry["path"],
        urls=tuple(entry.get("urls", ())),
        checksum=entry["checksum"],
        bytes=int(entry.get("bytes", 0)),
        page=entry.get("page", ""),
    )


def find_file(path: str, registry: Mapping[str, Stanza]) -> RawFile:
    """The raw file whose place below `raw/` is `path`. Raises DataError if there is none."""
    for stanza in registry.values():
        for entry in stanza["files"]:
            if entry.get("path") == path:
                return raw_file(entry)
    raise DataError("no data set of the registry has this raw file", file=path)


def expand(names: Iterable[str], registry: Mapping[str, Stanza], kind: str = "curves") -> list[str]:
    """Names of data sets with patterns like `lcbench/*` resolved, each once, in order.

    Raises DataError for a name or pattern that fits no data set of this kind.
    """
    collections = [name for name, stanza in registry.items() if stanza["kind"] == kind]
    found: dict[str, None] = {}
    for name in names:
        fitting = fnmatch.filter(collections, name)
        if not fitting:
            raise DataError(_unknown(name, collections))
        found |= dict.fromkeys(fitting)
    return list(found)


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"unknown data set {name!r}{hint}"


def for_reader(stanza: Mapping[str, Any]) -> Stanza:
    """The stanza without what does not change the curves (urls, sizes, licence, prose).

    This is what a rule passes on in `params`: a new mirror or url then reruns nothing.
    """
    kept = {
        key: value
        for key, value in stanza.items()
        if key not in ("licence", "description", "files", "kind")
    }
    kept["files"] = [
        {key: entry[key] for key in ("path", "local", "checksum") if key in entry}
        for entry in stanza["files"]
    ]
    return kept


# --- finding ------------------------------------------------------------------------------------


def mirrors(configured: Sequence[str] = ()) -> list[Path]:
    """Folders to look into before the network: CURVECAST_MIRROR, then the configured ones."""
    variable = os.environ.get(MIRROR_VARIABLE, "")
    return [Path(p) for p in (*variable.split(os.pathsep), *configured) if p]


def locate(file: RawFile, raw_dir: str | Path, mirrors: Sequence[str | Path] = ()) -> Path | None:
    """Where a file is present: in `raw/`, else in the first mirror that has it, else None.

    What a rule makes counts as present.
    """
    if file.local:
        return Path(file.path) if file.made or Path(file.path).is_file() else None
    candidates = [Path(raw_dir), *map(Path, mirrors)]
    return next((root / file.path for root in candidates if (root / file.path).is_file()), None)


@dataclass(frozen=True)
class Preflight:
    """What a run needs and has, found without the network.

    Attributes
    ----------
    usable : names of the collections of curves that the run can use, in the order asked for.
    tasks : the same for raw data that networks are trained on.
    left_out : names of the data sets that cannot be had, with their missing files.
    raw, mirrored, download : files that lie in place, that a mirror has (with its path), and
        that will be downloaded.
    raw_dir : where the files belong.
    unreachable : hosts that did not answer when they were asked.
    """

    usable: list[str]
    left_out: dict[str, list[RawFile]]
    tasks: list[str] = field(default_factory=list)
    raw: list[RawFile] = field(default_factory=list)
    mirrored: dict[str, Path] = field(default_factory=dict)
    download: list[RawFile] = field(default_factory=list)
    raw_dir: Path = Path("raw")
    unreachable: tuple[str, ...] = ()

    def text(self) -> str:
        """The report for people; names every missing file, its url and where to put it."""
        total = sum(file.bytes for file in self.download)
        unknown = sum(not file.bytes for file in self.download)
        more = f" and {unknown} of unknown size" if total and unknown else ""
        lines = [
            f"Data: {len(self.usable) + len(self.tasks)} data sets; {len(self.raw)} files are in "
            f"place, {len(self.mirrored)} come from a mirror, {len(self.download)} will be "
            "downloaded" + (f" ({_size(total)}{more})" if self.download else "")
        ]
        lines += [
            f"  download {file.path} ({_size(file.bytes)}) from {file.urls[0]}"
            for file in self.download
        ]
        if self.unreachable:
            lines.append(f"The network does not reach {', '.join(self.unreachable)}")
        if self.left_out:
            lines.append(f"LEFT OUT, because files are missing: {', '.join(self.left_out)}")
            missing = {file.path: file for files in self.left_out.values() for file in files}
            lines += [f"  {_how_to_get(file, self.raw_dir)}" for file in missing.values()]
        return "\n".join(lines)


def preflight(
    names: Iterable[str],
    registry: Mapping[str, Stanza],
    raw_dir: str | Path,
    *,
    mirrors: Sequence[str | Path] = (),
    offline: bool = False,
    on_missing: str = "skip",
    probe: bool = False,
    tasks: Iterable[str] = (),
) -> Preflight:
    """Say what is present, what would be downloaded and what is missing; nothing is read.

    A file is missing where it is neither in `raw_dir` nor in a mirror and either `offline` is
    true, or it has no address, or all of its addresses are on hosts that are known to be silent.

    Parameters
    ----------
    probe : where something is to be downloaded and could be skipped, ask each host once for a
        sign of life, so that a set that cannot be had is left out instead of ending the run
        hours later. This is the only use of the network. What is found travels to the processes
        that this one starts in CURVECAST_UNREACHABLE; they do not probe, and plan the same jobs.
    tasks : names of raw data that networks are trained on.

    Raises
    ------
    DataError : with `on_missing="fail"`, the list of all missing files; an unknown name; a local
        file that does not exist (whatever `on_missing` says: it is a mistake in the config).
    """
    if on_missing not in ("skip", "fail"):
        raise DataError(f"data.on_missing is {on_missing!r}, not skip or fail")
    wanted = [*expand(names, registry), *expand(tasks, registry, "task")]
    files = {name: files_of(registry[name]) for name in wanted}
    known = [] if probe else os.environ.get(_UNREACHABLE_VARIABLE, "").split()
    report = _look(files, raw_dir, mirrors, offline, known)
    if probe:
        silent = silent_hosts(report.download) if on_missing == "skip" else []
        os.environ[_UNREACHABLE_VARIABLE] = " ".join(silent)
        if silent:
            report = _look(files, raw_dir, mirrors, offline, silent)
    if report.left_out and on_missing == "fail":
        raise DataError(f"files are missing and data.on_missing is fail\n{report.text()}")
    return replace(
        report,
        usable=[name for name in report.usable if registry[name]["kind"] == "curves"],
        tasks=[name for name in report.usable if registry[name]["kind"] == "task"],
    )


def _look(
    files: Mapping[str, Sequence[RawFile]],
    raw_dir: str | Path,
    mirrors: Sequence[str | Path],
    offline: bool,
    unreachable: Sequence[str],
) -> Preflight:
    """Sort the files by where they are, and the sets by whether all of theirs can be had."""
    every = {file.path: file for wanted in files.values() for file in wanted}
    places = {path: locate(file, raw_dir, mirrors) for path, file in every.items()}
    absent = [file for path, file in every.items() if places[path] is None]
    for file in absent:
        if file.local:
            raise DataError("the file of a data set in the config does not exist", file=file.path)
    download = [] if offline else [file for file in absent if file.urls]
    download = [f for f in download if any(_host(url) not in unreachable for url in f.urls)]
    missing = {file.path for file in absent} - {file.path for file in download}
    left_out = {
        name: [file for file in wanted if file.path in missing]
        for name, wanted in files.items()
        if any(file.path in missing for file in wanted)
    }
    needed = {f.path for name, wanted in files.items() if name not in left_out for f in wanted}
    in_place = [file for path, file in every.items() if places[path] == file.destination(raw_dir)]
    return Preflight(
        usable=[name for name in files if name not in left_out],
        left_out=left_out,
        raw=in_place,
        mirrored={
            path: place
            for path, place in places.items()
            if place is not None and every[path] not in in_place
        },
        download=[file for file in download if file.path in needed],
        raw_dir=Path(raw_dir),
        unreachable=tuple(unreachable),
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc


def silent_hosts(files: Iterable[RawFile], timeout: float = 5.0) -> list[str]:
    """Hosts of the files' urls that give no answer at all (a refusal is an answer)."""
    example = {_host(url): url for file in files for url in file.urls}
    silent = []
    for host, url in sorted(example.items()):
        try:
            requests.head(url, timeout=timeout).close()
        except (requests.ConnectionError, requests.Timeout):
            silent.append(host)
    return silent


def _size(n: int) -> str:
    if not n:
        return "size unknown"
    return f"{n / 1e6:.1f} MB" if n >= 1e5 else f"{n / 1e3:.1f} kB"


def _how_to_get(file: RawFile, raw_dir: str | Path) -> str:
    origin = " or ".join(file.urls) or file.page or "its publisher"
    return (
        f"{file.path}: get it from {origin} and put it at {file.destination(raw_dir)} "
        f"or below a mirror ({MIRROR_VARIABLE}) as {file.path}"
    )


# --- verifying ----------------------------------------------------------------------------------


def checksum(path: str | Path, algorithm: str) -> str:
    """Hexadecimal checksum of a file: `sha256`, `md5`, or `gitblob` (git's id of its content)."""
    if algorithm != "gitblob":
        return pooch.file_hash(str(path), alg=algorithm)
    digest = hashlib.sha1(b"blob %d\0" % Path(path).stat().st_size, usedforsecurity=False)
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: str | Path, expected: str, *, called: str | Path | None = None) -> None:
    """Compare a file with a checksum like `md5:26c8…`. Raises DataError with both where wrong.

    `called` is the name for the message, where `path` is a temporary one.
    """
    algorithm, _, digits = expected.partition(":")
    found = checksum(path, algorithm)
    if found != digits.lower():
        raise DataError(
            f"wrong checksum: expected {algorithm} {digits}, found {found} "
            f"({Path(path).stat().st_size} bytes)",
            file=called or path,
        )


# --- getting ------------------------------------------------------------------------------------


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
    `destination.part`; a broken one leaves that file, and the next call goes on where it ended.

    Parameters
    ----------
    attempts : how often a broken connection is taken up again, per url.
    timeout : seconds without a byte after which a connection counts as broken.

    Returns
    -------
    `destination` as a Path.

    Raises
    ------
    DataError : the file cannot be had (names the urls, the file and where to put it by hand), or
        has the wrong content (names the expected and the found checksum).
    """
    destination = Path(destination)
    if destination.is_file():
        verify(destination, file.checksum)
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    for root in mirrors:
        source = Path(root) / file.path
        if source.is_file():
            verify(source, file.checksum)
            _link_or_copy(source, destination)
            return destination
    if offline or not file.urls:
        reason = "data.offline is true" if file.urls else "it has no address to download from"
        raise DataError(f"not found and {reason}. {_how_to_get_at(file, destination)}")
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
        return destination
    raise DataError(
        f"download failed ({'; '.join(problems)}). {_how_to_get_at(file, destination)}",
        file=destination,
    )


def _how_to_get_at(file: RawFile, destination: Path) -> str:
    origin = " or ".join(file.urls) or file.page or "its publisher"
    return (
        f"Get {Path(file.path).name} from {origin} and put it at {destination} "
        f"or below a mirror ({MIRROR_VARIABLE}) as {file.path}"
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
    left_over = part.exists()
    _download(url, part, attempts=attempts, timeout=timeout)
    try:
        verify(part, file.checksum, called=destination)
    except DataError:
        part.unlink()
        if not left_over:
            raise
        _download_verified(url, part, file, destination, attempts=attempts, timeout=timeout)


def _download(url: str, part: Path, *, attempts: int, timeout: float) -> None:
    """Download to `part`, going on where it ends; raises requests.RequestException or OSError."""
    for attempt in range(attempts):
        try:
            return _continue_download(url, part, timeout)
        except requests.HTTPError as error:
            refused = error.response is not None and error.response.status_code < 500
            if refused or attempt == attempts - 1:
                raise
        except (requests.RequestException, ConnectionError):
            if attempt == attempts - 1:
                raise
        time.sleep(min(0.5 * 2**attempt, 8.0))


def _continue_download(url: str, part: Path, timeout: float) -> None:
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
            for chunk in response.iter_content(_CHUNK):
                stream.write(chunk)
