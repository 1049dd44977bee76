"""What one study with real training did, in figures."""

from pathlib import Path

import pandas as pd

from curvecast import CurveSet, jobs
from curvecast.curves import read_parquet
from curvecast.plots import studies, style

with jobs.logged(snakemake.log[0]):
    evaluations = pd.concat([read_parquet(path)[0] for path in snakemake.input.evaluations])
    curves = CurveSet.from_parquet(snakemake.input.curves)
    for name, figure in studies.of_training(evaluations, curves).items():
        style.save(figure, Path(snakemake.output[0]).with_name(name))
