"""Scores of the networks trained to the end, published ones beside them, and their seconds."""

import pandas as pd

from curvecast import jobs, tables
from curvecast.curves import write_text
from curvecast.markdown import table
from curvecast.studies import network_tables

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
