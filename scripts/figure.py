"""Make the figures of one rule."""

from curvecast.report import figures
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    name, arguments = snakemake.params.name, snakemake.params.arguments
    inputs, outputs = dict(snakemake.input.items()), dict(snakemake.output.items())
    figures.write(figures.make(name, outputs, inputs, arguments), outputs)
