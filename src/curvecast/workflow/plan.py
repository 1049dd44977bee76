"""Plan a run: which jobs there are, which files they read and make, and what each has to know.

The rules read one `Plan(config)`. What reaches a job as `params` is only what concerns it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from curvecast import code_digest
from curvecast.curves import DataError, collection_of
from curvecast.data import registry as datasets
from curvecast.data.preflight import Preflight, mirrors, preflight
from curvecast.predictors import module_of
from curvecast.workflow import plan_studies
from curvecast.workflow.config import Config, StoppingKeys
from curvecast.workflow.plan_studies import TRAINED, Studies

MAIN = "main"
# On four data sets even two models of which one always wins are barely told apart by ranks.
RANKED_SETS = 5
# The searches that early stopping is replayed in, and the folder of a job of each.
SEARCHES = {
    "sequential": "{dataset}/sequential/{model}",
    "hyperband": "{dataset}/hyperband/{model}",
    "online": "{dataset}/online",
    "rules": "{dataset}/rules",
}


@dataclass(frozen=True)
class Job:
    """One model on one data set in the main protocol or an experiment."""

    dataset: str
    model: str
    experiment: str = MAIN

    @property
    def file(self) -> str:
        """Name in the folders of predictions and timings, without an extension."""
        return f"{self.dataset}/{self.model}{suffix(self.experiment)}"


@dataclass(frozen=True)
class Stopping:
    """One job of early stopping; the online search and the rules have no model of their own."""

    dataset: str
    search: str
    model: str = ""

    @property
    def folder(self) -> str:
        """Folder of the job below that of early stopping."""
        return SEARCHES[self.search].format(**vars(self))


def suffix(experiment: str) -> str:
    """What the files of an experiment have before their extension; nothing in the main protocol."""
    return "" if experiment == MAIN else f".{experiment}"


class Plan:
    """Jobs and files of a run. Methods with an argument `wildcards` are functions for rules.

    Attributes
    ----------
    registry : stanzas by the names of data sets, those of the configuration included.
    data : which data sets can be had; `usable` are its collections of curves.
    left_out, untuned : studies and networks without data; tuned models whose study cannot run.
    not_run : names of all that the run leaves out.
    studies : jobs of studies and networks.
    models : those of the main protocol that the run can train, in the configuration's order.
    jobs : one per model, data set and experiment, the main protocol first.
    task_a, saved : pairs of data set and model, of Task A and of the predictors that are saved.
    stopping : jobs of early stopping, those of a data set together.
    experiments : experiments that have jobs.

    Parameters
    ----------
    have : what can be had; looked up where it is not given.
    root : of the repository; paths of its files are relative to the working folder.
    first : whether this process starts the others, which do not ask the network nor write lists.

    Raises
    ------
    DataError : an unknown data set, predictor or study; missing files with `on_missing: fail`.
    """

    def __init__(
        self,
        config: Config,
        registry: Mapping[str, Any] | None = None,
        have: Preflight | None = None,
        *,
        root: str | Path = datasets.REPOSITORY,
        first: bool = True,
    ) -> None:
        self.config = config
        self.results = config.results.rstrip("/")
        self.root = Path(root)
        stanzas = {**plan_studies.trained_stanzas(config), **config.dataset_definitions}
        self.registry = datasets.load_registry(stanzas) if registry is None else registry
        self.code = cache(
            lambda *names: code_digest.listed(f"{self.results}/code", *names, write=first)
        )
        self.search_section = cache(config.stopping.of)
        self.cells_of = cache(self._cells_of)
        self._check_stopping()
        self.studies = Studies(config, self.registry)
        have = have or self._look(first)
        self.left_out = self.studies.without_data(have.tasks)
        gone = {f"{TRAINED}/{name}" for name in self.left_out}
        self.usable = [name for name in have.usable if name not in gone]
        lost: dict[str, list[Any]] = {name: [] for name in have.usable if name in gone}
        self.data = replace(have, usable=self.usable, left_out=have.left_out | lost)
        self.studies.select(self.usable, have.tasks)
        self.untuned = self.studies.models_without_study(self.usable)
        self.not_run = [*self.data.left_out, *self.left_out, *self.untuned]
        self.models = [model for model in config.models if model not in self.untuned]
        self.jobs = self._jobs()
        ran = {job.experiment for job in self.jobs}
        self.experiments = [name for name in config.experiments if name in ran]
        self.task_a = self._pairs(config.task_a)
        self.saved = self._pairs(config.saved_models)
        self.stopping = list(self._stopping())

    def _look(self, first: bool) -> Preflight:
        data = self.config.data
        return preflight(
            self.config.datasets,
            self.registry,
            f"{self.results}/raw",
            mirrors=mirrors(data.mirrors),
            offline=data.offline or not first,
            on_missing=data.on_missing if first else "skip",
            probe=first,
            tasks=self.studies.task_data(),
        )

    def _check_stopping(self) -> None:
        section = self.config.stopping
        for pattern in section.overrides:
            datasets.expand([pattern], self.registry)
        for dataset in datasets.expand(section.datasets, self.registry):
            self.search_section(dataset)  # raises where its overrides do not go together

    # --- jobs -----------------------------------------------------------------------------------

    def _jobs(self) -> list[Job]:
        found = [Job(dataset, model) for dataset in self.usable for model in self.models]
        for name, section in self.config.experiments.items():
            if name != "depth" or self.config.depth.thresholds:
                found += [Job(*pair, name) for pair in self._pairs(section)]
        return found

    def _pairs(self, section: Any) -> list[tuple[str, str]]:
        """Data set and model of every job of a section of the configuration."""
        wanted = datasets.expand(section.datasets, self.registry)
        asked = [m for name in section.models for m in (self.models if name == "*" else [name])]
        models = [model for model in dict.fromkeys(asked) if model not in self.untuned]
        return [(name, model) for name in self.usable if name in wanted for model in models]

    def _stopping(self) -> Iterable[Stopping]:
        wanted = datasets.expand(self.config.stopping.datasets, self.registry)
        for dataset in (name for name in self.usable if name in wanted):
            section = self.search_section(dataset)
            yield from (Stopping(dataset, "sequential", m) for m in section.predictors)
            yield from (Stopping(dataset, "hyperband", m) for m in section.hyperband.predictors)
            yield from [Stopping(dataset, "online")] * section.online.run
            yield Stopping(dataset, "rules")

    def text(self) -> str:
        """What the run holds: its data, and how much work there is."""
        lines = [self.data.text(), *map(self._size, (MAIN, *self.experiments))]
        lines += filter(None, [self.studies.text(self.left_out)])
        if self.stopping:
            counts = Counter(job.search for job in self.stopping)
            parts = ", ".join(f"{counts[name]} {name}" for name in SEARCHES if counts[name])
            sets = len({job.dataset for job in self.stopping})
            lines.append(f"early stopping: {sets} data sets, {len(self.stopping)} jobs ({parts})")
        if self.untuned:
            lines.append(f"LEFT OUT, because their studies lack data: {', '.join(self.untuned)}")
        return "\n".join(lines)

    def _size(self, experiment: str) -> str:
        jobs = [job for job in self.jobs if job.experiment == experiment]
        cells = self.cells_of(experiment)
        factors = {
            "data sets": len({job.dataset for job in jobs}),
            "models": len({job.model for job in jobs}),
            "fractions": len(cells["fractions"]) + len(cells.get("taus", ())),
            **{key: len(cells[key]) for key in ("features", "depths") if key in cells},
            **({"sizes": len(cells["n_train"])} if experiment == "training_size" else {}),
            "repeats": len(cells["repeats"]),
        }
        text = " x ".join(f"{number} {name}" for name, number in factors.items())
        return f"{experiment.replace('_', ' ')}: {text} = {prod(factors.values())} cells"

    # --- files ----------------------------------------------------------------------------------

    def repository(self, *patterns: str) -> list[str]:
        """Files of the repository. Raises DataError for a pattern that fits none."""
        found = {pattern: list(self.root.glob(pattern)) for pattern in patterns}
        for pattern, paths in found.items():
            if not paths:
                raise DataError("no such file in the repository", file=pattern)
        return sorted(os.path.relpath(path) for paths in found.values() for path in paths)

    def with_model(self, *modules: str) -> Callable[[Any], list[str]]:
        """Input function: the code of modules and of a job's model, and the file of its weights."""

        def code(wildcards: Any) -> list[str]:
            if not hasattr(wildcards, "model"):
                return [self.code(*modules)]
            tuned = ["curvecast.studies.incumbent"] * bool(self.incumbent(wildcards))
            weights = [w] if (w := self.options(wildcards).get("weights")) else []
            return [self.code(*modules, module_of(self.base_model(wildcards)), *tuned), *weights]

        return code

    def study_code(self, wildcards: Any) -> str:
        """Code behind one job of a study."""
        definition = self.studies.definition(wildcards.study)
        return self.code(*plan_studies.modules(definition, getattr(wildcards, "optimizer", "")))

    def network_code(self, wildcards: Any) -> str:
        """Code behind one training of a network."""
        modules = plan_studies.modules(self.studies.network(wildcards.network))
        return self.code("curvecast.studies.networks", *modules)

    def reader_inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of the curves of a data set."""
        stanza = self.registry[wildcards.dataset]
        files = [file.destination(f"{self.results}/raw") for file in datasets.files_of(stanza)]
        code = self.code(f"curvecast.data.readers.{stanza['reader']}")
        return {"raw": [str(file) for file in files], "code": code}

    def incumbent(self, wildcards: Any) -> list[str]:
        """The incumbent that a tuned model's options come from; nothing for other models."""
        study = self.config.tuned_models.get(wildcards.model)
        return [] if study is None else [f"{self.studies.folder}/{study}/incumbent.json"]

    def predictions(self, wildcards: Any) -> list[str]:
        """Predictions of all models on a data set in the main protocol or an experiment."""
        folder = f"{self.results}/predictions/{wildcards.dataset}"
        return [f"{folder}/{m}{wildcards.experiment}.parquet" for m in self.models_on(wildcards)]

    def scores(self, *experiments: str, collection: str = "", folder: str = "scores") -> list[str]:
        """Scores of experiments (default: of the main protocol), or their draws, per data set."""
        names = dict.fromkeys(
            (job.dataset, suffix(job.experiment))
            for job in self.jobs
            if job.experiment in (experiments or (MAIN,))
            and collection in ("", collection_of(job.dataset))
        )
        return [f"{self.results}/{folder}/{name}{end}.parquet" for name, end in names]

    def scored(self, *experiments: str) -> dict[str, list[str]]:
        """Scores of experiments and their bootstrap draws."""
        return {name: self.scores(*experiments, folder=name) for name in ("scores", "draws")}

    def task_a_files(self, stage: str, kind: str) -> list[str]:
        """Predictions (parquet) or timings (csv) of all jobs of Task A."""
        return [f"{self.results}/{stage}/{d}/{m}.task_a.{kind}" for d, m in self.task_a]

    def timings(self) -> list[str]:
        """Seconds of all jobs that train a predictor."""
        main = [f"{self.results}/timings/{job.file}.csv" for job in self.jobs]
        return main + self.task_a_files("timings", "csv")

    def stopping_files(self, file: str, *searches: str, subject: str = "") -> list[str]:
        """A file of all jobs in some searches, or of those on one data set or collection."""
        return [
            f"{self.results}/stopping/{job.folder}/{file}"
            for job in self.stopping
            if job.search in searches and subject in ("", job.dataset, collection_of(job.dataset))
        ]

    def saved_models(self) -> list[str]:
        """Files of the predictors that the run saves."""
        return [f"{self.results}/models/{d}/{m}.safetensors" for d, m in self.saved]

    # --- what jobs have to know -----------------------------------------------------------------

    def base_model(self, wildcards: Any) -> str:
        """The model that is trained: that of its study for a tuned one."""
        return self.studies.base_model(wildcards.model)

    def options(self, wildcards: Any) -> dict[str, Any]:
        """Options of a model; none for a job without one."""
        return self.config.model_options.get(getattr(wildcards, "model", ""), {})

    def models_on(self, wildcards: Any) -> list[str]:
        """Models on a data set in the main protocol or an experiment, sorted."""
        wanted = (wildcards.dataset, self.experiment(wildcards))
        return sorted(job.model for job in self.jobs if (job.dataset, job.experiment) == wanted)

    def experiment(self, wildcards: Any) -> str:
        """Name of the experiment of a job."""
        return wildcards.experiment.removeprefix(".") or MAIN

    def training_inputs(self, wildcards: Any) -> dict[str, Any]:
        """Input files of a job that trains a model: one function, because jobs are thousands."""
        return {
            "curves": f"{self.results}/curves/{wildcards.dataset}.parquet",
            "features": f"{self.results}/features/{wildcards.dataset}",
            "incumbent": self.incumbent(wildcards),
            "code": self.with_model("curvecast.benchmark.cells")(wildcards),
        }

    def training(self, wildcards: Any) -> dict[str, Any]:
        """What the same job has to know."""
        depth = self.experiment(wildcards) == "depth"
        return {
            "model": self.base_model(wildcards),
            "options": self.options(wildcards),
            "cells": self.cells(wildcards),
            "depth_column": self.config.depth.column if depth else "",
        }

    def cells(self, wildcards: Any) -> dict[str, Any]:
        """Cells of a job: with all repeats, or those of its part where the work is split."""
        cells = self.cells_of(self.experiment(wildcards))
        if self.config.parts == 1:
            return cells
        part, parts = map(int, wildcards.scatteritem.split("-of-"))
        repeats = cells["repeats"]
        start, end = (len(repeats) * edge // parts for edge in (part - 1, part))
        return {**cells, "repeats": repeats[start:end]}

    def grid(self, wildcards: Any) -> dict[str, Any]:
        """The tau grid of a job, for the fractions beside each tau."""
        cells = self.cells_of(self.experiment(wildcards))
        return {"fractions": cells["fractions"], "epochs": cells.get("taus", [])}

    def _cells_of(self, experiment: str) -> dict[str, Any]:
        """The arguments of `benchmark.cells.cells_of` in an experiment, `repeats` as a list."""
        protocol, sections = self.config.protocol, self.config.experiments
        section: Any = sections.get(experiment, protocol)
        chosen = {"repeats": list(range(protocol.repeats)), "fractions": section.fractions}
        chosen["of"] = protocol.repeats
        if experiment == "ablation":
            return {**chosen, "n_train": [protocol.n_train], "features": section.features}
        if experiment == "training_size":
            chosen["repeats"] = chosen["repeats"][: section.repeats]
            return {**chosen, "n_train": section.n_train, "reserve": protocol.n_train}
        if experiment == "depth":
            return {**chosen, "n_train": [section.n_train], "depths": section.thresholds}
        return {**chosen, "n_train": [protocol.n_train], "taus": protocol.taus}

    def variants(self, wildcards: Any) -> list[dict[str, Any]]:
        """The arguments of every `task_a.Variant` of a model, the plain one first."""
        section, options = self.config.task_a, self.options(wildcards)
        sizes = section.model_dump(include={"train", "validation", "test"})
        test_from = section.train + section.validation
        plain = {"name": "", **sizes, "test_from": test_from, "options": dict(options)}
        found = [plain]
        for variant in section.variants:
            if wildcards.model in (variant.models or section.models):
                changed = variant.model_dump(exclude={"models", "options"}, exclude_unset=True)
                found.append({**plain, **changed, "options": {**options, **variant.options}})
        return found

    def search_arguments(self, search: str) -> Callable[[Any], dict[str, Any]]:
        """Function of wildcards: `plan` of a job of a search, and `options` of its model."""
        return lambda wildcards: {
            "plan": self._search_plan(search, self.search_section(wildcards.dataset)),
            "options": self.options(wildcards),
        }

    def _search_plan(self, search: str, section: StoppingKeys) -> dict[str, Any]:
        """What concerns one search, and nothing else."""
        if search == "online":
            prior = {"prior": True} if section.online.prior else {}
            return {"orderings": section.orderings, "deltas": section.online.deltas, **prior}
        if search == "hyperband":
            return section.hyperband.model_dump(exclude={"predictors"}, exclude_unset=True)
        other = {"predictors", "online", "hyperband"}
        other |= {"deltas", "settings"} if search == "rules" else set()  # they know no Delta
        return section.model_dump(exclude=other, exclude_unset=True)

    @property
    def headline_fraction(self) -> float:
        """The fraction nearest to a quarter, at which published tables are; the smaller of two."""
        return min(sorted(self.config.protocol.fractions), key=lambda f: abs(f - 0.25))

    @property
    def ranked_collections(self) -> list[str]:
        """Collections with enough data sets to compare the average ranks of models, sorted."""
        sizes = Counter(map(collection_of, self.usable))
        return sorted(name for name, size in sizes.items() if size >= RANKED_SETS)
