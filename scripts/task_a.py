"""Train one model on one data set for Task A, in all its variants."""

from curvecast import CurveSet
from curvecast.benchmark import task_a
from curvecast.files import write_csv, write_parquet
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    variants = [task_a.Variant(**variant) for variant in snakemake.params.variants]
    predictions, timings = task_a.run(
        snakemake.wildcards.model, curves, snakemake.params.tau, variants
    )
    write_parquet(predictions, snakemake.output.predictions, {"metric": curves.metric})
    write_csv(timings, snakemake.output.timings, sealed=True)
