"""R² over the fraction of the curve, and its spread, for the data sets of one collection."""

from pathlib import Path

from curvecast.report.figures import r2, style
from curvecast.report.tables import published
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    scores = tables.load_scores(snakemake.input.scores)
    theirs = published.load(Path(snakemake.input.published[0]).parent)
    over_fraction, spread = (
        Path(files[0]).with_suffix("")
        for files in (snakemake.output.over_fraction, snakemake.output.spread)
    )
    style.save(r2.over_fraction(scores, theirs), over_fraction)
    style.save(r2.distribution(tables.summarise(scores)), spread)
