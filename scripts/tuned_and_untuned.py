"""Train the tuned and the untuned predictor of a study, and score them on its splits."""

from curvecast import CurveSet
from curvecast.files import write_parquet
from curvecast.studies import incumbent
from curvecast.studies.jobs import tuning_rows
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    curves = CurveSet.from_parquet(snakemake.input.curves)
    found = incumbent.read(snakemake.input.incumbent)
    study, definition = snakemake.wildcards.study, snakemake.params.definition
    rows = tuning_rows(study, definition, curves, found["options"])
    write_parquet(rows, snakemake.output[0])
