"""Train one model on one data set over all cells of an experiment."""

from curvecast import CurveSet
from curvecast.benchmark import cells as benchmark
from curvecast.files import write_csv, write_parquet
from curvecast.studies import incumbent
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    given, out, training = snakemake.input, snakemake.output, snakemake.params.training
    options = incumbent.options_of(given.incumbent, training["options"])
    curves = CurveSet.from_parquet(given.curves)
    cells = benchmark.cells_of(curves, **training["cells"])
    features = benchmark.read_features(given.features, {cell.tau for cell in cells})
    predictions, timings = benchmark.run(
        training["model"],
        options,
        curves,
        features,
        cells,
        depth_column=training["depth_column"],
    )
    write_parquet(predictions, out.predictions)
    write_csv(timings, out.timings, sealed=True)
