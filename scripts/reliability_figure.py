"""Actual against nominal coverage on the data sets of one collection."""

from pathlib import Path

from curvecast import jobs, tables
from curvecast.plots import coverage, style

with jobs.logged(snakemake.log[0]):
    figure = coverage.reliability(tables.load_scores(snakemake.input.scores))
    style.save(figure, Path(snakemake.output[0]).with_suffix(""))
