"""SQLite databases of tools."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from curvecast.files import DataError

_MAGIC = b"SQLite format 3\x00"


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database to be read. Raises DataError where it is damaged or locked."""
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise DataError(f"the database cannot be read ({error})", file=path) from error


def tables(path: Path) -> set[str]:
    """Names of a database's tables. Raises DataError for a file that is damaged."""
    with opened(path) as database:
        names = database.execute("select name from sqlite_master where type = 'table'")
        return {name for (name,) in names}
