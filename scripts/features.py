"""Build the features of one data set at every truncation epoch."""

from pathlib import Path

from curvecast import CurveSet, features, protocol
from curvecast.files import write_parquet
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    grid = protocol.tau_grid(curves.epochs, snakemake.params.fractions, snakemake.params.taus)
    for tau, frame in features.build(curves, grid).items():
        write_parquet(frame, Path(snakemake.output[0], f"tau={tau}.parquet"))
