"""Speedup of f-Hyperband against its loss on the data sets of one collection."""

from pathlib import Path

import pandas as pd

from curvecast.report.figures import stopping, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    speedups = pd.read_csv(snakemake.input.speedups)
    figure = stopping.hyperband(stopping.in_collection(speedups, snakemake.wildcards.collection))
    style.save(figure, Path(snakemake.output[0]).with_suffix(""))
