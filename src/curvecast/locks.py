"""Going on after a Snakemake that was killed: its locks, and files that its jobs half wrote.

Snakemake's own locks are plain files. It cannot tell whether the run that made one still lives, so
after a kill it asks for `--unlock`. Here every run holds a lock of the operating system besides,
which a killed process loses; who holds it alone may remove what a dead run left.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import socket
import time
from pathlib import Path
from typing import TextIO

# `.r2.csv.4711`: what a writer of this package calls a file that is not whole yet.
_HALF_WRITTEN = re.compile(r"\..+\.\d+")


def claim(state: Path, results: Path) -> TextIO:
    """Note that a run is under way here, until this process ends or closes what is returned.

    Where no other run lives and Snakemake's locks are there all the same, they are of a run that
    was killed: they are removed, and so are half-written files below `results`. Those of a job
    that was killed alone go when they are an hour old. Locks of a run on another host stay,
    because not every shared file system tells hosts of each other's locks.

    Parameters
    ----------
    state : Snakemake's folder, `.snakemake`.
    results : the folder of the run.
    """
    state.mkdir(parents=True, exist_ok=True)
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
        _remove_half_written(results, older_than=0 if left_over else 3600)
        claimed.truncate(0)
        claimed.write(socket.gethostname())
        claimed.flush()
    fcntl.flock(claimed, fcntl.LOCK_SH)
    return claimed


def _remove_half_written(results: Path, older_than: float) -> None:
    """Remove half-written files that are older than so many seconds."""
    for path in results.rglob(".*"):
        if (
            _HALF_WRITTEN.fullmatch(path.name)
            and path.is_file()
            and time.time() - path.stat().st_mtime >= older_than
        ):
            path.unlink()
