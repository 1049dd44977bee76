"""Seconds of fitting and asking the predictors of early stopping."""

import pandas as pd

from curvecast import jobs
from curvecast.curves import write_text
from curvecast.stopping import markdown, tables
from curvecast.tables import write_csv

with jobs.logged(snakemake.log[0]):
    frame = tables.timings(pd.read_csv(path) for path in snakemake.input.timings)
    write_csv(frame, snakemake.output[0])
    write_text(markdown.timings(frame), snakemake.output[1])
