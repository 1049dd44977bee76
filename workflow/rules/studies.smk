# Studies and networks. A study has one job per seed of real training or of tuning a predictor, and
# one per data set and optimiser on recorded curves.


# Per objective: the rule, the files of a job, and what Snakemake prints.
STUDIES = {
    "training": ("study", ["evaluations", "curves"], ", seed {wildcards.seed}"),
    "prediction": ("tuning", ["evaluations"], ", seed {wildcards.seed}"),
    "recorded": ("replay", ["evaluations", "regret"], " on {wildcards.dataset}"),
}


# The study's own log (configs.json, results.json, checkpoints/) lies beside the outputs and is not
# declared: Snakemake would delete it before a rerun, which goes on where the log ends.
for objective, (kind, files, subject) in STUDIES.items():

    rule:
        name:
            kind
        input:
            unpack(studies.inputs),
            code=plan.study_code,
        output:
            **{name: f"{STUDY}/{FOLDERS[objective]}/{name}.parquet" for name in files},
        log:
            f"{LOGS}/{kind}/{FOLDERS[objective]}.log",
        benchmark:
            f"{BENCHMARKS}/{kind}/{FOLDERS[objective]}.tsv"
        wildcard_constraints:
            # "(?!)" fits no name.
            study="|".join(studies.with_objective(objective)) or "(?!)",
        group:
            together("replay") if kind == "replay" else None
        conda:
            ENVIRONMENT
        threads: studies.threads
        resources:
            mem_mb=growing(3000),
            runtime=growing(240),
        params:
            definition=studies.for_job,
        message:
            f"{{wildcards.optimizer}} of study {{wildcards.study}}{subject}"
        script:
            "../../scripts/study.py"


rule trained_curves:
    input:
        curves=lambda wildcards: studies.files("curves", study=wildcards.study),
        code=plan.code("curvecast.studies.jobs"),
    output:
        f"{STUDY}/{{study}}/curves.parquet",
    log:
        f"{LOGS}/trained_curves/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/trained_curves/{{study}}.tsv"
    group:
        together("trained")
    conda:
        ENVIRONMENT
    message:
        "runs of study {wildcards.study} as curves"
    script:
        "../../scripts/trained_curves.py"


rule incumbent:
    input:
        evaluations=lambda wildcards: studies.files("evaluations", study=wildcards.study),
        code=plan.code("curvecast.studies.incumbent", "curvecast.studies.jobs"),
    output:
        f"{STUDY}/{{study}}/incumbent.json",
    log:
        f"{LOGS}/incumbent/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/incumbent/{{study}}.tsv"
    group:
        together("incumbent")
    conda:
        ENVIRONMENT
    params:
        definition=studies.for_job,
    message:
        "incumbent of study {wildcards.study}"
    script:
        "../../scripts/incumbent.py"


rule tuned_and_untuned:
    input:
        unpack(studies.inputs),
        incumbent=f"{STUDY}/{{study}}/incumbent.json",
        code=plan.study_code,
    output:
        f"{STUDY}/{{study}}/tuning.parquet",
    log:
        f"{LOGS}/tuned_and_untuned/{{study}}.log",
    benchmark:
        f"{BENCHMARKS}/tuned_and_untuned/{{study}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(3000),
        runtime=growing(120),
    params:
        definition=studies.for_job,
    message:
        "tuned against untuned predictor of study {wildcards.study}"
    script:
        "../../scripts/tuned_and_untuned.py"


rule network:
    input:
        unpack(studies.network_inputs),
        code=plan.network_code,
    output:
        curves=f"{NETWORK}/{{network}}/repeat={{repeat}}/curves.parquet",
        scores=f"{NETWORK}/{{network}}/repeat={{repeat}}/scores.csv",
        weights=f"{NETWORK}/{{network}}/repeat={{repeat}}/weights.safetensors",
        seconds=f"{NETWORK}/{{network}}/repeat={{repeat}}/seconds.csv",
    log:
        f"{LOGS}/network/{{network}}/repeat={{repeat}}.log",
    benchmark:
        f"{BENCHMARKS}/network/{{network}}/repeat={{repeat}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(4000),
        runtime=growing(600),
    params:
        definition=studies.network_for_job,
    message:
        "network {wildcards.network}, repeat {wildcards.repeat}"
    script:
        "../../scripts/network.py"
