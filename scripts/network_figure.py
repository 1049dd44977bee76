"""Training and validation loss of one network over its epochs."""

from pathlib import Path

from curvecast import CurveSet
from curvecast.report.figures import networks, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    runs = [CurveSet.from_parquet(path) for path in snakemake.input.curves]
    figure = networks.losses(runs, snakemake.wildcards.network)
    style.save(figure, Path(snakemake.output[0]).with_suffix(""))
