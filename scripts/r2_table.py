"""R² of the main protocol: per cell, averaged over data sets, and against the best model."""

from curvecast import jobs, markdown, tables

with jobs.logged(snakemake.log[0]):
    scores = tables.load_scores(snakemake.input.scores)
    summary = tables.summarise(scores)
    averages, differences = tables.averages(summary), tables.differences(scores)
    written = (
        (summary, markdown.r2, snakemake.output.r2),
        (averages, markdown.averages, snakemake.output.averages),
        (differences, markdown.differences, snakemake.output.differences),
    )
    for frame, text, (csv, md) in written:
        tables.write_csv(frame, csv)
        tables.write_text(text(frame), md)
