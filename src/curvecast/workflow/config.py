"""Describe the configuration of a run: every key, its type, its default and what it means.

`load` checks a configuration when the workflow starts, also in a dry run. The JSON Schema in
workflow/schemas/ is made of the same description (`python -m curvecast.workflow.config`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from curvecast.curves import DataError
from curvecast.predictors import module_of
from curvecast.predictors.options import check_options
from curvecast.studies.definitions import NetworkDefinition, StudyDefinition
from curvecast.validation import Strict, validated

SCHEMA = Path("workflow/schemas/config.schema.yaml")


def _unique(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} stands twice in the list")
    return values


def _not_one(runs: int) -> int:
    if runs == 1:
        raise ValueError("1 training run has no spread: give 0, or at least 2")
    return runs


def _model(name: str) -> str:
    try:
        module_of(name)
    except DataError as error:
        raise ValueError(str(error)) from None
    return name


Count = Annotated[int, Field(ge=1)]
TrainingRuns = Annotated[int, Field(ge=2)]
SomeOrNone = Annotated[int, Field(ge=0), AfterValidator(_not_one)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Names = Annotated[list[Name], AfterValidator(_unique)]
Model = Annotated[str, AfterValidator(_model)]
Models = Annotated[list[Model], AfterValidator(_unique)]
Fractions = Annotated[list[Fraction], Field(min_length=1), AfterValidator(_unique)]
Features = Literal["TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP"]


class Data(Strict):
    """Where raw files come from."""

    mirrors: Names = Field([], description="Folders with copies of the raw files, asked first.")
    offline: bool = Field(False, description="Whether nothing is downloaded.")
    on_missing: Literal["skip", "fail"] = Field(
        "fail", description="What happens to a data set whose files cannot be had."
    )


class Protocol(Strict):
    """Who trains on what, for all models alike."""

    fractions: Fractions = Field(
        description="Seen fractions of the curve; tau = max(1, ceil(fraction * E))."
    )
    taus: Annotated[list[Count], AfterValidator(_unique)] = Field(
        [], description="Further truncation epochs, given directly."
    )
    n_train: TrainingRuns = Field(
        100, description="Training runs per split, at most half of those of a data set."
    )
    repeats: Count = Field(10, description="Number of random splits.")


class Experiment(Strict):
    """An experiment beside the main protocol; off where `datasets` or `models` is empty."""

    datasets: Names = Field([], description="Data sets of the experiment.")
    models: Names = Field([], description='Predictors of the experiment; ["*"]: those of the run.')
    fractions: Fractions = Field([0.25], description="Seen fractions, among those of protocol.")


class Ablation(Experiment):
    """R² by combination of feature blocks."""

    features: Annotated[list[Features], Field(min_length=1), AfterValidator(_unique)] = Field(
        ["TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP"],
        description="Combinations of feature blocks.",
    )


class TrainingSize(Experiment):
    """Errors over the number of training runs, beside those of the main protocol."""

    n_train: Annotated[list[SomeOrNone], Field(min_length=1), AfterValidator(_unique)] = Field(
        [0, 5, 10, 20, 50],
        description="Numbers of training runs; 0 is for models without training.",
    )
    repeats: Count = Field(5, description="Random splits, the first ones of the main protocol.")


class Depth(Experiment):
    """R² on deep networks after training on shallow ones."""

    column: str = Field("ap_depth", description="Column of the curves that holds the depth.")
    thresholds: Annotated[list[int], AfterValidator(_unique)] = Field(
        [], description="Depths; training networks are below, test networks at or above."
    )
    n_train: TrainingRuns = Field(100, description="Training runs below the threshold.")


class Variant(Strict):
    """A further row of Task A's table."""

    name: Name
    models: Models | None = None
    train: TrainingRuns | None = None
    validation: int | None = Field(None, ge=0)
    options: dict[str, Any] = Field({})


def _named_apart(variants: list[Variant]) -> list[Variant]:
    _unique([variant.name for variant in variants])
    return variants


class TaskA(Strict):
    """LCBench's Task A, one split in file order; off where `datasets` or `models` is empty."""

    datasets: Names = Field([], description="Data sets that get it.")
    models: Models = Field([], description="Predictors that get it.")
    tau: Count = Field(10, description="The last epoch seen.")
    train: TrainingRuns = Field(1000, description="Training runs, the first ones of the file.")
    validation: int = Field(500, ge=0, description="Validation runs, the next ones.")
    test: Count = Field(500, description="Test runs, the next ones; the same in all variants.")
    variants: Annotated[list[Variant], AfterValidator(_named_apart)] = Field(
        [], description="Further rows of the table; options go over model_options."
    )


