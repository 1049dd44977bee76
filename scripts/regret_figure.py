"""Regret over the budget of one study on recorded curves."""

from pathlib import Path

import pandas as pd

from curvecast.curves import read_parquet
from curvecast.report.figures import studies, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    regrets = pd.concat([read_parquet(path)[0] for path in snakemake.input.regret])
    style.save(studies.regret(regrets), Path(snakemake.output[0]).with_suffix(""))
