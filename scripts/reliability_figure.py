"""Actual against nominal coverage on the data sets of one collection."""

from pathlib import Path

from curvecast.report.figures import coverage, style
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    figure = coverage.reliability(tables.load_scores(snakemake.input.scores))
    style.save(figure, Path(snakemake.output[0]).with_suffix(""))
