"""What one study did, in figures."""

from pathlib import Path

import pandas as pd

from curvecast.curves import read_parquet
from curvecast.report.figures import studies, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    evaluations = pd.concat([read_parquet(path)[0] for path in snakemake.input.evaluations])
    for name, figure in studies.of_study(evaluations).items():
        style.save(figure, Path(snakemake.output[0]).with_name(name))
