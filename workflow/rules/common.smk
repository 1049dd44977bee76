# What all rules share: names, the look at the data before the DAG, and who asks for which job.
import functools
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from curvecast import DataError, files, sources
from curvecast.data import registry as datasets
from curvecast.workflow import job as jobs, plan
from curvecast.report import closing as summary
from curvecast.predictors import module_of
from curvecast.report.page import about, contents
from curvecast.curves import collection_of
from curvecast.workflow import network_plan
from curvecast.workflow import stopping_plan
from curvecast.workflow import study_plan
from curvecast.studies.settings import OPTIMIZERS

RESULTS = config["results"].rstrip("/")
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
TABLE = f"{RESULTS}/tables"
FIGURE = f"{RESULTS}/figures"
STUDY = f"{RESULTS}/studies"


def of_repository(*patterns):
    """Files of the repository, relative so that a clone may move without rerunning."""
    folder = Path(workflow.basedir)
    return sorted(os.path.relpath(path) for pattern in patterns for path in folder.glob(pattern))


# Published R²; further published figures are inputs of the rules that set ours beside them.
PUBLISHED = of_repository("resources/published/*_r2.csv", "resources/published/notes.csv")
PUBLISHED_NETWORKS = of_repository(
    "resources/published/*_accuracy.csv", "resources/published/*_networks.csv"
)
PUBLISHED_TASK_A = of_repository("resources/published/lcbench_task_a_mse.csv")

os.environ.update(
    # Jobs run side by side: one thread each for BLAS and torch.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Scripts import the library from here, without its installation.
    PYTHONPATH=f"{workflow.basedir}/src",
    # Jobs end with this process.
    **{jobs.SCHEDULER_VARIABLE: str(os.getpid())},
    # Jobs learn of mirrors this way: in params, a path of this machine would rerun them elsewhere.
    CURVECAST_MIRROR=os.pathsep.join(map(str, datasets.mirrors(config["data"]["mirrors"]))),
)

# A job's own process must not ask the network again, nor stop for what others still fetch.
MAIN_PROCESS = workflow.is_main_process
if MAIN_PROCESS:
    RUN = files.claim(Path(".snakemake"), Path(RESULTS))
try:
    REGISTRY = datasets.load_registry(
        {**study_plan.trained_stanzas(config, STUDY), **config["dataset_definitions"]}
    )
    plan.check(config, REGISTRY)
    study_plan.check(config, REGISTRY)
    network_plan.check(config, REGISTRY)
    stopping_plan.check(config, REGISTRY)
    PREFLIGHT = datasets.preflight(
        config["datasets"],
        REGISTRY,
        f"{RESULTS}/raw",
        mirrors=datasets.mirrors(),
        offline=config["data"]["offline"] or not MAIN_PROCESS,
        on_missing=config["data"]["on_missing"] if MAIN_PROCESS else "skip",
        probe=MAIN_PROCESS,
        tasks=network_plan.task_data(config),
    )
    UNTRAINED = network_plan.without_data(config, PREFLIGHT.tasks)
    PREFLIGHT = network_plan.without_trained(PREFLIGHT, UNTRAINED)
    UNTUNED = study_plan.models_without_study(config, PREFLIGHT.usable)
    JOBS = plan.jobs(config, PREFLIGHT.usable, REGISTRY, left_out=UNTUNED)
    TRAININGS = study_plan.trainings(config, PREFLIGHT.tasks)
    TUNINGS = study_plan.tunings(config, PREFLIGHT.usable)
    NETWORKS = network_plan.jobs(config, PREFLIGHT.tasks)
    REPLAYS = study_plan.replays(config, PREFLIGHT.usable, REGISTRY)
    TASK_A = plan.task_a_jobs(config, PREFLIGHT.usable, REGISTRY)
    STOPPINGS = stopping_plan.searches(config, PREFLIGHT.usable, REGISTRY)
    KEPT = plan.saved_models(config, PREFLIGHT.usable, REGISTRY, left_out=UNTUNED)
    ASKED = [name for name in plan.EXPERIMENTS if any(job.experiment == name for job in JOBS)]
