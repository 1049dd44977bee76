"""Gather the runs of a study, which are learning curves again, into one collection."""

from curvecast import CurveSet
from curvecast.studies.jobs import gather_curves
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = gather_curves([CurveSet.from_parquet(path) for path in snakemake.input.curves])
    curves.to_parquet(snakemake.output[0])
