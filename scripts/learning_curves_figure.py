"""Learning curves of one study with real training."""

from pathlib import Path

from curvecast import CurveSet, jobs
from curvecast.plots import studies, style

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    style.save(studies.learning_curves(curves), Path(snakemake.output[0]).with_suffix(""))
