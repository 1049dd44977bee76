"""Scores of the networks trained to the end, published ones beside them, and their seconds."""

import pandas as pd

from curvecast.curves import write_text
from curvecast.report.tables import networks as network_tables
from curvecast.report.tables import results as tables
from curvecast.report.tables.markdown import table
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    given, out = snakemake.input, snakemake.output
    scores = [pd.read_csv(path) for path in given.scores]
    published = pd.concat([pd.read_csv(path) for path in given.published])
    frame = network_tables.networks(scores, snakemake.params.notes, published)
    seconds = network_tables.seconds(scores, [pd.read_csv(path) for path in given.seconds])
    for content, text, (csv, md) in (
        (frame, network_tables.networks_text(frame), out.networks),
        (seconds, table(seconds), out.seconds),
    ):
        tables.write_csv(content, csv)
        write_text(text, md)
