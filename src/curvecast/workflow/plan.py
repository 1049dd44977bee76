"""Plan a run: which jobs there are, which files they read and make, and what each has to know.

The rules of the workflow read one `Plan(config)`. What reaches a job as `params` is only what
concerns it, so that a change of the configuration reruns what it changes and nothing else.
"""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any

from curvecast import code_digest
from curvecast.curves import DataError, collection_of
from curvecast.data import registry as datasets
from curvecast.data.preflight import Preflight, mirrors, preflight
from curvecast.predictors import module_of
from curvecast.workflow import plan_studies
from curvecast.workflow.plan_studies import TRAINED, Studies, trained_stanzas

MAIN = "main"
EXPERIMENTS = ("ablation", "training_size", "depth")
# On four data sets even two models of which one always wins are barely told apart by ranks.
RANKED_SETS = 5
_TRACES = ("outcomes.parquet", "traces.parquet", "ends.parquet")


@dataclass(frozen=True)
class Search:
    """A search that early stopping is replayed in, one rule of the workflow.

    Attributes
    ----------
    name : of the search.
    folder : of a job below the folder of early stopping, with wildcards.
    files : what a job leaves there.
    code : the module behind it.
    message : what Snakemake prints for a job.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    code: str
    message: str


SEARCHES = {
    search.name: search
    for search in (
        Search(
            "sequential",
            "{dataset}/sequential/{model}",
            (*_TRACES, "reliability.parquet", "timings.csv"),
            "curvecast.stopping.study",
            "sequential search with {wildcards.model} on {wildcards.dataset}",
        ),
        Search(
            "hyperband",
            "{dataset}/hyperband/{model}",
            ("outcomes.parquet", "timings.csv"),
            "curvecast.stopping.hyperband_study",
            "Hyperband with {wildcards.model} on {wildcards.dataset}",
        ),
        Search(
            "online",
            "{dataset}/online",
            (*_TRACES, "timings.csv"),
            "curvecast.stopping.online_study",
            "online search on {wildcards.dataset}",
        ),
        Search(
            "rules",
            "{dataset}/rules",
            _TRACES,
            "curvecast.stopping.study",
            "rules without a model on {wildcards.dataset}",
        ),
    )
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
        """Folder of the job below that of the stage."""
        return SEARCHES[self.search].folder.format(**vars(self))


def suffix(experiment: str) -> str:
    """What the files of an experiment have before their extension; nothing in the main protocol."""
    return "" if experiment == MAIN else f".{experiment}"


class Plan:
    """Jobs and files of a run. Methods with an argument `wildcards` are functions for rules.

    Attributes
    ----------
    registry : stanzas by the names of data sets, those of the configuration included.
    data : which data sets can be had; studies and networks without data are in `left_out`.
    studies : jobs of studies and networks.
    jobs : one per model, data set and experiment, the main protocol first.
    task_a, saved : pairs of data set and model, of Task A and of the predictors that are saved.
    stopping : jobs of early stopping, those of a data set together.
    untuned : tuned models that are left out because their study cannot run.
    experiments : experiments that have jobs.

    Parameters
    ----------
    have : what can be had; looked up where it is not given.
    root : of the repository. Paths of its files are relative to the working folder, so that a
        clone may move without rerunning.
    first : whether this process starts the others. They neither ask the network nor write lists
        of code, and plan the same jobs.

    Raises
    ------
    DataError : an unknown data set, predictor or study, or another mistake in the configuration;
        missing files with `data.on_missing: fail`.
    """

    def __init__(
        self,
        config: Any,
        registry: Mapping[str, Any] | None = None,
        have: Preflight | None = None,
        *,
        root: str | Path = datasets.REPOSITORY,
        first: bool = True,
    ) -> None:
        self.config = config
        self.results = config.results.rstrip("/")
        self.root = Path(root)
        self.first = first
        stanzas = {**trained_stanzas(config), **config.dataset_definitions}
        self.registry = datasets.load_registry(stanzas) if registry is None else registry
        self._check()
        self.studies = Studies(config, self.registry)
        have = have or self._look()
        self.left_out = self.studies.without_data(have.tasks)
        gone = {f"{TRAINED}/{name}" for name in self.left_out}
        self.data = replace(
            have,
            usable=[name for name in have.usable if name not in gone],
            left_out=have.left_out | {n: [] for n in have.usable if n in gone},
        )
        self.studies.select(self.usable, self.data.tasks)
        self.untuned = self.studies.models_without_study(self.usable)
        self.jobs = self._jobs()
        self.experiments = [n for n in EXPERIMENTS if any(job.experiment == n for job in self.jobs)]
        self.task_a = self._pairs(config.task_a)
        self.saved = self._pairs(config.saved_models)
        self.stopping = self._stopping()

    @property
    def usable(self) -> list[str]:
        """Names of the collections of curves that the run uses."""
        return self.data.usable

    def _look(self) -> Preflight:
        data = self.config.data
        return preflight(
            self.config.datasets,
            self.registry,
            f"{self.results}/raw",
            mirrors=mirrors(data.mirrors),
            offline=data.offline or not self.first,
            on_missing=data.on_missing if self.first else "skip",
            probe=self.first,
            tasks=self.studies.task_data(),
        )

    def _check(self) -> None:
        """Raise DataError for the mistakes that one section does not show by itself."""
        config = self.config
        sections = [config[name] for name in (*EXPERIMENTS, "task_a", "saved_models")]
        variants = [model for v in config.task_a.variants for model in v.get("models", ())]
        for model in (*config.models, *config.model_options, *variants):
            self._check_model(model)
        for section in sections:
            self._expand(section.datasets)
            for model in section.models:
                self._check_model(model)
        for name in EXPERIMENTS:
            section = config[name]
            unknown = set(section.fractions) - set(config.protocol.fractions)
            if unknown and section.datasets and section.models:
                raise DataError(f"{name}.fractions has {min(unknown)}, protocol.fractions has not")
        if config.parts > config.protocol.repeats:
            raise DataError(
                f"parts is {config.parts}, there are only {config.protocol.repeats} repeats "
                "to split"
            )
        for pattern, override in config.stopping.overrides.items():
            self._expand([pattern])
            hyperband = override.get("hyperband", {})
            for model in (*override.get("predictors", ()), *hyperband.get("predictors", ())):
                module_of(model)
        for name in self._expand(config.stopping.datasets):
            section = self._stopping_section(name)
            for model in (*section.predictors, *section.hyperband.predictors):
                module_of(model)
            hyperband = section.hyperband
            if hyperband.predictors and hyperband.settled >= hyperband.hyperbands:
                raise DataError(
                    f"stopping.hyperband.settled is {hyperband.settled}, there are only "
                    f"{hyperband.hyperbands} Hyperbands"
                )

    def _check_model(self, model: str) -> None:
        if model not in self.config.tuned_models:
            module_of(model)

    def _expand(self, names: Iterable[str]) -> list[str]:
        return datasets.expand(names, self.registry)

    # --- jobs -----------------------------------------------------------------------------------

    def _jobs(self) -> list[Job]:
        found = [Job(dataset, model) for dataset in self.usable for model in self.config.models]
        for name in EXPERIMENTS:
            if name != "depth" or self.config.depth.thresholds:
                found += [Job(*pair, name) for pair in self._pairs(self.config[name])]
        return [job for job in found if job.model not in self.untuned]

    def _pairs(self, section: Any) -> list[tuple[str, str]]:
        """Data set and model of every job of a section of the configuration."""
        wanted = self._expand(section.datasets)
        return [
            (dataset, model)
            for dataset in self.usable
            if dataset in wanted
            for model in section.models
            if model not in self.untuned
        ]

    def _stopping(self) -> list[Stopping]:
        wanted = self._expand(self.config.stopping.datasets)
        found = []
        for dataset in (name for name in self.usable if name in wanted):
            section = self._stopping_section(dataset)
            found += [Stopping(dataset, "sequential", name) for name in section.predictors]
            found += [Stopping(dataset, "hyperband", name) for name in section.hyperband.predictors]
            found += [Stopping(dataset, "online")] * section.online.run
            found.append(Stopping(dataset, "rules"))
        return found

    def text(self) -> str:
        """What the run holds: its data, and how much work there is."""
        lines = [self.data.text(), *filter(None, map(self._size, (MAIN, *EXPERIMENTS)))]
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
        if not jobs:
            return ""
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
        """Files of the repository."""
        paths = (path for pattern in patterns for path in self.root.glob(pattern))
        return sorted(os.path.relpath(path) for path in paths)

    @cached_property
    def code(self) -> Callable[..., str]:
        """Function of modules: the file that stands for the sources behind them among inputs."""
        return cache(
            lambda *names: code_digest.listed(f"{self.results}/code", *names, write=self.first)
        )

    def with_model(self, module: str) -> Callable[[Any], str]:
        """Input function: the code of a module and of the model that the job trains."""

        def code(wildcards: Any) -> str:
            model = module_of(self.base_model(wildcards))
            tuned = ["curvecast.studies.incumbent"] * bool(self.incumbent(wildcards))
            return self.code(module, model, *tuned)

        return code

    def raw_files(self, wildcards: Any) -> list[str]:
        """Raw files of a data set."""
        files = datasets.files_of(self.registry[wildcards.dataset])
        return [str(file.destination(f"{self.results}/raw")) for file in files]

    def reader_code(self, wildcards: Any) -> str:
        """Code that reads a data set."""
        return self.code(f"curvecast.data.readers.{self.registry[wildcards.dataset]['reader']}")

    def incumbent(self, wildcards: Any) -> list[str]:
        """The incumbent that a tuned model's options come from; nothing for other models."""
        study = self.config.tuned_models.get(wildcards.model)
        return [] if study is None else [f"{self.studies.folder}/{study}/incumbent.json"]

    def predictions(self, wildcards: Any) -> list[str]:
        """Predictions of all models on a data set in the main protocol or an experiment."""
        end = f"{getattr(wildcards, 'experiment', '')}.parquet"
        folder = f"{self.results}/predictions/{wildcards.dataset}"
        return [f"{folder}/{model}{end}" for model in self.models(wildcards)]

    def scores(self, experiment: str = MAIN, collection: str = "") -> list[str]:
        """Scores of the main protocol or an experiment, one file per data set."""
        names = dict.fromkeys(job.dataset for job in self.jobs if job.experiment == experiment)
        return [
            f"{self.results}/scores/{name}{suffix(experiment)}.parquet"
            for name in names
            if collection in ("", collection_of(name))
        ]

    def task_a_files(self, stage: str, kind: str) -> list[str]:
        """Predictions (parquet) or timings (csv) of all jobs of Task A."""
        return [f"{self.results}/{stage}/{d}/{m}.task_a.{kind}" for d, m in self.task_a]

    def timings(self) -> list[str]:
        """Seconds of all jobs that train a predictor."""
        main = [f"{self.results}/timings/{job.file}.csv" for job in self.jobs]
        return main + self.task_a_files("timings", "csv")

    def stopping_files(
        self, file: str, subject: str = "", searches: Sequence[str] = ()
    ) -> list[str]:
        """A file of the jobs of early stopping (in some searches) of a data set or collection."""
        return [
            f"{self.results}/stopping/{job.folder}/{file}"
            for job in self.stopping
            if file in SEARCHES[job.search].files
            and (not searches or job.search in searches)
            and subject in ("", job.dataset, collection_of(job.dataset))
        ]

    def search_code(self, search: Search) -> Callable[[Any], str]:
        """Input function: the code of one search."""
        if "{model}" in search.folder:
            return self.with_model(search.code)
        return lambda wildcards: self.code(search.code)

    def study_code(self, wildcards: Any) -> str:
        """Code behind one job of a study."""
        return self.code(*plan_studies.modules(self.studies.definition(wildcards.study)))

    def network_code(self, wildcards: Any) -> str:
        """Code behind one training of a network."""
        modules = plan_studies.modules(self.studies.network(wildcards.network))
        return self.code("curvecast.studies.networks", *modules)

    def saved_models(self) -> list[str]:
        """Files of the predictors that the run saves."""
        return [f"{self.results}/models/{d}/{m}.safetensors" for d, m in self.saved]

    # --- what jobs have to know -----------------------------------------------------------------

    def stanza(self, wildcards: Any) -> dict[str, Any]:
        """What the reader of a data set has to know."""
        return datasets.for_reader(self.registry[wildcards.dataset])

    def base_model(self, wildcards: Any) -> str:
        """The model that is trained: that of its study for a tuned one."""
        return self.studies.base_model(wildcards.model)

    def options(self, wildcards: Any) -> dict[str, Any]:
        """Options of a model; none for a job without one."""
        return self.config.model_options.get(getattr(wildcards, "model", ""), {})

    def models(self, wildcards: Any) -> list[str]:
        """Models on a data set in the main protocol or an experiment, sorted."""
        wanted = (wildcards.dataset, self.experiment(wildcards))
        return sorted(job.model for job in self.jobs if (job.dataset, job.experiment) == wanted)

    @property
    def trained_models(self) -> list[str]:
        """Models of the main protocol that the run can train, in the order of the configuration."""
        return [model for model in self.config.models if model not in self.untuned]

    def experiment(self, wildcards: Any) -> str:
        """Name of the experiment of a job."""
        return getattr(wildcards, "experiment", "").removeprefix(".") or MAIN

    def depth_column(self, wildcards: Any) -> str:
        """Column that holds the depth of a network, in the experiment that asks for it."""
        return self.config.depth.column if self.experiment(wildcards) == "depth" else ""

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

    def cells_of(self, experiment: str) -> dict[str, Any]:
        """The arguments of `benchmark.cells` in an experiment, `repeats` as a list."""
        protocol = self.config.protocol
        section = protocol if experiment == MAIN else self.config[experiment]
        chosen = {"repeats": list(range(protocol.repeats)), "fractions": section.fractions}
        if experiment == MAIN:
            return {**chosen, "n_train": [protocol.n_train], "taus": protocol.taus}
        if experiment == "ablation":
            return {**chosen, "n_train": [protocol.n_train], "features": section.features}
        if experiment == "training_size":
            return {**chosen, "n_train": section.n_train}
        return {**chosen, "n_train": [section.n_train], "depths": section.thresholds}

    def variants(self, wildcards: Any) -> list[dict[str, Any]]:
        """The arguments of every `task_a.Variant` of a model, the plain one first."""
        section, options = self.config.task_a, self.options(wildcards)
        sizes = {key: section[key] for key in ("train", "validation", "test")}
        test_from = section.train + section.validation
        plain = {"name": "", **sizes, "test_from": test_from, "options": dict(options)}
        found = [plain]
        for variant in section.variants:
            if wildcards.model in variant.get("models", section.models):
                keys = ("name", "train", "validation")
                changed = {key: variant[key] for key in keys if key in variant}
                changed["options"] = {**options, **variant.get("options", {})}
                found.append({**plain, **changed})
        return found

    def columns(self, wildcards: Any) -> dict[str, Any]:
        """How the curve's columns of a data set are called, as `saved.train` takes it."""
        stanza = self.registry[wildcards.dataset]
        return {key: stanza[key] for key in ("curve_columns", "first_epoch") if key in stanza}

    def search_arguments(self, search: Search) -> Callable[[Any], dict[str, Any]]:
        """Function of wildcards: what a job of a search has to know, and nothing else."""
        names = ("n_full", "orderings", "deltas", "settings", "every_epoch_up_to")

        def arguments(wildcards: Any) -> dict[str, Any]:
            section = self._stopping_section(wildcards.dataset)
            if search.name == "online":
                return {"orderings": section.orderings, "deltas": section.online.deltas}
            if search.name == "hyperband":
                return {k: v for k, v in section.hyperband.items() if k != "predictors"}
            # The rules without a model know no Delta.
            off = {"deltas": [], "settings": []} if search.name == "rules" else {}
            return {name: section[name] for name in names} | off

        return arguments

    def _stopping_section(self, dataset: str) -> Any:
        """The section `stopping` for one data set, with the overrides that fit its name."""
        section = dict(self.config.stopping)
        for pattern, override in self.config.stopping.overrides.items():
            if fnmatch.fnmatch(dataset, pattern):
                for key, value in override.items():
                    nested = isinstance(value, Mapping)
                    section[key] = type(value)({**section[key], **value}) if nested else value
        return type(self.config)(section)

    @property
    def headline_fraction(self) -> float:
        """The fraction nearest to a quarter, at which published tables are; the smaller of two."""
        return min(sorted(self.config.protocol.fractions), key=lambda f: abs(f - 0.25))

    @property
    def ranked_collections(self) -> list[str]:
        """Collections with enough data sets to compare the average ranks of models, sorted."""
        sizes = Counter(map(collection_of, self.usable))
        return sorted(name for name, size in sizes.items() if size >= RANKED_SETS)


class Section(dict[str, Any]):
    """A mapping of the configuration whose keys are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


def sections(config: Any) -> Any:
    """The configuration with every mapping as a `Section`."""
    if isinstance(config, Mapping):
        return Section({key: sections(value) for key, value in config.items()})
    return [sections(value) for value in config] if isinstance(config, list) else config
