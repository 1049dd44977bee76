"""How often true final values fall inside the predicted intervals."""

from pathlib import Path

import pandas as pd

from curvecast.report.figures import coverage, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    figure = coverage.over_fraction(pd.read_csv(snakemake.input.summary))
    style.save(figure, Path(snakemake.output[0]).with_suffix(""))
