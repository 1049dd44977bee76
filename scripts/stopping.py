"""Replay early stopping in one search on one data set."""

from curvecast import CurveSet
from curvecast.files import write_parquet
from curvecast.stopping.hyperband_study import DEFAULT_HYPERBAND, HyperbandPlan, hyperband_study
from curvecast.stopping.online_study import online_study
from curvecast.stopping.study import SequentialPlan, rules_study, sequential_study
from curvecast.workflow import job as jobs

with jobs.logged(snakemake.log[0]):
    search, plan, options = (snakemake.params[name] for name in ("search", "plan", "options"))
    curves = CurveSet.from_parquet(snakemake.input.curves)
    model = snakemake.wildcards.get("model")
    if search == "sequential":
        frames = vars(sequential_study(curves, model, SequentialPlan.of(plan), options))
    elif search == "rules":
        frames = vars(rules_study(curves, SequentialPlan.of(plan)))
    elif search == "online":
        frames = vars(online_study(curves, **plan))
    else:
        found = hyperband_study(
            curves, model, HyperbandPlan.of(plan), DEFAULT_HYPERBAND, options=options
        )
        frames = dict(zip(("outcomes", "timings"), found, strict=True))
    for name, path in snakemake.output.items():
        if name == "timings":
            frames[name].to_csv(path, index=False)
        else:
            write_parquet(frames[name], path)
