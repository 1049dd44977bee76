"""Regret of the optimisers on recorded curves, and their paired differences."""

import pandas as pd

from curvecast.curves import read_parquet, write_text
from curvecast.report.tables import results as tables
from curvecast.report.tables import studies as markdown
from curvecast.studies import summary
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    regrets = pd.concat([read_parquet(p)[0] for p in snakemake.input.regret], ignore_index=True)
    rows, paired = summary.regret_rows(regrets), summary.paired_rows(regrets)
    csv, md = snakemake.output.comparison
    tables.write_csv(rows, snakemake.output.regret)
    tables.write_csv(paired, csv)
    write_text(markdown.comparison(rows, paired), md)
