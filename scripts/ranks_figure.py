"""Critical-difference diagrams of the models over the data sets of one collection."""

from pathlib import Path

import pandas as pd

from curvecast.report.figures import ranks, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    frame = pd.read_csv(snakemake.input.ranks)
    mine = frame[frame["collection"] == snakemake.wildcards.collection]
    style.save(ranks.diagram(mine), Path(snakemake.output[0]).with_suffix(""))
