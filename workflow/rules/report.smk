# Scores, tables and figures.


rule scores:
    input:
        predictions=f"{RESULTS}/predictions/{{dataset}}/{{model}}{{experiment}}.parquet",
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=code_of("curvecast.scores"),
    output:
        f"{RESULTS}/scores/{{dataset}}/{{model}}{{experiment}}.parquet",
    log:
        f"{LOGS}/scores/{{dataset}}/{{model}}{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/scores/{{dataset}}/{{model}}{{experiment}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        grid=grid_of,
        experiment=experiment_of,
    message:
        "scores of {wildcards.model}{wildcards.experiment} on {wildcards.dataset}"
    script:
        "../../scripts/scores.py"


rule r2_table:
    input:
        scores=outputs(SCORES, plan.MAIN),
        code=code_of("curvecast.tables", "curvecast.markdown", "curvecast.ranks"),
    output:
        r2=multiext(f"{TABLE}/r2", ".csv", ".md"),
        averages=multiext(f"{TABLE}/averages", ".csv", ".md"),
        differences=multiext(f"{TABLE}/differences", ".csv", ".md"),
        ranks=multiext(f"{TABLE}/ranks", ".csv", ".md"),
    log:
        f"{LOGS}/r2_table.log",
    benchmark:
        f"{BENCHMARKS}/r2_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        ranked_sets=plan.RANKED_SETS,
    message:
        "R² tables"
    script:
        "../../scripts/r2_table.py"


rule experiment_table:
    input:
        scores=lambda wildcards: outputs(SCORES, wildcards.name),
        code=code_of("curvecast.tables", "curvecast.markdown"),
    output:
        multiext(f"{TABLE}/{{name}}", ".csv", ".md"),
    log:
        f"{LOGS}/{{name}}_table.log",
    benchmark:
        f"{BENCHMARKS}/{{name}}_table.tsv"
    wildcard_constraints:
        name="|".join(plan.EXPERIMENTS),
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "table of {wildcards.name}"
    script:
        "../../scripts/experiment_table.py"


rule task_a_table:
    input:
        predictions=task_a_of(f"{RESULTS}/predictions/{{dataset}}/{{model}}.task_a.parquet"),
        published=[path for path in PUBLISHED if path.endswith("lcbench_task_a_mse.csv")],
        code=code_of("curvecast.task_a"),
    output:
        multiext(f"{TABLE}/task_a", ".csv", ".md"),
    log:
        f"{LOGS}/task_a_table.log",
    benchmark:
        f"{BENCHMARKS}/task_a_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        folder=f"{RESULTS}/predictions",
    message:
        "table of Task A"
    script:
        "../../scripts/task_a_table.py"


rule published_table:
    input:
        ours=expand(f"{TABLE}/{{name}}.csv", name=["r2", *ASKED]),
        published=PUBLISHED,
        code=code_of("curvecast.published", "curvecast.markdown"),
    output:
        multiext(f"{TABLE}/published", ".csv", ".md"),
    log:
        f"{LOGS}/published_table.log",
    benchmark:
        f"{BENCHMARKS}/published_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "published figures beside ours"
    script:
        "../../scripts/published_table.py"


rule datasets_table:
    input:
        curves=expand(f"{RESULTS}/curves/{{dataset}}.parquet", dataset=PREFLIGHT.usable),
        code=code_of("curvecast.tables", "curvecast.markdown"),
    output:
        multiext(f"{TABLE}/datasets", ".csv", ".md"),
    log:
        f"{LOGS}/datasets_table.log",
    benchmark:
        f"{BENCHMARKS}/datasets_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(5),
    params:
        stanzas={name: {"licence": REGISTRY[name].get("licence", "")} for name in PREFLIGHT.usable},
    message:
        "table of data sets"
    script:
        "../../scripts/datasets_table.py"


rule timings:
    input:
        timings=[
            *outputs(f"{RESULTS}/timings/{{job}}.csv"),
            *task_a_of(f"{RESULTS}/timings/{{dataset}}/{{model}}.task_a.csv"),
        ],
        code=code_of("curvecast.tables", "curvecast.markdown"),
    output:
        multiext(f"{RESULTS}/timings", ".csv", ".md"),
    log:
        f"{LOGS}/timings.log",
    benchmark:
        f"{BENCHMARKS}/timings.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        folder=lambda wildcards, output: os.path.splitext(output[0])[0],
    message:
        "seconds per model"
    script:
        "../../scripts/timings.py"


