# Studies: one job per seed of real training or of tuning a predictor, one per data set and
# optimiser on recorded curves.


# The study's own log (configs.json, results.json, checkpoints/) lies beside the outputs and is not
# declared: Snakemake would delete it before a rerun, which goes on where the log ends.
rule study:
    input:
        raw=study_raw_of,
        taken=study_taken_of,
        code=study_code_of,
    output:
        evaluations=f"{STUDY}/{{study}}/seed={{seed}}/{{optimizer}}/evaluations.parquet",
        curves=f"{STUDY}/{{study}}/seed={{seed}}/{{optimizer}}/curves.parquet",
    log:
        f"{LOGS}/study/{{study}}/seed={{seed}}/{{optimizer}}.log",
    benchmark:
        f"{BENCHMARKS}/study/{{study}}/seed={{seed}}/{{optimizer}}.tsv"
    wildcard_constraints:
        study=study_names("training"),
    conda:
        "../../envs/environment.yaml"
    threads: study_threads_of
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        definition=study_definition_of,
    message:
        "{wildcards.optimizer} of study {wildcards.study}, seed {wildcards.seed}"
    script:
        "../../scripts/study.py"


# The same for the error of a predictor: what it is trained on comes from the curves of a data set.
rule tuning:
    input:
        curves=tuning_curves_of,
        code=study_code_of,
    output:
        evaluations=f"{STUDY}/{{study}}/seed={{seed}}/{{optimizer}}/evaluations.parquet",
    log:
        f"{LOGS}/tuning/{{study}}/seed={{seed}}/{{optimizer}}.log",
    benchmark:
        f"{BENCHMARKS}/tuning/{{study}}/seed={{seed}}/{{optimizer}}.tsv"
    wildcard_constraints:
        study=study_names("prediction"),
    conda:
        "../../envs/environment.yaml"
    threads: study_threads_of
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        definition=study_definition_of,
    message:
        "{wildcards.optimizer} of study {wildcards.study}, seed {wildcards.seed}"
    script:
        "../../scripts/tuning.py"


rule incumbent:
    input:
        evaluations=lambda wildcards: searches_files(
            TUNINGS, f"{STUDY}/{{job}}/evaluations.parquet", wildcards.study
        ),
        code=code_of("curvecast.studies.incumbent", "curvecast.studies.jobs"),
    output:
        f"{STUDY}/{{study}}/incumbent.json",
    log:
        f"{LOGS}/incumbent/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/incumbent/{{study}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        definition=study_definition_of,
    message:
        "what study {wildcards.study} found"
    script:
        "../../scripts/incumbent.py"


rule tuned_and_untuned:
    input:
        curves=tuning_curves_of,
        incumbent=f"{STUDY}/{{study}}/incumbent.json",
        code=study_code_of,
    output:
        f"{STUDY}/{{study}}/tuning.parquet",
    log:
        f"{LOGS}/tuned_and_untuned/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/tuned_and_untuned/{{study}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        definition=study_definition_of,
    message:
        "tuned against untuned predictor of study {wildcards.study}"
    script:
        "../../scripts/tuned_and_untuned.py"


rule tuning_table:
    input:
        tunings=expand(f"{STUDY}/{{study}}/tuning.parquet", study=studies_in(TUNINGS)),
        published=PUBLISHED_TASK_A[0],
        code=code_of("curvecast.report.tables.tuning", "curvecast.report.tables.results"),
    output:
        shown(f"{TABLE}/tuning"),
    log:
        f"{LOGS}/tuning_table.log",
    benchmark:
        f"{BENCHMARKS}/tuning_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "table of tuned predictors"
    script:
        "../../scripts/tuning_table.py"


rule trained_curves:
    input:
        curves=lambda wildcards: searches_files(
            TRAININGS, f"{STUDY}/{{job}}/curves.parquet", wildcards.study
        ),
        code=code_of("curvecast.studies.jobs"),
    output:
        f"{STUDY}/{{study}}/curves.parquet",
    log:
        f"{LOGS}/trained_curves/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/trained_curves/{{study}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "runs of study {wildcards.study} as curves"
    script:
        "../../scripts/trained_curves.py"


rule replay:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=study_code_of,
    output:
        evaluations=f"{STUDY}/{{study}}/{{dataset}}/{{optimizer}}/evaluations.parquet",
        regret=f"{STUDY}/{{study}}/{{dataset}}/{{optimizer}}/regret.parquet",
    log:
        f"{LOGS}/replay/{{study}}/{{dataset}}/{{optimizer}}.log",
    benchmark:
        f"{BENCHMARKS}/replay/{{study}}/{{dataset}}/{{optimizer}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        definition=study_definition_of,
    message:
        "{wildcards.optimizer} of study {wildcards.study} on {wildcards.dataset}"
    script:
        "../../scripts/replay.py"


rule study_table:
    input:
        evaluations=searches_files(
            [*TRAININGS, *TUNINGS, *REPLAYS], f"{STUDY}/{{job}}/evaluations.parquet"
        ),
        code=code_of(
            "curvecast.studies.jobs",
            "curvecast.report.tables.studies",
            "curvecast.report.tables.results",
        ),
    output:
        studies=shown(f"{TABLE}/studies"),
        seconds=shown(f"{RESULTS}/study_timings"),
    log:
        f"{LOGS}/study_table.log",
    benchmark:
        f"{BENCHMARKS}/study_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(5),
    message:
        "table of studies"
    script:
        "../../scripts/study_table.py"


rule study_comparison_table:
    input:
        regret=searches_files(REPLAYS, f"{STUDY}/{{job}}/regret.parquet"),
        code=code_of(
            "curvecast.studies.summary",
            "curvecast.report.tables.studies",
            "curvecast.report.tables.results",
        ),
    output:
        comparison=shown(f"{TABLE}/study_comparison"),
        regret=f"{TABLE}/study_regret.csv",
    log:
        f"{LOGS}/study_comparison_table.log",
    benchmark:
        f"{BENCHMARKS}/study_comparison_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "table of optimisers on recorded curves"
    script:
        "../../scripts/study_comparison_table.py"


rule study_figures:
    input:
        evaluations=lambda wildcards: searches_files(
            [*TRAININGS, *TUNINGS], f"{STUDY}/{{job}}/evaluations.parquet", wildcards.study
        ),
        code=code_of("curvecast.report.figures.studies"),
    output:
        [
            shown(f"{FIGURE}/studies/{{study}}/{name}", study="{study}")
            for name in study_plan.FIGURES
        ],
    log:
        f"{LOGS}/study_figures/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/study_figures/{{study}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "figures of study {wildcards.study}"
    script:
        "../../scripts/study_figures.py"


rule learning_curves_figure:
    input:
        curves=f"{STUDY}/{{study}}/curves.parquet",
        code=code_of("curvecast.report.figures.studies"),
    output:
        shown(f"{FIGURE}/studies/{{study}}/learning_curves", study="{study}"),
    log:
        f"{LOGS}/learning_curves_figure/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/learning_curves_figure/{{study}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "learning curves of study {wildcards.study}"
    script:
        "../../scripts/learning_curves_figure.py"


rule regret_figure:
    input:
        regret=lambda wildcards: searches_files(
            REPLAYS, f"{STUDY}/{{job}}/regret.parquet", wildcards.study
        ),
        code=code_of("curvecast.report.figures.studies"),
    output:
        shown(f"{FIGURE}/studies/{{study}}/regret", study="{study}"),
    log:
        f"{LOGS}/regret_figure/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/regret_figure/{{study}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "figure of regret in study {wildcards.study}"
    script:
        "../../scripts/regret_figure.py"
