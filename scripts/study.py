"""Run one job of a study: a seed, or all seeds on recorded curves. What was cut off goes on."""

from pathlib import Path

from curvecast import CurveSet
from curvecast.curves import read_parquet, write_parquet
from curvecast.studies.jobs import found_by, run_replays, run_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    given, out, wildcards = snakemake.input, snakemake.output, snakemake.wildcards
    name, definition = wildcards.study, snakemake.params.definition
    curves = CurveSet.from_parquet(given.curves) if given.get("curves") else None
    if definition["objective"] == "recorded":
        evaluations, regret = run_replays(name, definition, wildcards.optimizer, curves)
        write_parquet(regret, out.regret)
    else:
        seed, folder = int(wildcards.seed), Path(out.evaluations).parent
        raw, taken = given.get("raw", []), [read_parquet(p)[0] for p in given.get("taken", [])]
        evaluations, trained = run_study(
            name, definition, wildcards.optimizer, seed, folder, curves, list(raw), found_by(taken)
        )
        if trained is not None:
            trained.to_parquet(out.curves)
    write_parquet(evaluations, out.evaluations)
