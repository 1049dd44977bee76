"""What early stopping saved and lost, beside the published speedups."""

from pathlib import Path

import pandas as pd

from curvecast.curves import read_parquet, write_text
from curvecast.report.tables import speedups as tables
from curvecast.report.tables import speedups_markdown as markdown
from curvecast.report.tables.results import write_csv
from curvecast.workflow import job as jobs

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
