"""Says before a run which raw files are present, will be downloaded or are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from curvecast.data.registry import expand, files_of
from curvecast.data.stanza import MIRROR_VARIABLE, RawFile
from curvecast.files import DataError

_UNREACHABLE_VARIABLE = "CURVECAST_UNREACHABLE"
_KINDS = ("curves", "task")


def mirrors(configured: Sequence[str] = ()) -> list[Path]:
    """Folders that come before the network: CURVECAST_MIRROR, then the configured ones."""
    variable = os.environ.get(MIRROR_VARIABLE, "")
    return [Path(p) for p in (*variable.split(os.pathsep), *configured) if p]


def locate(file: RawFile, raw_dir: str | Path, mirrors: Sequence[str | Path] = ()) -> Path | None:
    """Where a file is present: in `raw/`, else in the first mirror that has it, else None.

    What a rule makes counts as present.
    """
    places = [file.destination(root) for root in (raw_dir, *mirrors)]
    return places[0] if file.made else next((p for p in places if p.exists()), None)


@dataclass(frozen=True)
class Preflight:
    """What a run needs and has.

    Attributes
    ----------
    usable : names of the collections of curves that the run can use, in the order asked for.
    left_out : names of the data sets that cannot be had, with their missing files.
    tasks : as `usable`, of raw data that networks are trained on.
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
        """The report; it names every missing file, its url and where to put it."""
        total = sum(file.bytes for file in self.download)
        unknown = sum(not file.bytes for file in self.download)
        more = f" and {unknown} of unknown size" if total and unknown else ""
        lines = [
            f"Data: {len(self.usable) + len(self.tasks)} data sets; {len(self.raw)} files are in "
            f"place, {len(self.mirrored)} come from a mirror, {len(self.download)} will be "
            "downloaded" + (f" ({_size(total)}{more})" if self.download else "")
        ]
        lines += [f"  download {f.path} ({_size(f.bytes)}) from {f.urls[0]}" for f in self.download]
        if self.unreachable:
            lines.append(f"The network does not reach {', '.join(self.unreachable)}")
        if self.left_out:
            lines.append(f"LEFT OUT, because files are missing: {', '.join(self.left_out)}")
            missing = {file.path: file for files in self.left_out.values() for file in files}
            lines += [f"  {f.how_to_get(f.destination(self.raw_dir))}" for f in missing.values()]
        return "\n".join(lines)


def preflight(
    names: Iterable[str],
    registry: Mapping[str, Mapping[str, Any]],
    raw_dir: str | Path,
    *,
    mirrors: Sequence[str | Path] = (),
    offline: bool = False,
    on_missing: Literal["skip", "fail"] = "skip",
    probe: bool = False,
    tasks: Iterable[str] = (),
) -> Preflight:
    """Say what is present, what would be downloaded and what is missing; no file is read.

    A file is missing where it is neither in `raw_dir` nor in a mirror and cannot be downloaded:
    `offline`, no address, or addresses on hosts that do not answer.

    Parameters
    ----------
    probe : ask each host that something would be downloaded from for a sign of life, the only use
        of the network. Silent hosts are told to the processes that this one starts in
        CURVECAST_UNREACHABLE; those do not probe, and plan the same jobs.
    tasks : names of raw data that networks are trained on.

    Raises
    ------
    DataError : with `on_missing="fail"`, the list of all missing files; an unknown name; a local
        file that does not exist (whatever `on_missing` says: it is a mistake in the config).
    """
    wanted = [*expand(names, registry), *expand(tasks, registry, "task")]
    files = {name: files_of(registry[name]) for name in wanted}
    silent = [] if probe else os.environ.get(_UNREACHABLE_VARIABLE, "").split()
    report = _sorted(files, raw_dir, mirrors, offline, silent)
    if probe:
        silent = silent_hosts(report.download) if on_missing == "skip" else []
        os.environ[_UNREACHABLE_VARIABLE] = " ".join(silent)
        if silent:
            report = _sorted(files, raw_dir, mirrors, offline, silent)
    if report.left_out and on_missing == "fail":
        raise DataError(f"files are missing and data.on_missing is fail\n{report.text()}")
    kinds = {kind: [n for n in report.usable if registry[n]["kind"] == kind] for kind in _KINDS}
    return replace(report, usable=kinds["curves"], tasks=kinds["task"])


def _sorted(
    files: Mapping[str, Sequence[RawFile]],
    raw_dir: str | Path,
    mirrors: Sequence[str | Path],
    offline: bool,
    unreachable: Sequence[str],
) -> Preflight:
    """Sort the files by where they are, and the sets by whether all of theirs can be had."""
    every = {file.name: file for wanted in files.values() for file in wanted}
    places = {name: locate(file, raw_dir, mirrors) for name, file in every.items()}
    download, missing = {}, set()
    for name in (name for name in every if places[name] is None):
        if every[name].local:
            raise DataError("the file of a data set in the config does not exist", file=name)
        if not offline and any(_host(url) not in unreachable for url in every[name].urls):
            download[name] = every[name]
        else:
            missing.add(name)
    absent = {name: [f for f in wanted if f.name in missing] for name, wanted in files.items()}
    usable = [name for name in files if not absent[name]]
    needed = {file.name for name in usable for file in files[name]}
    in_place = [name for name, f in every.items() if places[name] == f.destination(raw_dir)]
    return Preflight(
        usable=usable,
        left_out={name: wanted for name, wanted in absent.items() if wanted},
        raw=[every[name] for name in in_place],
        mirrored={n: p for n, p in places.items() if p is not None and n not in in_place},
        download=[file for name, file in download.items() if name in needed],
        raw_dir=Path(raw_dir),
        unreachable=tuple(unreachable),
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc


def silent_hosts(files: Iterable[RawFile], timeout: float = 5.0) -> list[str]:
    """Hosts of the files' urls that give no answer at all (a refusal is an answer)."""
    import requests

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
