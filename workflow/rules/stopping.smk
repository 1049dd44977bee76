# Early stopping replayed on recorded curves. Per data set: one job per predictor in the sequential
# search and one in Hyperband, one for the online search, one for the rules without a model.
for search in SEARCHES.values():

    rule:
        name:
            f"stopping_{search.name}"
        input:
            curves=f"{RESULTS}/curves/{{dataset}}.parquet",
            code=plan.search_code(search),
        output:
            **{
                Path(file).stem: f"{RESULTS}/stopping/{search.folder}/{file}"
                for file in search.files
            },
        log:
            f"{LOGS}/stopping/{search.folder}.log",
        benchmark:
            f"{BENCHMARKS}/stopping/{search.folder}.tsv"
        group:
            together("stopping")
        conda:
            ENVIRONMENT
        resources:
            runtime=growing(60),
        params:
            search=search.name,
            plan=plan.search_arguments(search),
            options=plan.options,
        message:
            search.message
        script:
            "../../scripts/stopping.py"
