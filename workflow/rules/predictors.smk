# One job trains one model on one data set over all cells of the main protocol or an experiment.


scattergather:
    repeats=config["parts"],


# The parts of a split job are joined by `gather` and not kept.
PART = ".{scatteritem}" if config["parts"] > 1 else ""
passing = temp if config["parts"] > 1 else str


rule predict:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        features=f"{RESULTS}/features/{{dataset}}",
        incumbent=incumbent_of,
        code=predictor_code_of,
    output:
        predictions=passing(
            f"{RESULTS}/predictions/{{dataset}}/{{model}}{{experiment}}{PART}.parquet"
        ),
        timings=passing(f"{RESULTS}/timings/{{dataset}}/{{model}}{{experiment}}{PART}.csv"),
    log:
        f"{LOGS}/predict/{{dataset}}/{{model}}{{experiment}}{PART}.log",
    benchmark:
        f"{BENCHMARKS}/predict/{{dataset}}/{{model}}{{experiment}}{PART}.tsv"
    # Long jobs first: the short ones fill the cores at the end.
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        model=base_model_of,
        options=lambda wildcards: config["model_options"].get(wildcards.model, {}),
        cells=cells_of,
        depth_column=depth_column_of,
    message:
        "{wildcards.model}{wildcards.experiment} on {wildcards.dataset}"
    script:
        "../../scripts/predict.py"


rule task_a:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=lambda wildcards: code_of("curvecast.benchmark.task_a", module_of(wildcards.model)),
    output:
        predictions=f"{RESULTS}/predictions/{{dataset}}/{{model}}.task_a.parquet",
        timings=f"{RESULTS}/timings/{{dataset}}/{{model}}.task_a.csv",
    log:
        f"{LOGS}/task_a/{{dataset}}/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/task_a/{{dataset}}/{{model}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        tau=lambda wildcards: config["task_a"]["tau"],
        variants=lambda wildcards: plan.task_a_variants(config, wildcards.model),
    message:
        "Task A: {wildcards.model} on {wildcards.dataset}"
    script:
        "../../scripts/task_a.py"


if config["parts"] > 1:

    rule gather:
        input:
            predictions=gather.repeats(
                f"{RESULTS}/predictions/{{{{dataset}}}}/{{{{model}}}}{{{{experiment}}}}.{{scatteritem}}.parquet"
            ),
            timings=gather.repeats(
                f"{RESULTS}/timings/{{{{dataset}}}}/{{{{model}}}}{{{{experiment}}}}.{{scatteritem}}.csv"
            ),
        output:
            predictions=f"{RESULTS}/predictions/{{dataset}}/{{model}}{{experiment}}.parquet",
            timings=f"{RESULTS}/timings/{{dataset}}/{{model}}{{experiment}}.csv",
        log:
            f"{LOGS}/gather/{{dataset}}/{{model}}{{experiment}}.log",
        benchmark:
            f"{BENCHMARKS}/gather/{{dataset}}/{{model}}{{experiment}}.tsv"
        localrule: True
        conda:
            "../../envs/environment.yaml"
        threads: 1
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        message:
            "parts of {wildcards.model}{wildcards.experiment} on {wildcards.dataset}"
        script:
            "../../scripts/gather.py"


rule saved_model:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        incumbent=incumbent_of,
        code=lambda wildcards: code_of("curvecast.saved", module_of(base_model_of(wildcards))),
    output:
        f"{RESULTS}/models/{{dataset}}/{{model}}.safetensors",
    log:
        f"{LOGS}/saved_model/{{dataset}}/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/saved_model/{{dataset}}/{{model}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        model=base_model_of,
        options=lambda wildcards: config["model_options"].get(wildcards.model, {}),
        fractions=config["saved_models"]["fractions"],
        columns=lambda wildcards: plan.columns_of(REGISTRY[wildcards.dataset]),
    message:
        "{wildcards.model} on all of {wildcards.dataset}, to keep"
    script:
        "../../scripts/saved_model.py"
