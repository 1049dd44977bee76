"""What early stopping saved and lost, beside the published speedups."""

from pathlib import Path

import pandas as pd

from curvecast import jobs
from curvecast.curves import read_parquet, write_text
from curvecast.stopping import markdown, tables
from curvecast.tables import write_csv

with jobs.logged(snakemake.log[0]):
    kind, (csv, md) = snakemake.wildcards.kind, snakemake.output.speedups
    outcomes = pd.concat([read_parquet(path)[0] for path in snakemake.input.outcomes])
    published = tables.load_published(Path(snakemake.input.published[0]).parent)
    speedups = getattr(tables, f"speedup_{kind}")(outcomes, published)
    summary = getattr(tables, f"summary_{kind}")(speedups)
    left = tables.without_counterpart(speedups, published, kind)
    write_csv(speedups, csv)
    write_csv(summary, snakemake.output.summary)
    write_text(getattr(markdown, f"speedup_{kind}")(speedups, summary, left), md)
