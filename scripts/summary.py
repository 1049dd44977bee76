"""Make the tables or the figures of one rule."""

from curvecast.report import making
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    kind, name = snakemake.params.kind, snakemake.params.name
    inputs, outputs = dict(snakemake.input.items()), dict(snakemake.output.items())
    made = making.make(kind, name, outputs, inputs, snakemake.params.arguments)
    making.write(kind, made, outputs)
