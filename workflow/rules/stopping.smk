# Early stopping replayed on recorded curves. Per data set: one job per predictor in the sequential
# search and one in Hyperband, one for the online search, one for the rules without a model.

STOPPING = f"{RESULTS}/stopping"
SPEEDUPS = [
    os.path.relpath(Path(workflow.basedir, "resources/published", name))
    for name in ("baker2017_thesis_speedups.csv", "speedup_notes.csv")
]


rule stopping_sequential:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=lambda wildcards: code_of("curvecast.stopping.study", module_of(wildcards.model)),
    output:
        outcomes=f"{STOPPING}/{{dataset}}/sequential/{{model}}/outcomes.parquet",
        traces=f"{STOPPING}/{{dataset}}/sequential/{{model}}/traces.parquet",
        ends=f"{STOPPING}/{{dataset}}/sequential/{{model}}/ends.parquet",
        reliability=f"{STOPPING}/{{dataset}}/sequential/{{model}}/reliability.parquet",
        timings=f"{STOPPING}/{{dataset}}/sequential/{{model}}/timings.csv",
    log:
        f"{LOGS}/stopping/{{dataset}}/sequential/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/stopping/{{dataset}}/sequential/{{model}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        plan=lambda wildcards: stopping_plan.sequential_of(config, wildcards.dataset),
        options=lambda wildcards: config["model_options"].get(wildcards.model, {}),
    message:
        "sequential search with {wildcards.model} on {wildcards.dataset}"
    script:
        "../../scripts/stopping_sequential.py"


rule stopping_rules:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=code_of("curvecast.stopping.study"),
    output:
        outcomes=f"{STOPPING}/{{dataset}}/rules/outcomes.parquet",
        traces=f"{STOPPING}/{{dataset}}/rules/traces.parquet",
        ends=f"{STOPPING}/{{dataset}}/rules/ends.parquet",
    log:
        f"{LOGS}/stopping/{{dataset}}/rules.log",
    benchmark:
        f"{BENCHMARKS}/stopping/{{dataset}}/rules.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        plan=lambda wildcards: stopping_plan.rules_of(config, wildcards.dataset),
    message:
        "rules without a model on {wildcards.dataset}"
    script:
        "../../scripts/stopping_rules.py"


rule stopping_online:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=code_of("curvecast.stopping.online_study"),
    output:
        outcomes=f"{STOPPING}/{{dataset}}/online/outcomes.parquet",
        traces=f"{STOPPING}/{{dataset}}/online/traces.parquet",
        ends=f"{STOPPING}/{{dataset}}/online/ends.parquet",
        timings=f"{STOPPING}/{{dataset}}/online/timings.csv",
    log:
        f"{LOGS}/stopping/{{dataset}}/online.log",
    benchmark:
        f"{BENCHMARKS}/stopping/{{dataset}}/online.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        plan=lambda wildcards: stopping_plan.online_of(config, wildcards.dataset),
    message:
        "online search on {wildcards.dataset}"
    script:
        "../../scripts/stopping_online.py"


rule stopping_hyperband:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=lambda wildcards: code_of(
            "curvecast.stopping.hyperband_study", module_of(wildcards.model)
        ),
    output:
        outcomes=f"{STOPPING}/{{dataset}}/hyperband/{{model}}/outcomes.parquet",
        timings=f"{STOPPING}/{{dataset}}/hyperband/{{model}}/timings.csv",
    log:
        f"{LOGS}/stopping/{{dataset}}/hyperband/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/stopping/{{dataset}}/hyperband/{{model}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        plan=lambda wildcards: stopping_plan.hyperband_of(config, wildcards.dataset),
        options=lambda wildcards: config["model_options"].get(wildcards.model, {}),
    message:
        "Hyperband with {wildcards.model} on {wildcards.dataset}"
    script:
        "../../scripts/stopping_hyperband.py"


rule speedup_table:
    input:
        outcomes=lambda wildcards: stopping_of(
            "outcomes.parquet",
            searches=(
                ["hyperband"]
                if wildcards.kind == "hyperband"
                else ["sequential", "online", "rules"]
            ),
        ),
        published=SPEEDUPS,
        code=code_of(
            "curvecast.report.tables.speedups",
            "curvecast.report.tables.speedups_markdown",
            "curvecast.report.tables.results",
        ),
    output:
        speedups=shown(f"{TABLE}/speedup_{{kind}}", search="{kind}"),
        summary=f"{TABLE}/speedup_{{kind}}_summary.csv",
    log:
        f"{LOGS}/speedup_table/{{kind}}.log",
    benchmark:
        f"{BENCHMARKS}/speedup_table/{{kind}}.tsv"
    wildcard_constraints:
        kind="sequential|hyperband",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    message:
        "speedups of the {wildcards.kind} search"
    script:
        "../../scripts/speedup_table.py"


rule stopping_timings:
    input:
        timings=stopping_of("timings.csv", searches=["sequential", "hyperband", "online"]),
        code=code_of(
            "curvecast.report.tables.speedups",
            "curvecast.report.tables.speedups_markdown",
            "curvecast.report.tables.results",
        ),
    output:
        shown(f"{RESULTS}/stopping_timings"),
    log:
        f"{LOGS}/stopping_timings.log",
    benchmark:
        f"{BENCHMARKS}/stopping_timings.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    message:
        "seconds of early stopping"
    script:
        "../../scripts/stopping_timings.py"


rule stopping_figures:
    input:
        speedups=f"{TABLE}/speedup_sequential.csv",
        traces=lambda wildcards: stopping_of(
            "traces.parquet", wildcards.collection, ["sequential", "online", "rules"]
        ),
        reliability=lambda wildcards: stopping_of(
            "reliability.parquet", wildcards.collection, ["sequential"]
        ),
        code=code_of("curvecast.report.figures.stopping"),
    output:
        [
            shown(f"{FIGURE}/stopping/{{collection}}/{name}", data="{collection}")
            for name in stopping_plan.FIGURES
        ],
    log:
        f"{LOGS}/stopping_figures/{{collection}}.log",
    benchmark:
        f"{BENCHMARKS}/stopping_figures/{{collection}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    message:
        "figures of early stopping on {wildcards.collection}"
    script:
        "../../scripts/stopping_figures.py"


rule hyperband_figure:
    input:
        speedups=f"{TABLE}/speedup_hyperband.csv",
        code=code_of("curvecast.report.figures.stopping"),
    output:
        shown(f"{FIGURE}/stopping/{{collection}}/hyperband", data="{collection}"),
    log:
        f"{LOGS}/hyperband_figure/{{collection}}.log",
    benchmark:
        f"{BENCHMARKS}/hyperband_figure/{{collection}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    message:
        "figure of f-Hyperband on {wildcards.collection}"
    script:
        "../../scripts/hyperband_figure.py"


rule stopped_runs_figure:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        ends=lambda wildcards: stopping_of(
            "ends.parquet", wildcards.dataset, ["sequential", "online"]
        ),
        code=code_of("curvecast.report.figures.stopping"),
    output:
        shown(f"{FIGURE}/stopping/stopped/{{dataset}}", data="{dataset}"),
    log:
        f"{LOGS}/stopped_runs_figure/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/stopped_runs_figure/{{dataset}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    message:
        "figure of the runs stopped on {wildcards.dataset}"
    script:
        "../../scripts/stopped_runs_figure.py"