rule r2_figure:
    input:
        scores=lambda wildcards: outputs(SCORES, plan.MAIN, wildcards.collection),
        published=PUBLISHED,
        code=code_of("curvecast.plots.r2", "curvecast.published"),
    output:
        over_fraction=multiext(f"{FIGURE}/r2/{{collection}}", ".svg", ".png"),
        spread=multiext(f"{FIGURE}/spread/{{collection}}", ".svg", ".png"),
    log:
        f"{LOGS}/r2_figure/{{collection}}.log",
    benchmark:
        f"{BENCHMARKS}/r2_figure/{{collection}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "figures of R² on {wildcards.collection}"
    script:
        "../../scripts/r2_figure.py"


rule ranks_figure:
    input:
        ranks=f"{TABLE}/ranks.csv",
        code=code_of("curvecast.plots.ranks"),
    output:
        multiext(f"{FIGURE}/ranks/{{collection}}", ".svg", ".png"),
    log:
        f"{LOGS}/ranks_figure/{{collection}}.log",
    benchmark:
        f"{BENCHMARKS}/ranks_figure/{{collection}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "average ranks on {wildcards.collection}"
    script:
        "../../scripts/ranks_figure.py"


rule coverage_figure:
    input:
        summary=f"{TABLE}/r2.csv",
        code=code_of("curvecast.plots.coverage"),
    output:
        multiext(f"{FIGURE}/coverage", ".svg", ".png"),
    log:
        f"{LOGS}/coverage_figure.log",
    benchmark:
        f"{BENCHMARKS}/coverage_figure.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "figure of interval coverage"
    script:
        "../../scripts/coverage_figure.py"


rule reliability_figure:
    input:
        scores=lambda wildcards: outputs(SCORES, plan.MAIN, wildcards.collection),
        code=code_of("curvecast.plots.coverage"),
    output:
        multiext(f"{FIGURE}/reliability/{{collection}}", ".svg", ".png"),
    log:
        f"{LOGS}/reliability_figure/{{collection}}.log",
    benchmark:
        f"{BENCHMARKS}/reliability_figure/{{collection}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "reliability on {wildcards.collection}"
    script:
        "../../scripts/reliability_figure.py"


rule experiment_figure:
    input:
        scores=lambda wildcards: outputs(SCORES, wildcards.name),
        published=PUBLISHED,
        code=code_of("curvecast.plots.r2", "curvecast.published"),
    output:
        multiext(f"{FIGURE}/{{name}}/{{percent}}", ".svg", ".png"),
    log:
        f"{LOGS}/experiment_figure/{{name}}/{{percent}}.log",
    benchmark:
        f"{BENCHMARKS}/experiment_figure/{{name}}/{{percent}}.tsv"
    wildcard_constraints:
        name="ablation|training_size",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        fraction=lambda wildcards: round(float(wildcards.percent) / 100, 6),
    message:
        "figure of {wildcards.name} at {wildcards.percent} %"
    script:
        "../../scripts/experiment_figure.py"


rule prediction_figures:
    input:
        predictions=expand(
            f"{RESULTS}/predictions/{{{{dataset}}}}/{{model}}.parquet", model=config["models"]
        ),
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=code_of("curvecast.plots.predictions", "curvecast.scores"),
    output:
        scatter=multiext(f"{FIGURE}/predicted_against_true/{{dataset}}", ".svg", ".png"),
        gallery=multiext(f"{FIGURE}/gallery/{{dataset}}", ".svg", ".png"),
    log:
        f"{LOGS}/prediction_figures/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/prediction_figures/{{dataset}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(5),
    params:
        models=config["models"],
        n_train=config["protocol"]["n_train"],
        fraction=plan.headline_fraction(config),
    message:
        "figures of predictions on {wildcards.dataset}"
    script:
        "../../scripts/prediction_figures.py"
