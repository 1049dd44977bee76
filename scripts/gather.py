"""Join the parts that the repeats of one model on one data set were split into."""

import pandas as pd

from curvecast.files import read_parquet, write_parquet, write_text
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    parts = [read_parquet(path)[0] for path in snakemake.input.predictions]
    write_parquet(pd.concat(parts, ignore_index=True), snakemake.output.predictions)
    seconds = [pd.read_csv(path) for path in snakemake.input.timings]
    together = pd.concat(seconds, ignore_index=True)
    write_text(together.to_csv(index=False), snakemake.output.timings)
