"""What each study used and found, and its seconds."""

from curvecast.curves import read_parquet, write_text
from curvecast.report.tables import results as tables
from curvecast.report.tables import studies as markdown
from curvecast.studies.jobs import tables as study_tables
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    frames = study_tables([read_parquet(path)[0] for path in snakemake.input.evaluations], [])
    written = (
        (frames["studies"], markdown.studies, snakemake.output.studies),
        (frames["study_timings"], markdown.seconds, snakemake.output.seconds),
    )
    for frame, text, (csv, md) in written:
        tables.write_csv(frame, csv)
        write_text(text(frame), md)
