"""Regret of the optimisers on recorded curves, and their paired differences."""

import pandas as pd

from curvecast import jobs, tables
from curvecast.curves import read_parquet, write_text
from curvecast.studies import markdown, summary

with jobs.logged(snakemake.log[0]):
    regrets = pd.concat([read_parquet(p)[0] for p in snakemake.input.regret], ignore_index=True)
    rows, paired = summary.regret_rows(regrets), summary.paired_rows(regrets)
    csv, md = snakemake.output.comparison
    tables.write_csv(rows, snakemake.output.regret)
    tables.write_csv(paired, csv)
    write_text(markdown.comparison(rows, paired), md)
