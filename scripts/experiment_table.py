"""R² of one experiment."""

from curvecast.curves import write_text
from curvecast.report.tables import markdown
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    summary = tables.summarise(tables.load_scores(snakemake.input.scores))
    text = {
        "ablation": markdown.ablation,
        "training_size": markdown.training_size,
        "depth": markdown.depth,
    }[snakemake.wildcards.name]
    tables.write_csv(summary, snakemake.output[0])
    write_text(text(summary), snakemake.output[1])
