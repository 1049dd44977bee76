"""Sequential search in Baker's protocol with one predictor on one data set."""

from curvecast import CurveSet
from curvecast.curves import write_parquet
from curvecast.stopping.study import SequentialPlan, sequential_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    plan = SequentialPlan.of(snakemake.params.plan)
    study = sequential_study(curves, snakemake.wildcards.model, plan, snakemake.params.options)
    for name in ("outcomes", "traces", "ends", "reliability"):
        write_parquet(getattr(study, name), snakemake.output[name])
    study.timings.to_csv(snakemake.output.timings, index=False)
