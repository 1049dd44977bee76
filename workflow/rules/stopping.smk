# Early stopping replayed on recorded curves. Per data set: one job per predictor in the sequential
# search and one in Hyperband, one for the online search, one for the rules without a model.
TRACES = ["outcomes.parquet", "traces.parquet", "ends.parquet"]
# Per search: what Snakemake prints, the modules behind it, and what a job leaves.
STOPPING = {
    "sequential": (
        "sequential search with {wildcards.model} on {wildcards.dataset}",
        ["curvecast.stopping.sequential"],
        [*TRACES, "reliability.parquet", "timings.csv"],
    ),
    "hyperband": (
        "Hyperband with {wildcards.model} on {wildcards.dataset}",
        ["curvecast.stopping.hyperband"],
        ["outcomes.parquet", "timings.csv"],
    ),
    "online": (
        "online search on {wildcards.dataset}",
        [
            "curvecast.stopping.online",
            *["curvecast.predictors.pfn"] * plan.config.stopping.online.prior,
        ],
        [*TRACES, "timings.csv"],
    ),
    "rules": (
        "rules without a model on {wildcards.dataset}",
        ["curvecast.stopping.sequential", "curvecast.stopping.rules"],
        TRACES,
    ),
}

for search, (text, modules, files) in STOPPING.items():

    rule:
        name:
            f"stopping_{search}"
        input:
            curves=f"{RESULTS}/curves/{{dataset}}.parquet",
            code=plan.with_model(*modules),
            entry=plan.repository("src/curvecast/stopping/replay.py"),
        output:
            **{Path(file).stem: f"{RESULTS}/stopping/{SEARCHES[search]}/{file}" for file in files},
        log:
            f"{LOGS}/stopping/{SEARCHES[search]}.log",
        benchmark:
            f"{BENCHMARKS}/stopping/{SEARCHES[search]}.tsv"
        group:
            together("stopping")
        conda:
            ENVIRONMENT
        resources:
            runtime=growing(60),
        params:
            search=search,
            arguments=plan.search_arguments(search),
        message:
            text
        script:
            "../../scripts/stopping.py"
