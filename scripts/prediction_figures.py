"""Predicted against true final values, and a gallery of curves, of one data set."""

from pathlib import Path

from curvecast import CurveSet, protocol
from curvecast.benchmark import scores
from curvecast.report.figures import predictions, style
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    name, models = snakemake.wildcards.dataset, snakemake.params.models
    curves = CurveSet.from_parquet(snakemake.input.curves)
    tau = protocol.tau_of(snakemake.params.fraction, curves.last_epoch)
    frames = {
        (name, model): predictions.at_fraction(scores.read_predictions(path), tau)
        for model, path in zip(models, snakemake.input.predictions, strict=True)
    }
    scatter = predictions.predicted_against_true(frames, {name: curves.metric})
    style.save(scatter, Path(snakemake.output.scatter[0]).with_suffix(""))
    gallery = predictions.gallery(curves, frames[name, models[-1]], tau, model=models[-1])
    style.save(gallery, Path(snakemake.output.gallery[0]).with_suffix(""))
