# Features at every truncation epoch.


rule features:
    input:
        curves=f"{RESULTS}/curves/{{dataset}}.parquet",
        code=code_of("curvecast.features", "curvecast.protocol"),
    output:
        # A folder: the epochs follow from the length of the curves, which only the file knows.
        directory(f"{RESULTS}/features/{{dataset}}"),
    log:
        f"{LOGS}/features/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/features/{{dataset}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        fractions=config["protocol"]["fractions"],
        taus=config["protocol"]["taus"],
    message:
        "features of {wildcards.dataset}"
    script:
        "../../scripts/features.py"
