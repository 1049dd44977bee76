"""Learning curves of one study with real training."""

from pathlib import Path

from curvecast import CurveSet
from curvecast.report.figures import studies, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    style.save(studies.learning_curves(curves), Path(snakemake.output[0]).with_suffix(""))