except DataError as error:
    raise WorkflowError(f"{error}") from None

if MAIN_PROCESS and not PREFLIGHT.usable:
    raise WorkflowError(f"no data set is left\n{PREFLIGHT.text()}")
if MAIN_PROCESS and UNTUNED:
    print(f"LEFT OUT, because their studies lack data: {', '.join(UNTUNED)}", file=sys.stderr)
if MAIN_PROCESS:
    amount = [
        plan.words(config, JOBS),
        study_plan.words([*TRAININGS, *TUNINGS, *REPLAYS]),
        network_plan.words(NETWORKS, UNTRAINED),
        stopping_plan.words(STOPPINGS),
    ]
    print(PREFLIGHT.text(), *filter(None, amount), sep="\n", file=sys.stderr)


wildcard_constraints:
    dataset="|".join(re.escape(name) for name in REGISTRY),
    model="[a-z0-9_]+",
    experiment=rf"|\.({'|'.join(plan.EXPERIMENTS)})",
    study=r"[\w-]+",
    network=r"[\w-]+",
    repeat=r"\d+",
    seed=r"\d+",
    optimizer="|".join(OPTIMIZERS),


def outputs(pattern, experiment=None, collection=None):
    """Files of a stage for all jobs, or some; {job} in the pattern is the job's name, {dataset}
    that of its data set.
    """
    return [
        pattern.format(job=job.file, dataset=job.dataset)
        for job in JOBS
        if experiment in (None, job.experiment) and collection in (None, collection_of(job.dataset))
    ]


def scores_of(experiment, collection=None):
    """Score files of the main protocol or an experiment, one per data set."""
    files = outputs(
        f"{RESULTS}/scores/{{dataset}}{plan.suffix(experiment)}.parquet", experiment, collection
    )
    return list(dict.fromkeys(files))


def models_on(wildcards):
    """Models that the main protocol or an experiment trains on a data set."""
    experiment = experiment_of(wildcards)
    return sorted(
        job.model
        for job in JOBS
        if (job.dataset, job.experiment) == (wildcards.dataset, experiment)
    )


@functools.cache
def code_of(*modules):
    """The file that stands for the sources behind modules among the inputs of a job."""
    return sources.listed(f"{RESULTS}/code", *modules, write=MAIN_PROCESS)


def shown(path, **labels):
    """A table (.csv, .md) or figure (.svg, .png) that `snakemake --report` shows, by its path
    without extension: in the section and with the caption that it has in report.html.
    """
    name = next(iter(contents.names_of([f"{path}.csv"], RESULTS)))
    drawn = name.startswith("figures/")
    kinds = [".svg", ".png"] if drawn else [".csv", ".md"]
    caption = Path(workflow.basedir, "workflow/report", f"{contents.family(name)}.rst")

    def category(wildcards):
        return contents.section_of(name.format(**dict(wildcards.items()))).title

    marked = report(
        path + kinds[0],
        caption=str(caption) if drawn and caption.is_file() else None,
        category=category,
        labels={"result": contents.family(name), **labels},
    )
    return [marked, path + kinds[1]]


def experiment_of(wildcards):
    return wildcards.experiment.removeprefix(".") or plan.MAIN


def growing(amount):
    """A resource that is larger in each further attempt (`--retries`)."""
    return lambda wildcards, attempt: amount * attempt


def raw_files_of(wildcards):
    files = datasets.files_of(REGISTRY[wildcards.dataset])
    return [str(file.destination(f"{RESULTS}/raw")) for file in files]


def reader_of(wildcards):
    reader = REGISTRY[wildcards.dataset]["reader"]
    return code_of(f"curvecast.data.readers.{reader}")


