"""Read the raw files of one data set and write its learning curves."""

from curvecast.data import readers
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = readers.read(
        snakemake.wildcards.dataset, snakemake.params.stanza, list(snakemake.input.raw)
    )
    for note in curves.notes:
        print(note)
    curves.to_parquet(snakemake.output[0])
