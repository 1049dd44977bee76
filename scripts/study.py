"""Run one job of a study: a seed, or all seeds on recorded curves. A killed job goes on."""

from pathlib import Path

from curvecast import CurveSet
from curvecast.files import read_parquet, write_parquet
from curvecast.studies.jobs import incumbent_config, run_job
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    given, out, wildcards = snakemake.input, snakemake.output, snakemake.wildcards
    made = run_job(
        wildcards.study,
        snakemake.params.definition,
        wildcards.optimizer,
        wildcards.get("seed"),
        Path(out.evaluations).parent,
        CurveSet.from_parquet(given.curves) if given.get("curves") else None,
        list(given.get("raw", [])),
        incumbent_config([read_parquet(path)[0] for path in given.get("source", [])]),
    )
    for name, result in made.items():
        if isinstance(result, CurveSet):
            result.to_parquet(out[name])
        else:
            write_parquet(result, out[name])
