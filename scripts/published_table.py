"""Our R² beside every published figure that this run has a counterpart of."""

from pathlib import Path

import pandas as pd

from curvecast.curves import write_text
from curvecast.report.tables import markdown, published
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    summary = pd.concat([pd.read_csv(path) for path in snakemake.input.ours], ignore_index=True)
    folder = Path(snakemake.input.published[0]).parent
    compared = published.compare(summary, folder)
    tables.write_csv(compared, snakemake.output[0])
    text = markdown.published(compared, published.missing(summary, folder))
    write_text(text, snakemake.output[1])
