"""Hyperband with one predictor on one data set."""

from curvecast import CurveSet
from curvecast.curves import write_parquet
from curvecast.stopping.hyperband_study import DEFAULT_HYPERBAND, HyperbandPlan, hyperband_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    outcomes, timings = hyperband_study(
        CurveSet.from_parquet(snakemake.input.curves),
        snakemake.wildcards.model,
        HyperbandPlan.of(snakemake.params.plan),
        DEFAULT_HYPERBAND,
        options=snakemake.params.options,
    )
    write_parquet(outcomes, snakemake.output.outcomes)
    timings.to_csv(snakemake.output.timings, index=False)
