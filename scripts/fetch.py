"""Bring one raw file into the run's raw folder, verified."""

from curvecast.data import registry as datasets
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    datasets.fetch(snakemake.params.source, snakemake.output[0], mirrors=datasets.mirrors())
