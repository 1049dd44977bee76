"""Train one model on one data set over all cells of an experiment."""

from curvecast import CurveSet
from curvecast.benchmark import cells as benchmark
from curvecast.files import write_parquet, write_text
from curvecast.studies import incumbent
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    model, depth_column = snakemake.params.model, snakemake.params.depth_column
    options = incumbent.options_of(snakemake.input.incumbent, snakemake.params.options)
    curves = CurveSet.from_parquet(snakemake.input.curves)
    cells = benchmark.cells_of(curves, **snakemake.params.cells)
    features = benchmark.read_features(snakemake.input.features, {cell.tau for cell in cells})
    predictions, timings = benchmark.run(
        model, options, curves, features, cells, depth_column=depth_column
    )
    write_parquet(predictions, snakemake.output.predictions)
    write_text(timings.to_csv(index=False), snakemake.output.timings)
