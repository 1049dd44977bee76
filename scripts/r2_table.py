"""R² of the main protocol: per cell, averaged over data sets, ranks, and against the best model."""

from functools import partial

from curvecast.benchmark import ranks
from curvecast.curves import write_text
from curvecast.report.tables import markdown
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    scores = tables.load_scores(snakemake.input.scores)
    summary = tables.summarise(scores)
    averages, differences = tables.averages(summary), tables.differences(scores)
    written = (
        (summary, markdown.r2, snakemake.output.r2),
        (averages, markdown.averages, snakemake.output.averages),
        (differences, markdown.differences, snakemake.output.differences),
        (
            ranks.average_ranks(summary, snakemake.params.ranked_sets),
            partial(markdown.ranks, uncounted=ranks.uncounted(summary)),
            snakemake.output.ranks,
        ),
    )
    for frame, text, (csv, md) in written:
        tables.write_csv(frame, csv)
        write_text(text(frame), md)
