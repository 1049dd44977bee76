"""The report: one HTML page of everything that the run made."""

from curvecast import jobs
from curvecast.report import page
from curvecast.report.about import About

with jobs.logged(snakemake.log[0]):
    page.write(
        snakemake.output[0],
        About(**snakemake.params.about),
        tables=snakemake.input.tables,
        figures=snakemake.input.figures,
        captions=snakemake.input.captions,
        sayings=snakemake.input.sayings[0],
        benchmarks=snakemake.params.benchmarks,
    )
