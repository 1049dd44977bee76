# Scores, tables and figures.


# One job for all models of a data set: a job of its own per model would cost more than three
# times as much, most of it in starting Python.
rule scores:
    input:
        predictions=lambda wildcards: expand(
            f"{RESULTS}/predictions/{{{{dataset}}}}/{{model}}{{{{experiment}}}}.parquet",
            model=models_on(wildcards),
        ),
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=code_of("curvecast.benchmark.scores"),
    output:
        f"{RESULTS}/scores/{{dataset}}{{experiment}}.parquet",
    log:
        f"{LOGS}/scores/{{dataset}}{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/scores/{{dataset}}{{experiment}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        models=models_on,
        grid=grid_of,
        experiment=experiment_of,
    message:
        "scores on {wildcards.dataset}{wildcards.experiment}"
    script:
        "../../scripts/scores.py"


rule r2_table:
    input:
        scores=scores_of(plan.MAIN),
        code=code_of(
            "curvecast.report.tables.results",
            "curvecast.report.tables.markdown",
            "curvecast.benchmark.ranks",
        ),
    output:
        r2=shown(f"{TABLE}/r2"),
        averages=shown(f"{TABLE}/averages"),
        differences=shown(f"{TABLE}/differences"),
        ranks=shown(f"{TABLE}/ranks"),
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
        scores=lambda wildcards: scores_of(wildcards.name),
        code=code_of("curvecast.report.tables.results", "curvecast.report.tables.markdown"),
    output:
        shown(f"{TABLE}/{{name}}", experiment="{name}"),
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
        published=PUBLISHED_TASK_A,
        code=code_of("curvecast.benchmark.task_a"),
    output:
        shown(f"{TABLE}/task_a"),
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
        code=code_of("curvecast.report.tables.published", "curvecast.report.tables.markdown"),
    output:
        shown(f"{TABLE}/published"),
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
        code=code_of("curvecast.report.tables.results", "curvecast.report.tables.markdown"),
    output:
        shown(f"{TABLE}/datasets"),
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
        code=code_of("curvecast.report.tables.results", "curvecast.report.tables.markdown"),
    output:
        shown(f"{RESULTS}/timings"),
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
        scores=lambda wildcards: scores_of(plan.MAIN, wildcards.collection),
        published=PUBLISHED,
        code=code_of("curvecast.report.figures.r2", "curvecast.report.tables.published"),
    output:
        over_fraction=shown(f"{FIGURE}/r2/{{collection}}", data="{collection}"),
        spread=shown(f"{FIGURE}/spread/{{collection}}", data="{collection}"),
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
        code=code_of("curvecast.report.figures.ranks"),
    output:
        shown(f"{FIGURE}/ranks/{{collection}}", data="{collection}"),
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
        code=code_of("curvecast.report.figures.coverage"),
    output:
        shown(f"{FIGURE}/coverage"),
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
        scores=lambda wildcards: scores_of(plan.MAIN, wildcards.collection),
        code=code_of("curvecast.report.figures.coverage"),
    output:
        shown(f"{FIGURE}/reliability/{{collection}}", data="{collection}"),
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
        scores=lambda wildcards: scores_of(wildcards.name),
        published=PUBLISHED,
        code=code_of("curvecast.report.figures.r2", "curvecast.report.tables.published"),
    output:
        shown(f"{FIGURE}/{{name}}/{{percent}}", seen="{percent} %"),
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
        code=code_of("curvecast.report.figures.predictions", "curvecast.benchmark.scores"),
    output:
        scatter=shown(f"{FIGURE}/predicted_against_true/{{dataset}}", data="{dataset}"),
        gallery=shown(f"{FIGURE}/gallery/{{dataset}}", data="{dataset}"),
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
        fraction=plan.headline_fraction(config),
    message:
        "figures of predictions on {wildcards.dataset}"
    script:
        "../../scripts/prediction_figures.py"


# The page that people open; it needs everything else that the run makes. Not Snakemake's own
# report: see docs/report.md.
rule report:
    input:
        tables=tables(),
        figures=figures(),
        captions=of_repository("workflow/report/*.rst"),
        sayings=of_repository("resources/methods.yaml"),
        template=of_repository("src/curvecast/report/page.html"),
        code=code_of("curvecast.report.page.page"),
    output:
        report(f"{RESULTS}/report.html", category="Start here", labels={"result": "report"}),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        about={
            "results": RESULTS,
            "fraction": plan.headline_fraction(config),
            "models": [model for model in config["models"] if model not in UNTUNED],
            "datasets": about.sources(REGISTRY, PREFLIGHT.usable),
            "left_out": [*PREFLIGHT.left_out, *UNTUNED],
            "facts": about.facts(config, PREFLIGHT.usable, REGISTRY),
        },
        benchmarks=BENCHMARKS,
    message:
        "report"
    script:
        "../../scripts/report.py"
