"""What a program printed, one file per run: lines that count epochs or steps and name numbers."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.data.logs import EPOCH, RUN, Log, is_metric, run_tables
from curvecast.data.logs._parts import (
    EPOCHS,
    PAIR,
    no_metric,
    run_files,
    settings_of,
    table_of,
    trained,
)

GENERAL = True
_PATTERNS = ("*.out", "*.log", "*.txt")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# What counts, and the last count where it is told (`epoch 3/50`); an earlier kind is preferred.
_AFTER = r"['\"]?[\s:=#\[(|-]{0,12}['\"]?(\d+)(?:\.0+)?(?![\d.])(?:\s*(?:/|of)\s*(\d+))?"
_COUNTS = {
    EPOCH: re.compile(rf"\bep(?:och)?\b(?:\(\w+\))?\.?{_AFTER}", re.I),
    "step": re.compile(
        r"\b(?:(?:global_)?(?:(?:time)?step|iter(?:ation)?|round|batch|episode)(?:/\w+)?"
        rf"|total_timesteps|up\.){_AFTER}",
        re.I,
    ),
    # [12] of XGBoost, 12: of CatBoost, [12,  2000] of PyTorch's tutorial, with the batch.
    "line": re.compile(r"^(?:\[[\d:-]{5,}\] )?(?:\W*\[(?=\d+(?:, +\d+)?\])|(?=\d+:\s))(\d+)()"),
    "of": re.compile(r"\[\s*(\d+)/(\d+)\]"),
    # A progress bar with numbers: 20%|██ | 100/500 [00:10<00:40, loss=0.5].
    "bar": re.compile(r"\d%\|[^|]*\|\s*(\d+)/(\d+)\s+\[(?=.*=)"),
}
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)(?![\w/]|[.:]\d|%\|)"
# A value, and the mean of the values so far in brackets behind it.
_NAMED = re.compile(
    r"(?<![\w.])((?:[A-Za-z][\w/@.'-]* )?[A-Za-z_][\w/@.'-]*?)['\"]?"
    rf"(?:\s*[:=]\s*['\"]?({_NUMBER})|\s+(?=\S*(?:\.|nan|inf)|\d+\s?%)({_NUMBER}))"
    rf"(?:\s*\(\s*(?=[^)]*\.)({_NUMBER})\s*\))?",
)
# What stands in a line in small letters, a pattern, and what is written in its place.
_WRITTEN: tuple[tuple[str, re.Pattern[str], Any], ...] = (
    # train.py:120 and the like: where the message comes from
    (":", re.compile(r"\b[\w/]+(?:\.\w+)+:\d+\b(?!\.\d)|\w+\.py:\s*\d+|\(\w+:\d+\)"), ""),
    # 3epoch of ESPnet, `3 epoch, loss: 0.1`
    ("epoch", re.compile(r"\b(\d+)(?:epoch\b| epoch(?=[,:]))", re.I), r"epoch \1"),
    ("train: ", re.compile(r"^train: (?=\d+ \[)", re.I), "train epoch: "),  # timm
    ("acc@", re.compile(r"^ ?\* +(?=acc@)", re.I), "test "),  # PyTorch's example of ImageNet
    ("cur metric", re.compile(r"cur metric\b"), "eval"),  # PaddleOCR
    ("best metric", re.compile(r"best metric\b.*"), ""),
    ("saving dict", re.compile(r"Saving dict for\b"), "eval"),  # TensorFlow's estimators
    ("' reached ", re.compile(r"(?<=') reached (?=\d)"), " = "),  # Lightning's ModelCheckpoint
    ("so far", re.compile(r" so far\b"), ""),
    (" is", re.compile(r"(?<=\w) is:? +(?=[-\d]|nan|inf)"), " = "),
    (" avg)", re.compile(r" \(\w+ avg\)"), ""),  # Flair's f1-score (micro avg)
    # A value per class, as nnU-Net's `Pseudo dice [0.91, 0.84]`, as their mean
    ("[", re.compile(r"\[((?:(?:-?\d*\.\d+|nan)(?:,? |(?=\])))+)\]"), lambda m: _mean(m[1])),
    # (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.4, of COCO, as AP50-95/all/100
    ("iou=0", re.compile(r"(IoU=0\.\d+):0\.(\d+)"), r"\1-\2"),
    (
        "maxdets",
        re.compile(r"^.*\((A[PR])\) @\[ IoU=0\.([\d-]+)\W+area=\W*(\w+)\W+maxDets=\W*(\d+) \]"),
        r"\1\2/\3/\4",
    ),
)
# A box of stable-baselines3, with a name and a number per line; its count comes in the middle.
_BOX = re.compile(r"^-{9,}\n((?:\|[^|\n]*\|[^|\n]*\|\n)+)-{9,}$", re.M)
_IN_BOX = re.compile(r"\| *([^\s|]+) *\| *([^\s|]+) *\|")
_CORRECT = re.compile(r"\b(\w*acc\w*|correct)\s*[:=]\s*(\d+)\s*/\s*(\d+)", re.I)
# A number after one of these is part of a sentence: `val_loss improved from 0.5 to 0.4`.
_SENTENCE = {"from", "to", "of", "at", "in", "on", "is", "by", "than", "for", "with", "and"}
_PARTS = (
    "(train(?:ing|ed)?|val(?:id(?:at(?:ion|ing|ed?))?)?|dev|cv|test(?:ing|ed)?"
    "|eval(?:uat(?:ion|ing|ed?))?)"
)
_PART = re.compile(rf"\b{_PARTS}\b", re.I)
_NAMES_PART = re.compile(rf"(?<![a-z]){_PARTS}(?![a-z])", re.I)
_FEW = 3  # epochs; fewer are no curve, and what is printed once may still become one
_ALONG = "steps of all epochs"
_LONGEST = 2000  # characters of a line that are looked at
_BEST = re.compile(r"best[a-z_ ]{0,12}$", re.I)  # `Best Val Epoch: 3`
_RATE = re.compile(r"/s(ec)?(/|$)|^(skipped|data|rank|speed|tps|tflops|mfu)$", re.I)
_CELLS = re.compile(r"\s{2,}|\s*[|\t]\s*")
_ARGUMENTS = re.compile(r"Namespace\((.*)\)")


@dataclass
class _Printed:
    """Lines of a file: counts by kind as (line, count), the last one where it is told, steps within
    epochs as (line, epoch, step, steps of an epoch), numbers as (line, by name), arguments."""

    counts: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    planned: dict[str, int] = field(default_factory=dict)
    steps: list[tuple[int, int, int, int]] = field(default_factory=list)
    numbers: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)


# Files that `recognises` has looked at, for `read` right after it.
_LOOKED_AT: dict[Path, _Printed] = {}


def recognises(path: Path) -> bool:
    """Whether a file, or one of a folder without tables, has lines that count and name numbers."""
    if path.is_dir() and run_tables.recognises(path):
        return False
    _LOOKED_AT.clear()
    _LOOKED_AT.update({file: _printed(file) for file in _files(path).values()})
    kind = _kind(list(_LOOKED_AT.values()))
    return any(_rows(one, kind) for one in _LOOKED_AT.values())


def _files(path: Path) -> dict[str, Path]:
    for pattern in _PATTERNS:
        if files := run_files(path, pattern):
            return {path.stem: path} if path.is_file() else files
    return {}


def _printed(file: Path) -> _Printed:
    text = _COLOUR.sub("", file.read_text(encoding="utf-8", errors="replace")).replace("\b", "")
    text = _BOX.sub(lambda box: ", ".join(map(": ".join, _IN_BOX.findall(box[1]))), text)
    printed = _Printed()
    header: list[str] = []
    for at, line in enumerate(re.split(r"[\r\n]+", text)[:-1]):  # the last one may be incomplete
        line = line[:_LONGEST]
        lower = line.lower()
        for part, pattern, written in _WRITTEN:
            if part in lower:
                line = pattern.sub(written, line)
        header = _header(line) or header
        row = _row(header, line)
        line = row or line
        if match := _ARGUMENTS.search(line):
            printed.arguments = {k: v.strip("' ") for k, v in PAIR.findall(match[1])}
            continue
        if named := _numbers(line, with_part=not row):
            printed.numbers.append((at, named))
        _count(printed, at, line, bool(named))
    for counts in printed.counts.values():
        while len(counts) > 1 and counts[0][1] > counts[1][1]:
            del counts[0]  # `epoch: 300` before `epoch: 1` is an argument
    if printed.steps and printed.planned.get(EPOCH, _FEW + 1) <= _FEW:
        first = min(1, *(epoch for _, epoch, *_ in printed.steps))
        printed.counts[_ALONG] = [(at, (e - first) * n + k) for at, e, k, n in printed.steps]
        printed.planned[_ALONG] = printed.planned[EPOCH] * printed.steps[-1][3]
    return printed


def _count(printed: _Printed, at: int, line: str, names_numbers: bool) -> None:
    """Add what a line counts."""
    told = {}
    for kind, pattern in _COUNTS.items():
        match, counts = pattern.search(line), printed.counts[kind]
        if not match or _is_best_so_far(line[: match.start()], int(match[1]), counts):
            continue
        if names_numbers or f"{kind}'" not in line:  # {'epoch': 90} is an argument
            counts.append((at, int(match[1])))
            told[kind] = match
            if match[2]:
                printed.planned[kind] = int(match[2])
    epoch, step = told.get(EPOCH), told.get("step")
    if epoch and step and step[2]:
        printed.steps.append((at, int(epoch[1]), int(step[1]), int(step[2])))


def _is_best_so_far(before: str, count: int, counts: list[tuple[int, int]]) -> bool:
    """Whether a count after this text names the best epoch so far, not a new one."""
    named = _BEST.search(before) is not None
    return named or ("best" in before.lower() and bool(counts) and count <= counts[-1][1])


def _header(line: str) -> list[str]:
    """The columns of a table that begins here, as fastai, skorch, spaCy and DeePMD print it."""
    if any(character.isdigit() for character in line[:8]):
        return []
    cells = line[1:].split() if line.startswith("#") else _CELLS.split(line.strip(" |"))
    names = [cell for cell in cells if cell and not cell[0].isdigit()]
    begins = bool(cells) and cells[0].lower() in (*EPOCHS, "e") and len(names) == len(cells) > 2
    return [EPOCH if cells[0] == "E" else cells[0], *cells[1:]] if begins else []


def _row(header: list[str], line: str) -> str:
    """The line of such a table with the names of its columns; "" for another line."""
    cells = line.replace("|", " ").split()
    if not header or len(cells) < len(header) or not cells[0].partition("/")[0].isdigit():
        return ""
    return ", ".join(f"{name}: {cell}" for name, cell in zip(header, cells, strict=False))


def _kind(printed: list[_Printed]) -> str:
    """What counts in all files: the first of _COUNTS that grows in one of them; "" if none does.

    Counts in brackets or of progress bars that fall again are of the steps of an epoch. Steps count
    on over the epochs where all runs plan but a few of these.
    """
    counts = [(kind, [n for _, n in at]) for one in printed for kind, at in one.counts.items()]
    grows = {kind for kind, count in counts if len(set(count)) > 1}
    grows -= {kind for kind, n in counts if kind in ("of", "bar") and n != sorted(n)}
    if all(_ALONG in one.counts for one in printed if one.counts[EPOCH]) and _ALONG in grows:
        return _ALONG
    return next((kind for kind in _COUNTS if kind in grows), "")


def _rows(printed: _Printed, kind: str) -> list[dict[str, Any]]:
    """A row per line with numbers, with the `epoch` that the line or one before it counts."""
    lines = [at for at, _ in printed.counts[kind]]
    before = [bisect_right(lines, at) for at, _ in printed.numbers]
    return [
        {EPOCH: printed.counts[kind][n - 1][1], **named}
        for n, (_, named) in zip(before, printed.numbers, strict=True)
        if n
    ]


def _numbers(line: str, with_part: bool = True) -> dict[str, float]:
    """Numbers by name, inf for nan; a name gets the nearest `train`, `val` or `test` before it.

    `with_part` is False for the row of a table: its columns say what they are. The best value so
    far is left out.
    """
    matches = [(m.start(1), m[1], _value(m[2] or m[3], m[4] or "")) for m in _NAMED.finditer(line)]
    matches += [(m.start(1), m[1], int(m[2]) / max(int(m[3]), 1)) for m in _CORRECT.finditer(line)]
    parts = [(m.end(), m[1].lower()) for m in _PART.finditer(line)] if with_part else []
    named, names_best = {}, "best" in line.lower()
    for at, name, value in matches:
        words = name.lower().split()
        if words[-1] in _SENTENCE or any(map(no_metric, (name, words[-1]))) or _RATE.search(name):
            continue
        if names_best and (_BEST.search(line[:at]) or any(w.startswith("best") for w in words)):
            continue
        name = name.split()[-1] if words[0] in EPOCHS or words[0] in _SENTENCE else name
        before = [part for end, part in parts if end <= at]
        if before and not _NAMES_PART.search(name):
            name = f"{before[-1]} {name}"
        named[name] = value if np.isfinite(value) else np.inf
    return named


def _value(value: str, brackets: str) -> float:
    """The mean in brackets; the value without them, or where they hold a change as `(+0.1)`."""
    is_change = brackets[:1] in ("+", "-") and brackets[0] != value[0]
    return float(value if is_change or not brackets else brackets)


def _mean(values: str) -> str:
    """The mean of a list of numbers, such as one per class; "" where all of them are missing."""
    numbers = [float(number) for number in re.findall(r"-?\d*\.\d+", values)]
    return f" {sum(numbers) / len(numbers):e} " if numbers else ""


def _without_facts(table: pd.DataFrame) -> pd.DataFrame:
    """The rows without names that no metric has and whose number is printed once or twice a run.

    They state sizes, versions and arguments. Where no run has three epochs yet, all names stay.
    """
    runs = table.groupby(RUN)
    names = [str(name) for name in table if name not in (RUN, EPOCH)]
    others = [name for name in names if not is_metric(name)]
    if len(others) == len(names) or runs[EPOCH].nunique().max() < _FEW:
        return table
    facts = [name for name in others if runs[name].count().max() < _FEW]
    return table.drop(columns=facts).dropna(how="all", subset=[n for n in names if n not in facts])


def read(path: Path) -> Log:
    """Read the files; one without a count and a number is left out and named."""
    files = _files(path)
    printed = {
        run: _LOOKED_AT.pop(file) if file in _LOOKED_AT else _printed(file)
        for run, file in files.items()
    }
    kind = _kind(list(printed.values()))
    parts, notes, settings = [], [], {}
    planned: dict[str, int] = {}
    for run, one in printed.items():
        if rows := _rows(one, kind):
            parts.append(pd.DataFrame(rows).assign(**{RUN: run}))
            settings[run] = settings_of(run, files[run].parent) | one.arguments
            if kind in one.planned:
                planned[run] = one.planned[kind]
        else:
            notes.append(f"{run}: no line names a number of an epoch, the file was left out")
    table = _without_facts(pd.concat(parts, ignore_index=True))
    last = table.groupby(RUN)[EPOCH].max()
    if table[EPOCH].min() == 0 and any(last[run] >= n for run, n in planned.items()):
        planned = {run: n + 1 for run, n in planned.items()}  # `0/9` to `9/9`
    table[EPOCH] = trained(table[EPOCH].to_numpy(dtype=np.int64))
    return Log("printed text", table, table_of(settings), planned, notes=tuple(notes))
