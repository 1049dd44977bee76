# Raw files and learning curves.


rule fetch:
    output:
        f"{RESULTS}/raw/{{file}}",
    log:
        f"{LOGS}/fetch/{{file}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch/{{file}}.tsv"
    localrule: True
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=growing(60),
    params:
        source=lambda wildcards: datasets.find_file(wildcards.file, REGISTRY),
    message:
        "raw file {wildcards.file}"
    script:
        "../../scripts/fetch.py"


rule curves:
    input:
        raw=raw_files_of,
        code=reader_of,
    output:
        f"{RESULTS}/curves/{{dataset}}.parquet",
    log:
        f"{LOGS}/curves/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/curves/{{dataset}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        stanza=lambda wildcards: datasets.for_reader(REGISTRY[wildcards.dataset]),
    message:
        "curves of {wildcards.dataset}"
    script:
        "../../scripts/curves.py"