def cells_of(wildcards):
    """Cells of a job: with all repeats, or with those of its part where the work is split."""
    cells = plan.cells_of(config, experiment_of(wildcards))
    if config["parts"] == 1:
        return cells
    part, parts = wildcards.scatteritem.split("-of-")
    return plan.part_of(cells, int(part), int(parts))


def depth_column_of(wildcards):
    return config["depth"]["column"] if experiment_of(wildcards) == "depth" else ""


def grid_of(wildcards):
    """The tau grid of a job, for the fractions beside each tau."""
    cells = plan.cells_of(config, experiment_of(wildcards))
    return {"fractions": cells["fractions"], "epochs": cells.get("taus", [])}


def searches_files(searches, pattern, study=None):
    """Files of the searches of a study or of all; {job} in the pattern is the search's name."""
    return [pattern.format(job=s.file) for s in searches if study in (None, s.study)]


def studies_in(searches):
    """Names of the studies that searches belong to."""
    return list(dict.fromkeys(search.study for search in searches))


def study_names(objective):
    """Regular expression of the studies with an objective; of none where there is none."""
    names = study_plan.of_objective(config, objective)
    return "|".join(map(re.escape, names)) or "(?!)"


def study_definition_of(wildcards):
    """What a job of a study must know of its definition."""
    definition = study_plan.definition_of(config, wildcards.study)
    definition = study_plan.for_job(definition, wildcards.get("dataset"))
    return network_plan.for_job(definition, REGISTRY)


def study_raw_of(wildcards):
    """Raw files that a study's task trains on."""
    return raw_of(study_plan.definition_of(config, wildcards.study))


def study_taken_of(wildcards):
    """Evaluations of the study whose configuration another one takes over."""
    source = study_plan.definition_of(config, wildcards.study).get("configuration_of")
    return (
        searches_files(TRAININGS, f"{STUDY}/{{job}}/evaluations.parquet", source) if source else []
    )


def raw_of(definition):
    files = datasets.files_of(REGISTRY[definition["data"]]) if "data" in definition else []
    return [str(file.destination(f"{RESULTS}/raw")) for file in files]


def tuning_curves_of(wildcards):
    definition = study_plan.definition_of(config, wildcards.study)
    return f"{RESULTS}/curves/{definition['dataset']}.parquet"


def incumbent_of(wildcards):
    """The incumbent that a tuned model's options come from; nothing for other models."""
    study = config["tuned_models"].get(wildcards.model)
    return [] if study is None else [f"{STUDY}/{study}/incumbent.json"]


def base_model_of(wildcards):
    """The model that is trained: that of its study for a tuned one."""
    return study_plan.base_model(config, wildcards.model)


def predictor_code_of(wildcards):
    tuned = ["curvecast.studies.incumbent"] * bool(incumbent_of(wildcards))
    return code_of("curvecast.benchmark.cells", module_of(base_model_of(wildcards)), *tuned)


def study_code_of(wildcards):
    definition = study_plan.definition_of(config, wildcards.study)
    return [code_of(*study_plan.modules_of(definition)), *study_plan.files_of(definition)]


def network_definition_of(wildcards):
    """What a training to the end must know of its definition."""
    definition = network_plan.definition_of(config, wildcards.network)
    return network_plan.for_job(definition, REGISTRY)


def network_raw_of(wildcards):
    return raw_of(network_plan.definition_of(config, wildcards.network))


def network_studies_of(key):
    """Evaluations of the study that a network's definition names under `key`."""

    def files(wildcards):
        study = network_plan.definition_of(config, wildcards.network).get(key)
        return (
            searches_files(TRAININGS, f"{STUDY}/{{job}}/evaluations.parquet", study)
            if study
            else []
        )

    return files


def network_weights_of(wildcards):
    source = network_plan.definition_of(config, wildcards.network).get("weights")
    return f"{NETWORK}/{source}/repeat={wildcards.repeat}/weights.npz" if source else []


