"""Run one seed of a study that tunes a predictor; a study that was cut off goes on."""

from pathlib import Path

from curvecast import CurveSet
from curvecast.curves import write_parquet
from curvecast.studies.jobs import run_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    wildcards, folder = snakemake.wildcards, Path(snakemake.output.evaluations).parent
    evaluations, _ = run_study(
        wildcards.study,
        snakemake.params.definition,
        wildcards.optimizer,
        int(wildcards.seed),
        folder,
        CurveSet.from_parquet(snakemake.input.curves),
    )
    write_parquet(evaluations, snakemake.output.evaluations)
