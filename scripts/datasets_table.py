"""What each data set holds, and which ones had to be left out."""

from curvecast.curves import write_text
from curvecast.report.tables import markdown
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    frame = tables.datasets(snakemake.input.curves, snakemake.params.stanzas)
    tables.write_csv(frame, snakemake.output[0])
    write_text(markdown.datasets(frame), snakemake.output[1])
