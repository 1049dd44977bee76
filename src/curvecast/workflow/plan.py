"""What a configuration asks for: which jobs there are, and what each of them needs to know.

The workflow builds its rules out of these values. They reach a job as `params`, and only those
that concern it, so that a change of the configuration reruns what it changes and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curvecast.curves import DataError, collection_of
from curvecast.data import registry as datasets
from curvecast.predictors import module_of

Config = Mapping[str, Any]
MAIN = "main"
EXPERIMENTS = ("ablation", "training_size", "depth")
# On four data sets even two models of which one always wins are barely told apart by ranks.
RANKED_SETS = 5


@dataclass(frozen=True)
class Job:
    """One model on one data set in the main protocol or an experiment.

    `file` is its name in the stage folders, without an extension.
    """

    dataset: str
    model: str
    experiment: str = MAIN

    @property
    def file(self) -> str:
        return f"{self.dataset}/{self.model}{suffix(self.experiment)}"


def suffix(experiment: str) -> str:
    """What the files of an experiment have before their extension; nothing in the main protocol."""
    return "" if experiment == MAIN else f".{experiment}"


def check(config: Config, registry: Mapping[str, Any]) -> None:
    """Find the mistakes that the schema cannot see.

    Raises
    ------
    DataError : an unknown data set or model, options for an unknown model, a fraction of an
        experiment that the protocol does not have, or more parts than repeats.
    """
    for model in (*config["models"], *config["model_options"]):
        if model not in config["tuned_models"]:
            module_of(model)
    task_a = config.get("task_a") or {}
    datasets.expand(task_a.get("datasets", ()), registry)
    for model in (*task_a.get("models", ()), *_variant_models(task_a)):
        module_of(model)
    repeats = config["protocol"]["repeats"]
    if config["parts"] > repeats:
        raise DataError(f"parts is {config['parts']}, there are only {repeats} repeats to split")
    for name in (*EXPERIMENTS, "saved_models"):
        section = config[name] or {}
        datasets.expand(section.get("datasets", ()), registry)
        for model in section.get("models", ()):
            if model not in config["tuned_models"]:
                module_of(model)
    for experiment in EXPERIMENTS:
        section = config[experiment] or {}
        unknown = set(section.get("fractions", ())) - set(config["protocol"]["fractions"])
        if unknown and section.get("datasets") and section.get("models"):
            raise DataError(
                f"{experiment}.fractions has {min(unknown)}, protocol.fractions has not"
            )


def jobs(
    config: Config,
    usable: Sequence[str],
    registry: Mapping[str, Any],
    left_out: Sequence[str] = (),
) -> list[Job]:
    """All jobs of the run on the data sets `usable`, the main protocol first.

    Parameters
    ----------
    left_out : models that this run cannot train.
    """
    found = [Job(dataset, model) for dataset in usable for model in config["models"]]
    for experiment in EXPERIMENTS:
        section = config[experiment] or {}
        wanted = datasets.expand(section.get("datasets", ()), registry)
        if experiment == "depth" and not section.get("thresholds"):
            continue
        found += [
            Job(dataset, model, experiment)
            for dataset in usable
            if dataset in wanted
            for model in section.get("models", ())
        ]
    return [job for job in found if job.model not in left_out]


def cells_of(config: Config, experiment: str) -> dict[str, Any]:
    """The arguments of `benchmark.cells` that `experiment` sets, `repeats` as a list."""
    protocol = config["protocol"]
    repeats = list(range(protocol["repeats"]))
    if experiment == MAIN:
        return {
            "n_train": [protocol["n_train"]],
            "repeats": repeats,
            "fractions": protocol["fractions"],
            "taus": protocol["taus"],
        }
    section = config[experiment]
    chosen = {"repeats": repeats, "fractions": section["fractions"]}
    if experiment == "ablation":
        return {**chosen, "n_train": [protocol["n_train"]], "features": section["features"]}
    if experiment == "training_size":
        return {**chosen, "n_train": section["n_train"]}
    return {**chosen, "n_train": [section["n_train"]], "depths": section["thresholds"]}


def part_of(cells: Mapping[str, Any], part: int, parts: int) -> dict[str, Any]:
    """The same arguments with the `part`-th (from 1) of `parts` shares of the repeats."""
    repeats = cells["repeats"]
    start, end = (len(repeats) * edge // parts for edge in (part - 1, part))
    return {**cells, "repeats": repeats[start:end]}


def task_a_jobs(
    config: Config, usable: Iterable[str], registry: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """(data set, model) of every job of Task A on the data sets `usable`."""
    section = config.get("task_a") or {}
    wanted = datasets.expand(section.get("datasets", ()), registry)
    return [(d, model) for d in usable if d in wanted for model in section.get("models", ())]


def task_a_variants(config: Config, model: str) -> list[dict[str, Any]]:
    """The arguments of every `task_a.Variant` of a model, the plain one first."""
    section = config["task_a"]
    sizes = {key: section[key] for key in ("train", "validation", "test")}
    plain = {
        "name": "",
        **sizes,
        "test_from": sizes["train"] + sizes["validation"],
        "options": dict(config["model_options"].get(model, {})),
    }
    found = [plain]
    for variant in section["variants"]:
        if model in variant.get("models", section["models"]):
            changed = {
                key: variant[key] for key in ("name", "train", "validation") if key in variant
            }
            options = {**plain["options"], **variant.get("options", {})}
            found.append({**plain, **changed, "options": options})
    return found


def _variant_models(section: Config) -> list[str]:
    return [model for variant in section.get("variants", ()) for model in variant.get("models", ())]


def saved_models(
    config: Config,
    usable: Sequence[str],
    registry: Mapping[str, Any],
    left_out: Sequence[str] = (),
) -> list[tuple[str, str]]:
    """Data set and model of every predictor to keep; arguments as those of `jobs`."""
    section = config["saved_models"] or {}
    wanted = datasets.expand(section.get("datasets", ()), registry)
    return [
        (dataset, model)
        for dataset in usable
        if dataset in wanted
        for model in section.get("models", ())
        if model not in left_out
    ]


def columns_of(stanza: Mapping[str, Any]) -> dict[str, Any]:
    """How the curve's columns of a data set are called, as `saved.train` takes it."""
    return {key: stanza[key] for key in ("curve_columns", "first_epoch") if key in stanza}


