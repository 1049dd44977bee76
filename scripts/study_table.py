"""What each study used and found, and its seconds."""

from curvecast import jobs, tables
from curvecast.curves import read_parquet, write_text
from curvecast.studies import markdown
from curvecast.studies.jobs import tables as study_tables

with jobs.logged(snakemake.log[0]):
    frames = study_tables([read_parquet(path)[0] for path in snakemake.input.evaluations], [])
    written = (
        (frames["studies"], markdown.studies, snakemake.output.studies),
        (frames["study_timings"], markdown.seconds, snakemake.output.seconds),
    )
    for frame, text, (csv, md) in written:
        tables.write_csv(frame, csv)
        write_text(text(frame), md)
