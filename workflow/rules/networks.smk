# Networks trained to the end: references, incumbents of studies, transfer; and what studies tell
# about single hyper-parameters.

NETWORK = f"{RESULTS}/networks"


rule network:
    input:
        raw=network_raw_of,
        study=network_studies_of("study"),
        taken=network_studies_of("taken"),
        weights=network_weights_of,
        code=network_code_of,
    output:
        curves=f"{NETWORK}/{{network}}/repeat={{repeat}}/curves.parquet",
        scores=f"{NETWORK}/{{network}}/repeat={{repeat}}/scores.csv",
        weights=f"{NETWORK}/{{network}}/repeat={{repeat}}/weights.npz",
        seconds=f"{NETWORK}/{{network}}/repeat={{repeat}}/seconds.csv",
    log:
        f"{LOGS}/network/{{network}}/repeat={{repeat}}.log",
    benchmark:
        f"{BENCHMARKS}/network/{{network}}/repeat={{repeat}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(600),
    params:
        definition=network_definition_of,
    message:
        "network {wildcards.network}, repeat {wildcards.repeat}"
    script:
        "../../scripts/network.py"


rule network_table:
    input:
        scores=expand(f"{NETWORK}/{{job}}/scores.csv", job=[job.file for job in NETWORKS]),
        seconds=expand(f"{NETWORK}/{{job}}/seconds.csv", job=[job.file for job in NETWORKS]),
        published=PUBLISHED_NETWORKS,
        code=code_of("curvecast.report.tables.networks", "curvecast.report.tables.results"),
    output:
        networks=shown(f"{TABLE}/networks"),
        seconds=shown(f"{RESULTS}/network_timings"),
    log:
        f"{LOGS}/network_table.log",
    benchmark:
        f"{BENCHMARKS}/network_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    params:
        notes=network_plan.notes(config, NETWORKS),
    message:
        "table of trained networks"
    script:
        "../../scripts/network_table.py"


rule effects_table:
    input:
        evaluations=searches_files(TRAININGS, f"{STUDY}/{{job}}/evaluations.parquet"),
        code=code_of("curvecast.report.tables.networks", "curvecast.report.tables.results"),
    output:
        shown(f"{TABLE}/effects"),
    log:
        f"{LOGS}/effects_table.log",
    benchmark:
        f"{BENCHMARKS}/effects_table.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "table of effects"
    script:
        "../../scripts/effects_table.py"


rule network_figure:
    input:
        curves=lambda wildcards: [
            f"{NETWORK}/{job.file}/curves.parquet"
            for job in NETWORKS
            if job.network == wildcards.network
        ],
        code=code_of("curvecast.report.figures.networks"),
    output:
        shown(f"{FIGURE}/networks/{{network}}", network="{network}"),
    log:
        f"{LOGS}/network_figure/{{network}}.log",
    benchmark:
        f"{BENCHMARKS}/network_figure/{{network}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(5),
    message:
        "losses of network {wildcards.network}"
    script:
        "../../scripts/network_figure.py"
