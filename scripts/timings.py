"""Seconds that each model took on each data set."""

from curvecast.curves import write_text
from curvecast.report.tables import markdown
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    frame = tables.timings(snakemake.params.folder, snakemake.input.timings)
    tables.write_csv(frame, snakemake.output[0])
    write_text(markdown.timings(frame), snakemake.output[1])
