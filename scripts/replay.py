"""Run all seeds of a study on the recorded curves of one data set."""

from curvecast import CurveSet
from curvecast.curves import write_parquet
from curvecast.studies.jobs import run_replays
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    evaluations, regret = run_replays(
        snakemake.wildcards.study,
        snakemake.params.definition,
        snakemake.wildcards.optimizer,
        curves,
    )
    write_parquet(evaluations, snakemake.output.evaluations)
    write_parquet(regret, snakemake.output.regret)