class SavedModels(Strict):
    """Predictors that are fitted on all complete runs and saved."""

    datasets: Names = Field([], description="Data sets to fit on.")
    models: Names = Field([], description="Predictors to fit.")
    fractions: Fractions = Field(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
        description="Seen fractions of the curve at which they can predict.",
    )


class Comparison(Strict):
    """What a run is compared with: the n-th best finished run, less an offset."""

    offset: float = Field(0.0, ge=0)
    top_n: Count = 1


class RungSetting(Strict):
    """What a run is compared with inside a rung of f-Hyperband."""

    kappa: float = Field(ge=0, le=1)
    offset: float = Field(0.0, ge=0)
    n_start: int = Field(100, ge=0)
    again: bool = False
    promising_first: bool = False


class Online(Strict):
    """The online search with the fixed setting."""

    run: bool = Field(description="Whether it runs.")
    deltas: Annotated[list[Fraction], AfterValidator(_unique)] = Field(
        description="Further Delta beside that of the fixed setting."
    )
    prior: bool = Field(False, description="Also with pfn, without a full run first.")


class Hyperband(Strict):
    """f-Hyperband against plain Hyperband."""

    predictors: Models = Field(description="Predictors inside rungs; none turns Hyperband off.")
    eta: int = Field(ge=2, description="1 of eta runs is promoted.")
    budget: Count | None = Field(description="Epochs of a full run; null: the curves decide.")
    hyperbands: Count = Field(description="Consecutive Hyperbands.")
    settled: int = Field(
        ge=0, description="Hyperbands before those that the tables also show alone."
    )
    repeats: Count = Field(description="Repeats of all Hyperbands.")
    deltas: Fractions = Field(description="Probabilities from which on a run is stopped.")
    settings: Annotated[list[RungSetting], Field(min_length=1), AfterValidator(_unique)] = Field(
        description="What a run is compared with."
    )

    @model_validator(mode="after")
    def _some_settle(self) -> Hyperband:
        if self.predictors and self.settled >= self.hyperbands:
            raise ValueError(
                f"settled is {self.settled}, there are only {self.hyperbands} Hyperbands"
            )
        return self


class StoppingKeys(Strict):
    """The keys of `stopping` that `stopping.overrides` may set for some data sets."""

    predictors: Annotated[Models, Field(min_length=1)] = Field(
        description="Predictors of the sequential search."
    )
    n_full: TrainingRuns = Field(description="Runs trained to the end before any is stopped.")
    orderings: Count = Field(description="Random orders in which the runs are searched.")
    deltas: Fractions = Field(
        description="Probabilities of ending worse from which on a run stops."
    )
    settings: Annotated[list[Comparison], Field(min_length=1), AfterValidator(_unique)] = Field(
        description="What a run is compared with."
    )
    every_epoch_up_to: int = Field(
        ge=0, description="Curves up to this length have decisions at every epoch, longer ones 12."
    )
    online: Online
    hyperband: Hyperband


class EarlyStopping(StoppingKeys):
    """Early stopping replayed on the recorded curves; off where `datasets` is empty."""

    datasets: Names = Field(description="Data sets that get it.")
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="Other values for some data sets, by their names or patterns of them."
    )

    def of(self, dataset: str) -> StoppingKeys:
        """The section for one data set, with the overrides that fit its name; the last one wins."""
        fitting = (v for pattern, v in self.overrides.items() if fnmatch.fnmatch(dataset, pattern))
        return self.changed(*fitting)

    def changed(self, *overrides: Mapping[str, Any], what: str = "stopping") -> StoppingKeys:
        """The section with other values for some keys. Raises DataError, beginning with `what`."""
        keys = self.model_dump(exclude={"datasets", "overrides"}, exclude_unset=True)
        for override in overrides:
            for key, value in override.items():
                nested = isinstance(value, Mapping) and key in keys
                keys[key] = {**keys[key], **value} if nested else value
        merged: StoppingKeys = validated(StoppingKeys, keys, what)
        return merged


