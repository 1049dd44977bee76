"""Tuned beside untuned predictors, and the published ones."""

import pandas as pd

from curvecast.curves import read_parquet, write_text
from curvecast.report.tables import results as tables
from curvecast.report.tables import tuning
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    rows = pd.concat([read_parquet(path)[0] for path in snakemake.input.tunings])
    published = tuning.published(snakemake.input.published)
    csv, md = snakemake.output
    tables.write_csv(pd.concat([rows, published]), csv)
    write_text(tuning.text(rows, published), md)
