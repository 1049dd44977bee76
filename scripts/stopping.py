"""Replay early stopping in one search on one data set."""

from curvecast import CurveSet
from curvecast.files import write_csv, write_parquet
from curvecast.stopping import replay
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    model, arguments = snakemake.wildcards.get("model", ""), snakemake.params.arguments
    frames = replay.run(snakemake.params.search, curves, model=model, **arguments)
    for name, path in snakemake.output.items():
        if name == "timings":
            write_csv(frames[name], path, sealed=True)
        else:
            write_parquet(frames[name], path)
