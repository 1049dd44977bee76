"""Critical-difference diagrams of the models over the data sets of one collection."""

from pathlib import Path

import pandas as pd

from curvecast import jobs
from curvecast.plots import ranks, style

with jobs.logged(snakemake.log[0]):
    frame = pd.read_csv(snakemake.input.ranks)
    mine = frame[frame["collection"] == snakemake.wildcards.collection]
    style.save(ranks.diagram(mine), Path(snakemake.output[0]).with_suffix(""))
