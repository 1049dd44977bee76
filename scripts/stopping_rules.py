"""Rules without a model on one data set."""

from curvecast import CurveSet
from curvecast.curves import write_parquet
from curvecast.stopping.study import SequentialPlan, rules_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    study = rules_study(curves, SequentialPlan.of(snakemake.params.plan))
    for name in ("outcomes", "traces", "ends"):
        write_parquet(getattr(study, name), snakemake.output[name])