class Config(Strict):
    """Configuration of curvecast."""

    results: Name = Field("results", description="Folder of everything that the run makes.")
    datasets: Annotated[Names, Field(min_length=1)] = Field(
        description="Data sets: names or patterns, of resources/datasets.yaml or below."
    )
    dataset_definitions: dict[str, dict[str, Any]] = Field(
        {}, description="The user's own data sets, with the keys of resources/datasets.yaml."
    )
    data: Data = Data()
    models: Annotated[Names, Field(min_length=1)] = Field(
        description="Predictors, by the names that the files in src/curvecast/predictors declare."
    )
    model_options: dict[str, dict[str, Any]] = Field({}, description="Options of predictors.")
    tuned_models: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], str] = Field(
        {}, description="New models, each with the study (objective prediction) that tunes it."
    )
    protocol: Protocol
    ablation: Ablation = Ablation()
    training_size: TrainingSize = TrainingSize()
    depth: Depth = Depth()
    task_a: TaskA = TaskA()
    stopping: EarlyStopping
    saved_models: SavedModels = SavedModels()
    parts: Count = Field(1, description="Jobs that share the repeats of a model on a data set.")
    studies: Names = Field([], description="Studies to run, by names of study_definitions.")
    study_definitions: dict[FileName, StudyDefinition] = Field(
        {}, description="Objective, search and seeds of each study."
    )
    networks: Names = Field([], description="Networks to train, by names of network_definitions.")
    network_definitions: dict[FileName, NetworkDefinition] = Field(
        {}, description="Configuration, task and data of each network."
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, given: Any) -> Any:
        """A section without a value (`depth:`) is the section with its defaults."""
        optional = ("ablation", "training_size", "depth", "task_a", "saved_models")
        return {k: v for k, v in given.items() if v is not None or k not in optional}

    @property
    def experiments(self) -> dict[str, Ablation | TrainingSize | Depth]:
        """The experiments beside the main protocol, by name."""
        return {
            "ablation": self.ablation,
            "training_size": self.training_size,
            "depth": self.depth,
        }


def load(given: Mapping[str, Any]) -> Config:
    """The typed configuration.

    Raises
    ------
    DataError : an unknown key (the message names the nearest known one), a value of the wrong type
        or out of its range, an unknown model or option of a model, a fraction of an experiment that
        protocol.fractions lacks, a training size above that of the protocol, or more parts than
        repeats.
    """
    config: Config = validated(Config, dict(given), "configuration")
    for pattern, override in config.stopping.overrides.items():
        config.stopping.changed(override, what=f"stopping.overrides.{pattern}")
    for model, options in config.model_options.items():
        tuned = config.study_definitions.get(config.tuned_models.get(model, ""))
        _check(f"model_options.{model}", getattr(tuned, "model", model), options)
    for name, study in config.study_definitions.items():
        if study.objective == "prediction":
            _check(f"study_definitions.{name}.fixed", study.model, study.fixed)
    named = [*config.models, *config.saved_models.models]
    for experiment in config.experiments.values():
        named += [model for model in experiment.models if model != "*"]
    for model in named:
        if model not in config.tuned_models:
            module_of(model)
    for variant in config.task_a.variants:
        for model in variant.models or config.task_a.models:
            _check(f"task_a.variants.{variant.name}.options", model, variant.options)
    if config.parts > config.protocol.repeats:
        raise DataError(
            f"parts is {config.parts}, there are only {config.protocol.repeats} repeats to split"
        )
    for name, experiment in config.experiments.items():
        unknown = set(experiment.fractions) - set(config.protocol.fractions)
        if unknown and experiment.datasets and experiment.models:
            raise DataError(f"{name}.fractions has {min(unknown)}, protocol.fractions has not")
    sizes, most = config.training_size, config.protocol.n_train
    if max(sizes.n_train) > most and sizes.datasets and sizes.models:
        raise DataError(
            f"training_size.n_train has {max(sizes.n_train)}, more than protocol.n_train ({most}), "
            "whose test runs all sizes share"
        )
    return config


def _check(what: str, model: str, options: dict[str, Any]) -> None:
    """Check options of a model; an error begins with `what`, the keys that hold them."""
    try:
        check_options(model, options)
    except DataError as error:
        raise DataError(f"{what}: {str(error).removeprefix(f'model_options.{model}: ')}") from None


def schema() -> str:
    """JSON Schema of the configuration, as YAML."""
    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
