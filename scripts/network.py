"""Train one repeat of a network to the end."""

import pandas as pd

from curvecast.files import read_parquet, write_arrays
from curvecast.report.tables.markdown import write_csv
from curvecast.studies import networks
from curvecast.studies.jobs import found_by
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    given, out = snakemake.input, snakemake.output
    trained = networks.train(
        snakemake.wildcards.network,
        snakemake.params.definition,
        int(snakemake.wildcards.repeat),
        list(given.get("raw", [])),
        *(found_by([read_parquet(p)[0] for p in given.get(k, [])]) for k in ("study", "taken")),
        start=given.get("weights"),
    )
    trained.curves.to_parquet(out.curves)
    write_csv(trained.scores, out.scores)
    write_arrays(trained.weights, out.weights)
    write_csv(pd.DataFrame({"seconds": [trained.seconds]}), out.seconds)
