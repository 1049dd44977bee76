"""The online search on one data set."""

from curvecast import CurveSet
from curvecast.curves import write_parquet
from curvecast.stopping.online_study import online_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    study = online_study(CurveSet.from_parquet(snakemake.input.curves), **snakemake.params.plan)
    for name in ("outcomes", "traces", "ends"):
        write_parquet(getattr(study, name), snakemake.output[name])
    study.timings.to_csv(snakemake.output.timings, index=False)
