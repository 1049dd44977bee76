"""Join the parts that the repeats of one model on one data set were split into."""

from itertools import compress

import pandas as pd

from curvecast.files import read_csv, read_parquet, write_csv, write_parquet
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    parts = [read_parquet(path)[0] for path in snakemake.input.predictions]
    # A part is empty where the data set has fewer repeats than the configuration.
    filled = [bool(len(part)) for part in parts]
    predictions = pd.concat(compress(parts, filled), ignore_index=True)
    write_parquet(predictions, snakemake.output.predictions)
    seconds = map(read_csv, compress(snakemake.input.timings, filled))
    write_csv(pd.concat(seconds, ignore_index=True), snakemake.output.timings, sealed=True)
