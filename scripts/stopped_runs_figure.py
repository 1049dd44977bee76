"""Which runs of one data set were stopped where."""

from pathlib import Path

import pandas as pd

from curvecast import CurveSet
from curvecast.curves import read_parquet
from curvecast.report.figures import stopping, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    ends = pd.concat([read_parquet(path)[0] for path in snakemake.input.ends], ignore_index=True)
    style.save(stopping.stopped_runs(curves, ends), Path(snakemake.output[0]).with_suffix(""))
