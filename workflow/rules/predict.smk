# One job trains one model on one data set over all cells of the main protocol or an experiment.


scattergather:
    repeats=settings.parts,


# The parts of a split job are joined by `gather` and not kept.
PART = ".{scatteritem}" if settings.parts > 1 else ""
passing = temp if settings.parts > 1 else str


rule predict:
    input:
        unpack(plan.training_inputs),
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
    group:
        together("predict")
    conda:
        ENVIRONMENT
    resources:
        runtime=growing(30),
    params:
        training=plan.training,
    message:
        "{wildcards.model}{wildcards.experiment} on {wildcards.dataset}"
    script:
        "../../scripts/predict.py"


if settings.parts > 1:

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
            ENVIRONMENT
        message:
            "parts of {wildcards.model}{wildcards.experiment} on {wildcards.dataset}"
        script:
            "../../scripts/gather.py"


# One job for all models of a data set: a job of its own per model would cost more than three
# times as much, most of it in starting Python.
rule scores:
    input:
        predictions=plan.predictions,
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=plan.code("curvecast.benchmark.scores"),
    output:
        scores=f"{RESULTS}/scores/{{dataset}}{{experiment}}.parquet",
        draws=f"{RESULTS}/draws/{{dataset}}{{experiment}}.parquet",
    log:
        f"{LOGS}/scores/{{dataset}}{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/scores/{{dataset}}{{experiment}}.tsv"
    group:
        together("scores")
    conda:
        ENVIRONMENT
    params:
        models=plan.models_on,
        grid=plan.grid,
        experiment=plan.experiment,
    message:
        "scores on {wildcards.dataset}{wildcards.experiment}"
    script:
        "../../scripts/scores.py"


rule task_a:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=plan.with_model("curvecast.benchmark.task_a"),
    output:
        predictions=f"{RESULTS}/predictions/{{dataset}}/{{model}}.task_a.parquet",
        timings=f"{RESULTS}/timings/{{dataset}}/{{model}}.task_a.csv",
    log:
        f"{LOGS}/task_a/{{dataset}}/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/task_a/{{dataset}}/{{model}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        runtime=growing(240),
    params:
        tau=lambda wildcards: settings.task_a.tau,
        variants=plan.variants,
    message:
        "Task A: {wildcards.model} on {wildcards.dataset}"
    script:
        "../../scripts/task_a.py"


rule saved_model:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        incumbent=plan.incumbent,
        code=plan.with_model("curvecast.saved"),
    output:
        f"{RESULTS}/models/{{dataset}}/{{model}}.safetensors",
    log:
        f"{LOGS}/saved_model/{{dataset}}/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/saved_model/{{dataset}}/{{model}}.tsv"
    group:
        together("predict")
    conda:
        ENVIRONMENT
    resources:
        runtime=growing(120),
    params:
        model=plan.base_model,
        options=plan.options,
        fractions=settings.saved_models.fractions,
        # How the curve's columns are called in the user's table.
        columns=lambda wildcards: {
            key: value
            for key, value in plan.registry[wildcards.dataset].items()
            if key in ("curve_columns", "first_epoch", "id")
        },
    message:
        "{wildcards.model} on all of {wildcards.dataset}, saved"
    script:
        "../../scripts/saved_model.py"