def words(config: Config, found: Iterable[Job]) -> str:
    """How much work there is, one line per experiment that has any."""
    found = list(found)
    lines = []
    for experiment in (MAIN, *EXPERIMENTS):
        mine = [job for job in found if job.experiment == experiment]
        if not mine:
            continue
        cells = cells_of(config, experiment)
        factors = [
            (len({job.dataset for job in mine}), "data sets"),
            (len({job.model for job in mine}), "models"),
            (len(cells["fractions"]) + len(cells.get("taus", ())), "fractions"),
            *((len(cells[key]), key) for key in ("features", "depths") if key in cells),
            *([(len(cells["n_train"]), "sizes")] if experiment == "training_size" else []),
            (len(cells["repeats"]), "repeats"),
        ]
        product = 1
        for number, _ in factors:
            product *= number
        text = " x ".join(f"{number} {name}" for number, name in factors)
        lines.append(f"{experiment.replace('_', ' ')}: {text} = {product} cells")
    return "\n".join(lines)


def ranked_collections(usable: Iterable[str]) -> list[str]:
    """Collections with enough data sets to compare the average ranks of models, sorted."""
    sizes = Counter(map(collection_of, usable))
    return sorted(collection for collection, size in sizes.items() if size >= RANKED_SETS)


def headline_fraction(config: Config) -> float:
    """The fraction nearest to a quarter, at which the published tables are; the smaller of two."""
    return min(sorted(config["protocol"]["fractions"]), key=lambda f: abs(f - 0.25))
