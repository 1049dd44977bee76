"""Fit a predictor on all complete runs of a data set and save it."""

from curvecast import CurveSet, saved
from curvecast.studies import incumbent
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    options = incumbent.options_of(snakemake.input.incumbent, snakemake.params.options)
    made = saved.train(
        snakemake.params.model,
        CurveSet.from_parquet(snakemake.input.curves),
        snakemake.params.fractions,
        options=options,
        **snakemake.params.columns,
    )
    saved.save(made, snakemake.output[0])
