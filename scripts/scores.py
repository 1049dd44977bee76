"""Score the predictions of one model on one data set."""

from curvecast import jobs, scores

with jobs.logged(snakemake.log[0]):
    scores.write_scores(
        snakemake.input.predictions,
        snakemake.input.curves,
        snakemake.output[0],
        model=snakemake.wildcards.model,
        experiment=snakemake.params.experiment,
        **snakemake.params.grid,
    )
