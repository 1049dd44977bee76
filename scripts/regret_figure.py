"""Regret over the budget of one study on recorded curves."""

from pathlib import Path

import pandas as pd

from curvecast import jobs
from curvecast.curves import read_parquet
from curvecast.plots import studies, style

with jobs.logged(snakemake.log[0]):
    regrets = pd.concat([read_parquet(path)[0] for path in snakemake.input.regret])
    style.save(studies.regret(regrets), Path(snakemake.output[0]).with_suffix(""))
