"""Make the figures of one rule."""

from curvecast.report import figures
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    name, arguments = snakemake.params.name, snakemake.params.arguments
    made = figures.make(name, dict(snakemake.input.items()), arguments)
    figures.write(made, dict(snakemake.output.items()))
