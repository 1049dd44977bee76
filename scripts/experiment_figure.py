"""R² of the feature ablation, or over the number of training runs, at one fraction."""

from pathlib import Path

from curvecast.report.figures import r2, style
from curvecast.report.tables import published
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    scores = tables.load_scores(snakemake.input.scores)
    scores = scores[scores["fraction"].round(6) == snakemake.params.fraction]
    theirs = published.load(Path(snakemake.input.published[0]).parent)
    ablation = snakemake.wildcards.name == "ablation"
    figure = r2.ablation(scores, theirs) if ablation else r2.over_training_size(scores)
    style.save(figure, Path(snakemake.output[0]).with_suffix(""))
