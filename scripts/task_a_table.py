"""Errors on Task A beside the published ones."""

from curvecast.benchmark import task_a
from curvecast.curves import write_text
from curvecast.report.tables import results as tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    predictions, metrics = task_a.load(snakemake.params.folder, snakemake.input.predictions)
    published = task_a.load_published(snakemake.input.published[0])
    frame = task_a.table(predictions, metrics, published)
    tables.write_csv(frame, snakemake.output[0])
    write_text(task_a.markdown(frame), snakemake.output[1])
