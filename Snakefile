# Raw learning curves to R² tables and figures: `snakemake --cores 8`. See README.md.
import functools
import signal
import sys

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


sys.path.insert(0, f"{workflow.basedir}/src")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/stopping.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        **MADE,
        models=plan.saved_models(),
        report=f"{RESULTS}/report.html",
    localrule: True
    message:
        "tables, figures and the report"


onstart:
    # Snakemake's own locks end when any other run in this folder does.
    try:
        LOCKS.append(locked(f"{RESULTS}/.lock", "another run is writing to this folder"))
    except DataError as error:
        raise WorkflowError(f"{error}") from None
    # A limit on submissions per second is for clusters. Here it would only start one timer more
    # after every job, each of which makes the scheduler look at all ready jobs every second.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
        signal.signal(
            signal.SIGINT, functools.partial(interrupted, workflow.persistence.unlock)
        )


onsuccess:
    text = closing.closing_text(RESULTS, plan.headline_fraction, left_out=plan.not_run)
    print(text, file=sys.stderr)
