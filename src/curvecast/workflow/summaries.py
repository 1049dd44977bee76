"""Describe the rules that make tables and figures, which workflow/rules/report.smk lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

Values = Mapping[str, Any]
# A table is written as CSV and as Markdown, a figure as SVG and as PNG.
SUFFIXES = {"table": (".csv", ".md"), "figure": (".svg", ".png")}


@dataclass(frozen=True)
class Summary:
    """One rule that makes tables or figures.

    Attributes
    ----------
    name : key of `TABLES` or `FIGURES` in `report.making`.
    message : what Snakemake prints for a job.
    outputs : paths by the names of tables or figures, with wildcards; without a suffix, which
        stands for `SUFFIXES`, or of a single file.
    reads : lists of input files by name, or a function of the wildcards that returns them; where
        a list is empty, the run has nothing to show.
    over : values of the wildcards.
    params : what the contents depend on besides, or a function of the wildcards.
    """

    name: str
    message: str
    outputs: Mapping[str, str]
    reads: Values | Callable[[Any], Values]
    over: Mapping[str, Sequence[str]] = field(default_factory=dict)
    params: Values | Callable[[Any], Values] = field(default_factory=dict)

    @property
    def wanted(self) -> bool:
        """Whether the run has this rule."""
        read = {} if callable(self.reads) else self.reads
        return all(read.values()) and all(self.over.values())

    def inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of one job by name."""
        return dict(self.reads(wildcards) if callable(self.reads) else self.reads)

    def arguments(self, wildcards: Any) -> dict[str, Any]:
        """What one job has to know: the wildcards, and `params`."""
        params = self.params(wildcards) if callable(self.params) else self.params
        return {**{name: getattr(wildcards, name) for name in self.over}, **params}

    @property
    def cell(self) -> str:
        """All wildcards, as the end of a path; empty without any."""
        return "".join(f"/{{{name}}}" for name in self.over)

    @property
    def constraints(self) -> dict[str, str]:
        """Regular expressions of the wildcards."""
        return {name: "|".join(map(re.escape, values)) for name, values in self.over.items()}

    def files_in(self, folder: str, kind: str) -> dict[str, list[str]]:
        """Outputs of one job by name, with wildcards; `kind` is "table" or "figure"."""
        both = SUFFIXES[kind]
        return {
            name: [f"{folder}/{path}{end}" for end in ([""] if path.endswith(".csv") else both)]
            for name, path in self.outputs.items()
        }

    def made_in(self, folder: str, kind: str) -> list[str]:
        """Outputs of all jobs."""
        values = product(*self.over.values())
        cells = [dict(zip(self.over, value, strict=True)) for value in values]
        patterns = [pattern for paths in self.files_in(folder, kind).values() for pattern in paths]
        return [pattern.format(**cell) for cell in cells for pattern in patterns]


def named(pattern: str, *names: str) -> dict[str, str]:
    """Paths by name, whose place in the pattern is `{name}`."""
    return {name: pattern.replace("{name}", name) for name in names}
