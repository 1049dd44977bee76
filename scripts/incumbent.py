"""Write the incumbent of a study that tunes a predictor, over all its seeds."""

import pandas as pd

from curvecast.files import read_parquet
from curvecast.studies import incumbent
from curvecast.studies import jobs as study_jobs
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    evaluations = pd.concat([read_parquet(path)[0] for path in snakemake.input.evaluations])
    found = study_jobs.incumbent(evaluations)
    incumbent.write(found, snakemake.params.definition, snakemake.output[0])
