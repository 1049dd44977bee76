"""Run one seed of a study with real training; a study that was cut off goes on."""

from pathlib import Path

from curvecast.curves import read_parquet, write_parquet
from curvecast.studies.jobs import found_by, run_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    wildcards, folder = snakemake.wildcards, Path(snakemake.output.evaluations).parent
    evaluations, curves = run_study(
        wildcards.study,
        snakemake.params.definition,
        wildcards.optimizer,
        int(wildcards.seed),
        folder,
        raw=list(snakemake.input.raw),
        taken=found_by([read_parquet(path)[0] for path in snakemake.input.taken]),
    )
    write_parquet(evaluations, snakemake.output.evaluations)
    curves.to_parquet(snakemake.output.curves)
