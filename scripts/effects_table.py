"""Mean score per level of every hyper-parameter, per study with real training."""

import pandas as pd

from curvecast.curves import read_parquet, write_text
from curvecast.report.tables import networks as network_tables
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    frames = [read_parquet(path)[0] for path in snakemake.input.evaluations]
    effects = network_tables.effects(pd.concat(frames, ignore_index=True))
    tables.write_csv(effects, snakemake.output[0])
    write_text(network_tables.effects_text(effects), snakemake.output[1])