def network_code_of(wildcards):
    definition = network_plan.definition_of(config, wildcards.network)
    modules = study_plan.modules_of({"objective": "training", **definition})
    code = code_of("curvecast.studies.networks", *modules)
    return [code, *study_plan.files_of(definition)]


def study_threads_of(wildcards):
    """Evaluations that a study runs at once."""
    return max(1, study_plan.definition_of(config, wildcards.study).get("workers", 1))


def task_a_of(pattern):
    """Files of the jobs of Task A."""
    return [pattern.format(dataset=dataset, model=model) for dataset, model in TASK_A]


def stopping_of(file, subject="", searches=stopping_plan.SEARCHES):
    """Files of the early-stopping jobs of a data set or collection (all, where it is empty)."""
    return [
        f"{RESULTS}/stopping/{job.file}/{file}"
        for job in STOPPINGS
        if job.search in searches and subject in ("", job.dataset, collection_of(job.dataset))
    ]


def with_hyperband():
    """Data sets that Hyperband is replayed on."""
    return [job.dataset for job in STOPPINGS if job.search == "hyperband"]


def tables():
    """The tables of the run, and its seconds."""
    names = ["r2", "averages", "differences", "ranks", "published", "datasets", *ASKED]
    seconds = ["timings"]
    if TASK_A:
        names.append("task_a")
    if TRAININGS or TUNINGS or REPLAYS:
        names.append("studies")
        seconds.append("study_timings")
    if TUNINGS:
        names.append("tuning")
    if REPLAYS:
        names.append("study_comparison")
    if TRAININGS:
        names.append("effects")
    if NETWORKS:
        names.append("networks")
        seconds.append("network_timings")
    if STOPPINGS:
        names.append("speedup_sequential")
        seconds.append("stopping_timings")
    if with_hyperband():
        names.append("speedup_hyperband")
    return [
        *expand(f"{TABLE}/{{name}}.{{kind}}", name=names, kind=["csv", "md"]),
        *expand(f"{RESULTS}/{{name}}.{{kind}}", name=seconds, kind=["csv", "md"]),
        *([f"{TABLE}/study_regret.csv"] if REPLAYS else []),
    ]


def saved_models():
    """The predictors that the run keeps."""
    return [f"{RESULTS}/models/{dataset}/{model}.safetensors" for dataset, model in KEPT]


def figures():
    """The figures of the run."""
    collections = {collection_of(dataset) for dataset in PREFLIGHT.usable}
    names = [
        "coverage",
        *(
            f"{kind}/{name}"
            for kind in ("r2", "spread", "reliability")
            for name in sorted(collections)
        ),
        *(f"ranks/{name}" for name in plan.ranked_collections(PREFLIGHT.usable)),
        *(
            f"{kind}/{dataset}"
            for kind in ("predicted_against_true", "gallery")
            for dataset in PREFLIGHT.usable
        ),
        *(
            f"{name}/{100 * fraction:g}"
            for name in ASKED
            if name != "depth"
            for fraction in config[name]["fractions"]
        ),
        *(
            f"studies/{study}/{name}"
            for study in studies_in([*TRAININGS, *TUNINGS])
            for name in study_plan.FIGURES
        ),
        *(f"studies/{study}/learning_curves" for study in studies_in(TRAININGS)),
        *(f"studies/{study}/regret" for study in studies_in(REPLAYS)),
        *(f"networks/{name}" for name in dict.fromkeys(job.network for job in NETWORKS)),
        *(
            f"stopping/{collection}/{name}"
            for collection in dict.fromkeys(collection_of(job.dataset) for job in STOPPINGS)
            for name in stopping_plan.FIGURES
        ),
        *(
            f"stopping/{name}/hyperband"
            for name in dict.fromkeys(map(collection_of, with_hyperband()))
        ),
        *(f"stopping/stopped/{name}" for name in dict.fromkeys(job.dataset for job in STOPPINGS)),
    ]
    return expand(f"{FIGURE}/{{name}}.{{kind}}", name=names, kind=["svg", "png"])
