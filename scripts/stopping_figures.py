"""Trade-off, course and reliability of early stopping on the data sets of one collection."""

from pathlib import Path

import pandas as pd

from curvecast.curves import read_parquet
from curvecast.report.figures import stopping, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    speedups = pd.read_csv(snakemake.input.speedups)
    figures = stopping.of_collection(
        stopping.in_collection(speedups, snakemake.wildcards.collection),
        pd.concat([read_parquet(path)[0] for path in snakemake.input.traces]),
        pd.concat([read_parquet(path)[0] for path in snakemake.input.reliability]),
    )
    for name, figure in figures.items():
        style.save(figure, Path(snakemake.output[0]).with_name(name))
