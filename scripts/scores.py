"""Score the predictions of all models on one data set."""

from curvecast.benchmark import scores
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    models = zip(snakemake.params.models, snakemake.input.predictions, strict=True)
    scores.write_scores(
        dict(models),
        snakemake.input.curves,
        snakemake.output.scores,
        snakemake.output.draws,
        experiment=snakemake.params.experiment,
        **snakemake.params.grid,
    )
