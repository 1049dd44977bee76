"""Make the tables of one rule."""

from curvecast.report import tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    name, arguments = snakemake.params.name, snakemake.params.arguments
    made = tables.make(name, dict(snakemake.input.items()), arguments)
    tables.write(made, dict(snakemake.output.items()))
