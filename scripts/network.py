"""Train one repeat of a network to the end."""

import pandas as pd

from curvecast.files import read_parquet, write_arrays, write_csv
from curvecast.studies import networks
from curvecast.studies.jobs import incumbent_config
from curvecast.workflow import job as jobs


def read(paths):
    """Frames of evaluations."""
    return [read_parquet(path)[0] for path in paths]


with jobs.logged(snakemake.log[0]):
    given, out = snakemake.input, snakemake.output
    trained = networks.train(
        snakemake.wildcards.network,
        snakemake.params.definition,
        int(snakemake.wildcards.repeat),
        list(given.get("raw", [])),
        *(incumbent_config(read(given.get(key, []))) for key in ("study", "source")),
        start=given.get("weights"),
    )
    trained.curves.to_parquet(out.curves)
    write_csv(trained.scores, out.scores, sealed=True)
    write_arrays(trained.weights, out.weights)
    write_csv(pd.DataFrame({"seconds": [trained.seconds]}), out.seconds, sealed=True)
