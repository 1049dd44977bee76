"""Weights & Biases: the files `run-ID.wandb` that it writes beside the training, offline or not."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.data.cells import flat
from curvecast.data.logs import RUN, Log
from curvecast.data.logs._parts import logged_numbers, on_epochs, run_files, table_of, unique
from curvecast.files import DataError

# A file is a log of LevelDB: blocks, in them parts of records with check sum, length and kind.
_MAGIC, _BLOCK = b":W&B", 32768
_HEAD = struct.Struct("<IHB")
_WHOLE, _LAST = 1, 4
# A record is a message of protocol buffers; the numbers are fields of wandb_internal.proto.
_HISTORY, _CONFIG, _RUN, _EXIT = 2, 5, 17, 18
_NUMBERS = {0: "", 1: "<d", 5: "<f"}


def recognises(path: Path) -> bool:
    """Whether there are such files."""
    return any(_starts_right(file) for file in _files(path))


def _files(path: Path) -> list[Path]:
    return list(run_files(path, "*.wandb").values())


def _starts_right(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def read(path: Path) -> Log:
    """Read the runs, on epochs where they are logged, else steps."""
    entries: dict[str, list[dict[str, Any]]] = {}
    settings: dict[str, dict[str, Any]] = {}
    names, ended = {}, set()
    for file in _files(path):
        key = file.stem
        try:
            for record in map(_fields, _records(file)):
                for run in map(_fields, record.get(_RUN, ())):
                    key = run[1][0].decode()
                    names[key] = (run.get(8) or run[1])[0].decode()
                    entries.setdefault(key, [])
                    ended.discard(key)
                    settings.setdefault(key, {}).update(_items(*run.get(4, ())))
                settings.setdefault(key, {}).update(_items(*record.get(_CONFIG, ())))
                entries.setdefault(key, []).extend(_items(h) for h in record.get(_HISTORY, ()))
                if _EXIT in record:
                    ended.add(key)
        except (ValueError, LookupError, struct.error) as error:
            raise DataError(f"not a file of wandb ({error})", file=file) from error
    names = unique({key: names.get(key, key) for key in entries})
    rows = [{**logged_numbers(e), RUN: names[key]} for key, some in entries.items() for e in some]
    table, notes = on_epochs(pd.DataFrame(rows), "_step", path)
    known = {
        names[key]: flat({k: v for k, v in config.items() if k != "_wandb"})
        for key, config in settings.items()
        if key in names
    }
    stopped = frozenset(names[key] for key in ended)
    return Log("Weights & Biases", table, table_of(known), ended=stopped, notes=notes)


def _records(file: Path) -> Iterator[bytes]:
    """The records of a file, up to one that is being written."""
    content, at, record = file.read_bytes(), 7, b""
    while at + _HEAD.size <= len(content):
        if _BLOCK - at % _BLOCK < _HEAD.size:
            at += _BLOCK - at % _BLOCK
            continue
        checksum, length, kind = _HEAD.unpack_from(content, at)
        part = content[at + _HEAD.size : at + _HEAD.size + length]
        if len(part) < length:
            return
        if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"damaged at byte {at}")
        at += _HEAD.size + length
        record += part
        if kind in (_WHOLE, _LAST):
            yield record
            record = b""


def _fields(message: bytes) -> dict[int, list[Any]]:
    """A message's values by the number of their field: int, float, or bytes for all others."""
    out: dict[int, list[Any]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif layout := _NUMBERS[wire]:
            value = struct.unpack_from(layout, message, at)[0]
            at += struct.calcsize(layout)
        else:
            value, at = _varint(message, at)
        out.setdefault(number, []).append(value)
    return out


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def _items(*messages: bytes) -> dict[str, Any]:
    """The entries of HistoryRecords or ConfigRecords: names to values."""
    out = {}
    for item in (_fields(i) for message in messages for i in _fields(message).get(1, ())):
        name = b".".join(item.get(2) or item[1]).decode()
        if text := item.get(16) or item.get(8):
            out[name] = json.loads(text[0])
        elif 5 in item:  # signed numbers are folded
            out[name] = item[5][0] >> 1 ^ -(item[5][0] & 1)
        elif 6 in item:
            out[name] = item[6][0]
        elif 7 in item:
            out[name] = item[7][0].decode()
    return out
