"""The report: one HTML page of everything that the run made."""

from curvecast.report.page import page
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    page.write(
        snakemake.output[0],
        snakemake.params.about,
        tables=snakemake.input.tables,
        figures=snakemake.input.figures,
        captions=snakemake.input.captions,
        method_texts=snakemake.input.method_texts[0],
        benchmarks=snakemake.params.benchmarks,
        logs=snakemake.input.logs,
    )
