"""Files are whole or absent; what a killed run leaves is removed, a living run's files are not."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import files


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
        from curvecast import files
        claimed = files.claim(Path(".snakemake"), Path("out"))
        print("claimed", flush=True)
        {then}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])},
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
    with files.claim(tmp_path / ".snakemake", tmp_path / "out"):
        assert not lock.exists()
        assert not half.exists()


def test_other_hidden_files_stay(tmp_path: Path) -> None:
    with claim_in(tmp_path, then="input()") as process:
        leave(tmp_path)
        process.kill()
    kept = tmp_path / "out/tables/.snakemake_timestamp"
    kept.touch()
    files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert kept.exists()


def test_a_living_run_keeps_its_locks(tmp_path: Path) -> None:
    with claim_in(tmp_path, then="input()") as process:
        lock, half = leave(tmp_path)
        files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
        assert lock.exists()
        assert half.exists()
        process.kill()


def test_locks_of_another_host_stay(tmp_path: Path) -> None:
    lock, _ = leave(tmp_path)
    noted = tmp_path / ".snakemake/curvecast.lock"
    noted.write_text("elsewhere")
    for _ in range(2):
        files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
        assert lock.exists()
        assert noted.read_text() == "elsewhere"
    lock.unlink()
    files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert noted.read_text() == socket.gethostname()


def test_what_a_killed_job_left_goes_when_it_is_old(tmp_path: Path) -> None:
    lock, half = leave(tmp_path)
    lock.unlink()
    files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert half.exists()
    os.utime(half, (0, 0))
    files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
    assert not half.exists()


def test_an_error_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new/r2.csv"
    files.write_text("whole\n", path)
    with contextlib.suppress(KeyboardInterrupt), files.written(path) as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert [p.name for p in path.parent.iterdir()] == ["r2.csv"]
    assert path.read_text() == "whole\n"


def test_temporary_names_are_those_that_are_removed(tmp_path: Path) -> None:
    with claim_in(tmp_path, then="input()") as process:
        leave(tmp_path)
        process.kill()
    with files.written(tmp_path / "out/weights.npz") as temporary:
        temporary.touch()
        files.claim(tmp_path / ".snakemake", tmp_path / "out").close()
        assert not temporary.exists()
        temporary.touch()


def test_arrays_and_json_come_back(tmp_path: Path) -> None:
    logged = {"log:loss": np.array([0.5, np.nan]), "step": np.array(3)}
    files.write_arrays(logged, tmp_path / "a.safetensors", {"key": 1})
    files.write_json({"b": [1, None], "a": "x"}, tmp_path / "a.json")
    arrays, meta = files.read_arrays(tmp_path / "a.safetensors")
    assert meta == {"key": 1}
    assert arrays["step"].shape == ()
    np.testing.assert_array_equal(arrays["log:loss"], [0.5, np.nan])
    assert files.read_json(tmp_path / "a.json") == {"a": "x", "b": [1, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(files.DataError, match=r"a\.json: damaged, or not written"):
        files.read_json(tmp_path / "a.json")


NUMBERS = pd.DataFrame(
    {
        "value": np.random.default_rng(0).normal(size=300),
        "epoch": np.arange(300, dtype=np.int64),
        "name": pd.Categorical(["sgd", "adam", "ν"] * 100),
    }
)


@pytest.mark.parametrize(
    ("write", "read"),
    [
        (
            lambda path: files.write_parquet(NUMBERS, path, {"unit": "%"}),
            lambda path: (lambda frame, meta: (frame.to_csv(), meta))(*files.read_parquet(path)),
        ),
        (
            lambda path: files.write_parquet(NUMBERS.astype({"value": "float32"}), path),
            lambda path: files.read_parquet(path, own=False)[0].to_csv(),
        ),
        (
            lambda path: files.write_arrays({"a": NUMBERS["value"].to_numpy()}, path, {"b": 1}),
            lambda path: [str(part) for part in files.read_arrays(path)],
        ),
        (
            lambda path: files.write_json({"options": {"rate": 0.015625, "n": [1, 2]}}, path),
            files.read_json,
        ),
        (
            lambda path: files.write_csv(NUMBERS, path, sealed=True),
            lambda path: files.read_csv(path).to_csv(),
        ),
    ],
    ids=["parquet", "parquet that may be of others", "arrays", "json", "csv"],
)
def test_no_flipped_bit_is_read_as_another_value(
    write: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path, rng = tmp_path / "file", np.random.default_rng(1)
    write(path)
    whole, expected = path.read_bytes(), read(path)
    refused = 0
    for _ in range(450):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            assert read(path) == expected
        except files.DataError:
            refused += 1
    assert refused > 400


def test_a_file_is_cut_off_or_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    files.write_parquet(NUMBERS, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(files.DataError, match=r"x\.parquet: "):
        files.read_parquet(path)
    NUMBERS.to_parquet(path)
    assert len(files.read_parquet(path, own=False)[0]) == len(NUMBERS)
    with pytest.raises(files.DataError, match="not written by this version of curvecast"):
        files.read_parquet(path)


def test_a_table_without_its_digest_is_refused(tmp_path: Path) -> None:
    files.write_csv(NUMBERS, tmp_path / "r2.csv")
    with pytest.raises(files.DataError, match=r"r2\.csv: its digest \.r2\.csv\.sha256 is missing"):
        files.read_csv(tmp_path / "r2.csv")


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with (
        files.locked(tmp_path / "study/.lock", "running already"),
        pytest.raises(files.DataError, match="running already"),
    ):
        files.locked(tmp_path / "study/.lock", "running already")
    with files.locked(tmp_path / "study/.lock", "running already"):
        pass


def test_known_checksums(tmp_path: Path) -> None:
    path = tmp_path / "hello.txt"
    path.write_bytes(b"hello world\n")
    # what git hash-object, md5sum and sha256sum print
    assert files.checksum(path, "gitblob") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
    assert files.checksum(path, "md5") == "6f5902ac237024bdd0c176cb93063dc4"
    assert files.checksum(path, "sha256").startswith("a948904f2f0f479b8f8197694b30184b0d2ed1c1")


def test_csv_form(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, math.nan], "n": [1, 2]})
    files.write_csv(frame, tmp_path / "deep" / "t.csv")
    assert (tmp_path / "deep" / "t.csv").read_bytes() == b"name,value,n\na,0.333333,1\nb,,2\n"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["t.csv"]
