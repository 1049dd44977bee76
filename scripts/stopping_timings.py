"""Seconds of fitting and asking the predictors of early stopping."""

import pandas as pd

from curvecast.curves import write_text
from curvecast.report.tables import speedups as tables
from curvecast.report.tables import speedups_markdown as markdown
from curvecast.report.tables.results import write_csv
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    frame = tables.timings(pd.read_csv(path) for path in snakemake.input.timings)
    write_csv(frame, snakemake.output[0])
    write_text(markdown.timings(frame), snakemake.output[1])
