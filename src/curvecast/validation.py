"""Checks written input against typed models; an error is one line that names the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from curvecast.files import DataError


class Strict(BaseModel):
    """A model that converts no types, refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def validated(kind: Any, data: Any, what: str, *, file: str | Path | None = None) -> Any:
    """`data` as an instance of `kind`, a model or a union of models.

    Parameters
    ----------
    what : begins the error, for instance "study 'digits'"; may be empty.

    Raises
    ------
    DataError : one line: `what`, the dotted path of the first wrong key, and for an unknown key
        the nearest known one.
    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        message = one_line(error, data, adapter.json_schema())
        raise DataError(f"{what}: {message}" if what else message, file=file) from None


def one_line(error: ValidationError, data: Any, schema: Mapping[str, Any]) -> str:
    """The first problem of a validation in one line.

    Parameters
    ----------
    data : what was validated.
    schema : JSON Schema of the model.
    """
    problems = error.errors(include_url=False)
    # A misspelt key is often also a missing one: the unknown key says more.
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    first = [*unknown, *problems][0]
    path = _path(first["loc"], data)
    *outer, key = path or [""]
    if first["type"] == "extra_forbidden":
        known = list(dict.fromkeys(_keys(schema, first["loc"][:-1], schema)))
        near = get_close_matches(str(key), known, n=1)
        hint = f", the nearest known key is {near[0]!r}" if near else f"; known: {', '.join(known)}"
        return _at(outer, f"unknown key {str(key)!r}{hint}")
    if first["type"] == "missing":
        return _at(path, f"key {first['loc'][-1]!r} is missing")
    if first["type"] == "union_tag_not_found":
        return _at(path, f"key {first['ctx']['discriminator']} is missing")
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        given = f"{context['discriminator'].strip(chr(39))} {context['tag']!r}"
        return _at(path, f"{given} is not one of {context['expected_tags'].replace(chr(39), '')}")
    here = dict.fromkeys(p["msg"] for p in problems if _path(p["loc"], data) == path)
    problem = " or ".join(here).removeprefix("Value error, ").replace(" or Input should be", " or")
    if first["type"] == "value_error":
        return _at(path, problem)
    return _at(path, f"{problem[:1].lower()}{problem[1:]}, not {first['input']!r}")


def _at(path: list[str | int], text: str) -> str:
    return f"{'.'.join(map(str, path))}: {text}" if path else text


def _path(location: tuple[str | int, ...], data: Any) -> list[str | int]:
    """The keys of `location` that the data have: pydantic adds the names of union members."""
    path = []
    for part in location:
        inside = isinstance(data, Mapping) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int)):
            path.append(part)
            data = data[part]
    return path


def _keys(
    schema: Mapping[str, Any], location: tuple[str | int, ...], node: Mapping[str, Any]
) -> Iterator[str]:
    """Known keys of the mapping at `location`, from the JSON Schema below `node`."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    tags = node.get("discriminator", {}).get("mapping", {})
    members = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    if location and location[0] in tags:
        members, location = [{"$ref": tags[location[0]]}], location[1:]
    for member in members:
        yield from _keys(schema, location, member)
    if not location:
        yield from node.get("properties", ())
        return
    others = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    inner = node.get("properties", {}).get(location[0], others[0])
    if isinstance(location[0], int):
        inner = node.get("items")
    if isinstance(inner, Mapping):
        yield from _keys(schema, location[1:], inner)
