"""A killed run's leavings are removed, a living run's are not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

from curvecast import locks


def leave(folder: Path) -> tuple[Path, Path]:
    """What a run with lock files leaves when it is killed."""
    lock = folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("out/tables/r2.csv\n")
    half = folder / "out/tables/.r2.csv.4711"
    half.parent.mkdir(parents=True)
    half.write_text("dataset,mo")
    return lock, half


def claim_in(folder: Path, *, then: str) -> subprocess.Popen[str]:
    """A process that claims the folder and does `then`."""
    code = f"""
        from pathlib import Path
        from curvecast import locks
        claimed = locks.claim(Path(".snakemake"), Path("out"))
        print("claimed", flush=True)
        {then}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(locks.__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    with claim_in(tmp_path, then="input()") as process:
        lock, half = leave(tmp_path)
        process.kill()
    with locks.claim(tmp_path / ".snakemake", tmp_path / "out"):
        assert not lock.exists()
        assert not half.exists()


def test_other_hidden_files_stay(tmp_path: Path) -> None:
    with claim_in(tmp_path, then="input()") as process:
        leave(tmp_path)
        process.kill()
    kept = tmp_path / "out/tables/.snakemake_timestamp"
    kept.touch()
    locks.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert kept.exists()


def test_a_living_run_keeps_its_locks(tmp_path: Path) -> None:
    with claim_in(tmp_path, then="input()") as process:
        lock, half = leave(tmp_path)
        locks.claim(tmp_path / ".snakemake", tmp_path / "out").close()
        assert lock.exists()
        assert half.exists()
        process.kill()


def test_locks_of_another_host_stay(tmp_path: Path) -> None:
    lock, _ = leave(tmp_path)
    noted = tmp_path / ".snakemake/curvecast.lock"
    noted.write_text("elsewhere")
    for _ in range(2):
        locks.claim(tmp_path / ".snakemake", tmp_path / "out").close()
        assert lock.exists()
        assert noted.read_text() == "elsewhere"
    lock.unlink()
    locks.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert noted.read_text() == socket.gethostname()


def test_what_a_killed_job_left_goes_when_it_is_old(tmp_path: Path) -> None:
    lock, half = leave(tmp_path)
    lock.unlink()
    locks.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert half.exists()
    os.utime(half, (0, 0))
    locks.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert not half.exists()
