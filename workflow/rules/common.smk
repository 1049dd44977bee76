# What all rules share: the plan of the run, names of folders, and the resources of a job.
import functools
import os
import sys
from pathlib import Path

# Of the Snakemake that started this one, on whichever machine; jobs end with this process.
os.environ.update(CURVECAST_SCHEDULER=str(os.getpid()))

from snakemake import sourcecache
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from curvecast import DataError
from curvecast.curves import collection_of
from curvecast.data import preflight, registry
from curvecast.files import claim, locked, read_yaml
from curvecast.report import closing, making
from curvecast.report.page import about
from curvecast.workflow.config import load
from curvecast.workflow.plan import RANKED_SETS, SEARCHES, Plan
from curvecast.workflow.plan_studies import FOLDERS
from curvecast.workflow.terminal import Progress, interrupted
from curvecast.workflow.summaries import Summary, named

# A job's own process must not ask the network again, nor stop for what others still fetch.
MAIN_PROCESS = workflow.is_main_process
try:
    for configfile in workflow.configfiles if MAIN_PROCESS else ():
        read_yaml(configfile)  # Snakemake passes over a key that stands there twice
    settings = load(config)
    if MAIN_PROCESS:
        LOCKS = [claim(Path(".snakemake"), Path(settings.results))]
    plan = Plan(settings, root=workflow.basedir, first=MAIN_PROCESS)
except DataError as error:
    raise WorkflowError(f"{error}") from None
if MAIN_PROCESS and not plan.usable:
    raise WorkflowError(f"no data set is left\n{plan.data.text()}")
if MAIN_PROCESS:
    print(plan.text(), file=sys.stderr)
    stage_of = lambda rule: Path(workflow.get_rule(rule).snakefile).stem.replace("Snakefile", "all")
    limits = workflow.resource_settings  # on a cluster: jobs at a time, and no cores
    side_by_side = limits.cores or limits.nodes or 1
    shorter = Progress(stage_of, side_by_side, lambda: workflow.dryrun)
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":  # the log file is left as it is
            handler.addFilter(shorter)

studies = plan.studies
RESULTS = plan.results
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
STUDY = f"{RESULTS}/studies"
FIGURE = f"{RESULTS}/figures"
NETWORK = f"{RESULTS}/networks"
ENVIRONMENT = "../../envs/environment.yaml"

os.environ.update(
    # Jobs run side by side: one thread each for BLAS and torch.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Scripts import the library from here, without its installation.
    PYTHONPATH=f"{workflow.basedir}/src",
    # Jobs learn of mirrors this way: in params, a path of this machine would rerun them elsewhere.
    CURVECAST_MIRROR=os.pathsep.join(map(str, preflight.mirrors(settings.data.mirrors))),
)


wildcard_constraints:
    dataset=r"\w[\w.-]*?(?:/\w[\w.-]*?)*?",
    model="[a-z0-9_]+",
    experiment=rf"|\.({'|'.join(plan.config.experiments)})",
    study=r"[\w-]+",
    network=r"[\w-]+",
    repeat=r"\d+",
    seed=r"\d+",
    optimizer=r"\w+",


# Snakemake parses the address of the script of each job three times, which is slow.
sourcecache.parse_uri = functools.cache(sourcecache.parse_uri)


def growing(amount):
    """A resource that is larger in each further attempt (`--retries`)."""
    return lambda wildcards, attempt: amount * attempt


def together(group):
    """The group of a rule where small jobs share a submission, as in profiles/slurm.

    Elsewhere it has none: Snakemake would check all groups, which takes seconds.
    """
    return group if "in_turn" in workflow.resource_settings.resources else None


def evaluations_of(wildcards):
    """Input of a figure of one study."""
    return {"evaluations": studies.files("evaluations", study=wildcards.study)}
