"""Mean score per level of every hyper-parameter, per study with real training."""

import pandas as pd

from curvecast import jobs, tables
from curvecast.curves import read_parquet, write_text
from curvecast.studies import network_tables

with jobs.logged(snakemake.log[0]):
    frames = [read_parquet(path)[0] for path in snakemake.input.evaluations]
    effects = network_tables.effects(pd.concat(frames, ignore_index=True))
    tables.write_csv(effects, snakemake.output[0])
    write_text(network_tables.effects_text(effects), snakemake.output[1])
