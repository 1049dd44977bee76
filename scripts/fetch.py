"""Bring one raw file into the run's raw folder, verified."""

from curvecast.data.fetch import fetch
from curvecast.data.preflight import mirrors
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    fetch(snakemake.params.source, snakemake.output[0], mirrors=mirrors())
