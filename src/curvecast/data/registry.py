"""Reads the registry of data sets: which exist, and the stanza of facts about each.

The stanzas of the published collections stand in resources/datasets.yaml; a user's own have the
same form under `dataset_definitions` of a config file. A stanza that was checked stays a plain
mapping, because it travels through Snakemake's `params`.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from curvecast.data import readers
from curvecast.data.stanza import REPOSITORY, RawFile, TaskStanza
from curvecast.files import DataError, read_yaml
from curvecast.validation import validated

REGISTRY = REPOSITORY / "resources" / "datasets.yaml"
_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)


def load_registry(
    extra: Mapping[str, Any] | None = None, path: str | Path = REGISTRY
) -> dict[str, dict[str, Any]]:
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
    content = read_yaml(path)
    stanzas = dict(content.get("datasets") or {})
    families = content.get("families") or {}
    for prefix, family in families.items():
        members = family.get("members") or dict.fromkeys(families[family["members_of"]]["members"])
        for name, facts in members.items():
            stanzas[f"{prefix}/{name}"] = _member(family, name, facts or {})
    own = dict(extra or {})
    for name in own:
        if name in stanzas:
            raise DataError(f"data set {name!r} is in the registry already, choose another name")
    known = {**stanzas, **{name: s for name, s in own.items() if isinstance(s, Mapping)}}
    stanzas |= {name: _with_like(name, stanza, known) for name, stanza in own.items()}
    return {name: _checked(name, stanzas[name]) for name in sorted(stanzas)}


def _member(family: Mapping[str, Any], name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A family's stanza for one member: `{name}` in texts is the member, `facts` are its file's."""
    stanza = {k: _filled(v, name) for k, v in family.items() if k not in ("members", "members_of")}
    stanza["files"] = [{**stanza.pop("file"), **facts}]
    return stanza


def _filled(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value.replace("{name}", name)
    if isinstance(value, Mapping):
        return {key: _filled(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, name) for item in value]
    return value


def _with_like(name: str, stanza: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    if not _NAME.fullmatch(name):
        raise DataError(
            f"data set {name!r}: a name has letters, digits, `_`, `-` and `.`, with single slashes "
            "between its parts"
        )
    if not isinstance(stanza, Mapping):
        raise DataError(f"data set {name!r}: the stanza is {stanza!r}, not a mapping")
    stanza, passed = dict(stanza), [name]
    while "like" in stanza:
        like = str(stanza.pop("like"))
        if like not in known or like in passed:
            others = set(known) - set(passed)
            raise DataError(f"data set {name!r}: {_unknown(like, sorted(others))}")
        passed.append(like)
        stanza = {**known[like], **stanza}
    return stanza


def _checked(name: str, stanza: Mapping[str, Any]) -> dict[str, Any]:
    """The stanza with `kind`, and with `files` in place of `file`. Raises DataError."""
    stanza = {"kind": "curves", **stanza}
    if "file" in stanza:
        stanza["files"] = [stanza.pop("file")]
    if not stanza.get("files"):
        raise DataError(f"data set {name!r}: no `file`")
    stanza["files"] = [_file_entry(entry) for entry in stanza["files"]]
    what = f"data set {name!r}"
    task = stanza["kind"] == "task"
    validated(TaskStanza if task else readers.model_of(stanza.get("reader"), what), stanza, what)
    return stanza


def _file_entry(entry: Any) -> Any:
    """A file's entry without its short forms: a path alone, and one `url`."""
    if isinstance(entry, str):
        return {"local": entry}
    if isinstance(entry, Mapping) and "url" in entry:
        return {**{k: v for k, v in entry.items() if k != "url"}, "urls": [entry["url"]]}
    return entry


def files_of(stanza: Mapping[str, Any]) -> list[RawFile]:
    """The raw files of a checked stanza, in its order."""
    return [RawFile(**entry) for entry in stanza["files"]]


def find_file(path: str, registry: Mapping[str, Mapping[str, Any]]) -> RawFile:
    """The raw file whose place below `raw/` is `path`. Raises DataError if there is none."""
    for stanza in registry.values():
        for entry in stanza["files"]:
            if entry.get("path") == path:
                return RawFile(**entry)
    raise DataError("no data set of the registry has this raw file", file=path)


def expand(
    names: Iterable[str], registry: Mapping[str, Mapping[str, Any]], kind: str = "curves"
) -> list[str]:
    """Names of data sets with patterns like `lcbench/*` resolved, each once, in order.

    Raises DataError for a name or pattern that fits no data set of this kind.
    """
    known = [name for name, stanza in registry.items() if stanza["kind"] == kind]
    fitting: dict[str, None] = {}
    for name in names:
        matches = fnmatch.filter(known, name)
        if not matches:
            raise DataError(_unknown(name, known))
        fitting |= dict.fromkeys(matches)
    return list(fitting)


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"unknown data set {name!r}{hint}"


def for_reader(stanza: Mapping[str, Any]) -> dict[str, Any]:
    """The stanza without what does not change the curves (urls, sizes, licence, prose).

    This is what a rule passes on in `params`: a new mirror or url then reruns nothing.
    """
    left_out = ("licence", "description", "files", "kind")
    facts = {key: value for key, value in stanza.items() if key not in left_out}
    facts["files"] = [
        {key: entry[key] for key in ("path", "local", "made", "checksum") if key in entry}
        for entry in stanza["files"]
    ]
    return facts
