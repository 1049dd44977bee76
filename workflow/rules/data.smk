# Raw files, learning curves, and their features at every truncation epoch.


rule fetch:
    output:
        f"{RESULTS}/raw/{{file}}",
    log:
        f"{LOGS}/fetch/{{file}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch/{{file}}.tsv"
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        runtime=growing(60),
    params:
        source=lambda wildcards: registry.find_file(wildcards.file, plan.registry),
    message:
        "raw file {wildcards.file}"
    script:
        "../../scripts/fetch.py"


rule curves:
    input:
        unpack(plan.reader_inputs),
    output:
        f"{RESULTS}/curves/{{dataset}}.parquet",
    log:
        f"{LOGS}/curves/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/curves/{{dataset}}.tsv"
    group:
        together("prepare")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        stanza=lambda wildcards: registry.for_reader(plan.registry[wildcards.dataset]),
    message:
        "curves of {wildcards.dataset}"
    script:
        "../../scripts/curves.py"


rule features:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=plan.code("curvecast.features", "curvecast.protocol"),
    output:
        # A folder: the epochs follow from the length of the curves, which only the file knows.
        directory(f"{RESULTS}/features/{{dataset}}"),
    log:
        f"{LOGS}/features/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/features/{{dataset}}.tsv"
    group:
        together("prepare")
    conda:
        ENVIRONMENT
    params:
        fractions=settings.protocol.fractions,
        taus=settings.protocol.taus,
    message:
        "features of {wildcards.dataset}"
    script:
        "../../scripts/features.py"
