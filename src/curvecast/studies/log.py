"""Logs the evaluations of a study in hpbandster's format, and resumes a study from its log."""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curvecast.curves import DataError
from curvecast.files import read_json, write_json, write_text
from curvecast.studies.evaluation import Config, ConfigId, Evaluation

if TYPE_CHECKING:
    from hpbandster.core.dispatcher import Job

CHECKPOINTS = "checkpoints"


class StudyLog:
    """The two line logs `configs.json` and `results.json`, resumed where they end.

    Lines that a kill tore off are cut; with `directory` None nothing is written. hpbandster's
    master and iterations call `new_config` and the log itself.

    Attributes
    ----------
    configs : configuration and its information by id.
    evaluations : finished evaluations by id and budget, in the order in which they finished.
    """

    def __init__(self, directory: Path | None, *, writable: bool = True) -> None:
        self.configs: dict[ConfigId, tuple[Config, dict[str, Any]]] = {}
        self.evaluations: dict[tuple[ConfigId, float], Evaluation] = {}
        self._files: dict[str, Path] = {}
        if directory is not None:
            self._files = {n: directory / f"{n}.json" for n in ("configs", "results")}
            if writable:
                directory.mkdir(parents=True, exist_ok=True)
                for path in self._files.values():
                    path.touch()
                    _cut_torn_line(path)
            self._read()

    def _read(self) -> None:
        for row, (key, config, info) in _lines(self._files["configs"], 3):
            if len(key) != 3 or not isinstance(config, dict):
                raise DataError("not a logged configuration", file=self._files["configs"], row=row)
            self.configs[tuple(key)] = (config, info)
        for row, (key, *evaluation) in _lines(self._files["results"], 5):
            if tuple(key) not in self.configs:
                raise DataError(
                    f"configuration {key} is not in configs.json; remove the study's folder to "
                    "start it again",
                    file=self._files["results"],
                    row=row,
                )
            self._remember(tuple(key), *evaluation)

    def _remember(
        self,
        key: ConfigId,
        budget: float,
        seconds: Mapping[str, float],
        result: Mapping[str, Any] | None,
        exception: str | None,
    ) -> None:
        config, info = self.configs[key]
        self.evaluations[key, budget] = Evaluation(
            id=key,
            config=config,
            budget=budget,
            loss=math.inf if result is None else float(result["loss"]),
            info={} if result is None else result["info"],
            reason=None if exception is None else _first_line(exception),
            seconds=seconds,
            model_based=bool(info.get("model_based_pick", False)),
        )

    def new_config(self, config_id: ConfigId, config: Config, config_info: dict[str, Any]) -> None:
        """Note a configuration before it is evaluated."""
        if config_id not in self.configs:
            self.configs[config_id] = (config, config_info)
            self._append("configs", [config_id, config, config_info])

    def __call__(self, job: Job) -> None:
        """Note a finished evaluation."""
        budget = job.kwargs["budget"]
        if (job.id, budget) not in self.evaluations:
            self._append("results", [job.id, budget, job.timestamps, job.result, job.exception])
            self._remember(job.id, budget, job.timestamps, job.result, job.exception)

    def forget(self, number: int) -> None:
        """Take the last `number` finished evaluations out of the log."""
        for key in list(self.evaluations)[-number:]:
            del self.evaluations[key]
        if self._files:
            lines = self._files["results"].read_text(encoding="utf-8").splitlines(keepends=True)
            write_text("".join(lines[:-number]), self._files["results"])

    def _append(self, name: str, line: list[Any]) -> None:
        if self._files:
            # In the third entry, of further facts, hpbandster's own readers pass it over.
            head, facts, rest = line[:2], {**line[2], "digest": _digest(line)}, line[3:]
            with open(self._files[name], "a", encoding="utf-8") as file:
                file.write(json.dumps([*head, facts, *rest]) + "\n")

    def recall(self, job: Job) -> bool:
        """Complete a job from the log; False where it was never finished."""
        logged = self.evaluations.get((job.id, job.kwargs["budget"]))
        if logged is None:
            return False
        job.timestamps = dict(logged.seconds)
        job.exception = logged.reason
        if logged.reason is None or logged.info:
            job.result = {"loss": logged.loss, "info": dict(logged.info)}
        return True


def read_evaluations(directory: str | Path) -> list[Evaluation]:
    """Finished evaluations of a study, running or ended, in the order in which they finished."""
    return list(StudyLog(Path(directory), writable=False).evaluations.values())


def resume(folder: Path, identity: dict[str, Any]) -> None:
    """Leave the folder's logs in place if they are of this very study, otherwise move them aside.

    Logs of this study that were moved aside the last time come back.

    Parameters
    ----------
    identity : JSON that tells the study from others.
    """
    file = folder / "study.json"
    if file.exists() and read_json(file) != identity:
        aside, moved = folder / "superseded", folder / "moved"
        shutil.rmtree(moved, ignore_errors=True)
        _move(folder, moved)
        if (aside / file.name).exists() and read_json(aside / file.name) == identity:
            _move(aside, folder)
        shutil.rmtree(aside, ignore_errors=True)
        moved.rename(aside)
    write_json(identity, file)


def _move(source: Path, target: Path) -> None:
    """Move the logs of a study."""
    target.mkdir(exist_ok=True)
    # Their identity last: what a kill left behind is not taken for logs of another study.
    for name in ("configs.json", "results.json", CHECKPOINTS, "study.json"):
        if (source / name).exists():
            (source / name).rename(target / name)


def _first_line(exception: str) -> str:
    """The first line of an error's message, which stands after its traceback if there is one."""
    lines = exception.strip().splitlines() or ["no reason is given"]
    begins = 1 + max((n for n, line in enumerate(lines) if line.startswith('  File "')), default=-1)
    return next((line for line in lines[begins:] if not line.startswith(" ")), lines[-1])


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _lines(path: Path, width: int) -> Iterator[tuple[int, list[Any]]]:
    with open(path, encoding="utf-8") as file:
        for row, text in enumerate(file, start=1):
            if not text.endswith("\n"):  # torn off, or being written just now
                return
            try:
                line = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(f"not JSON ({error})", file=path, row=row) from error
            if not isinstance(line, list) or len(line) != width:
                raise DataError(f"not a list of {width} entries", file=path, row=row)
            facts = line[2] if isinstance(line[2], dict) else {}
            digest = facts.pop("digest", None)
            if digest not in (None, _digest(line)):
                problem = "the line is damaged: its content does not fit its digest"
                raise DataError(problem, file=path, row=row)
            yield row, line


def _digest(line: list[Any]) -> int:
    return zlib.crc32(json.dumps(line).encode())
