# Tables, figures and the report. Each entry below becomes one rule: name, message, outputs, input
# files, values of the wildcards, parameters.


PUBLISHED = {
    name: plan.repository(*(f"resources/published/{file}" for file in files))
    for name, files in {
        "r2": ["*_r2.csv", "notes.csv"],
        "networks": ["*_accuracy.csv", "*_networks.csv"],
        "task_a": ["lcbench_task_a_mse.csv"],
        "speedups": ["baker2017_thesis_speedups.csv", "speedup_notes.csv"],
    }.items()
}
COLLECTIONS = sorted({collection_of(dataset) for dataset in plan.usable})
STUDY_FIGURES = [
    "origin",
    "losses_over_time",
    "incumbent",
    "concurrency",
    "rank_correlation",
    "importance",
]
STOPPING_FIGURES = ["tradeoff", "best_value", "reliability"]
STOPPED = list(dict.fromkeys(job.dataset for job in plan.stopping))
STOPPED_COLLECTIONS = list(dict.fromkeys(map(collection_of, STOPPED)))
HYPERBAND = list(
    dict.fromkeys(collection_of(job.dataset) for job in plan.stopping if job.search == "hyperband")
)

TABLES = [
    Summary(
        "r2",
        "R² tables",
        named(
            "tables/{name}",
            "r2",
            "averages",
            "differences",
            *["ranks"] * bool(plan.ranked_collections),
        ),
        plan.scored("main", "training_size"),
        params={"ranked_sets": RANKED_SETS, "ranked": plan.ranked_collections},
    ),
    *(
        Summary(
            name,
            f"table of {name}",
            named("tables/{name}", name),
            plan.scored(*["main"] * (name == "training_size"), name),
            params={"fractions": plan.config.experiments[name].fractions},
        )
        for name in plan.experiments
    ),
    Summary(
        "task_a",
        "table of Task A",
        named("tables/{name}", "task_a"),
        {
            "predictions": plan.task_a_files("predictions", "parquet"),
            "published": PUBLISHED["task_a"],
        },
        params={"folder": f"{RESULTS}/predictions"},
    ),
    Summary(
        "published",
        "published figures beside ours",
        named("tables/{name}", "published"),
        {
            "ours": [
                f"{RESULTS}/tables/{name}.csv"
                for name in ("r2", *plan.experiments)
                if name != "training_size"
            ],
            "published": PUBLISHED["r2"],
        },
    ),
    Summary(
        "datasets",
        "table of data sets",
        named("tables/{name}", "datasets"),
        {"curves": [f"{RESULTS}/curves/{dataset}.parquet" for dataset in plan.usable]},
        params={"licences": {n: plan.registry[n].get("licence", "") for n in plan.usable}},
    ),
    Summary(
        "timings",
        "seconds per model",
        {"timings": "timings"},
        {"timings": plan.timings()},
        params={"folder": f"{RESULTS}/timings"},
    ),
    Summary(
        "studies",
        "table of studies",
        {**named("tables/{name}", "studies"), "study_timings": "study_timings"},
        {"evaluations": studies.files("evaluations")},
    ),
    Summary(
        "study_comparison",
        "table of optimisers on recorded curves",
        {**named("tables/{name}", "study_comparison"), "study_regret": "tables/study_regret.csv"},
        {"regret": studies.files("regret", "recorded")},
    ),
    Summary(
        "tuning",
        "table of tuned predictors",
        named("tables/{name}", "tuning"),
        {
            "tunings": [f"{STUDY}/{study}/tuning.parquet" for study in studies.of("prediction")],
            "published": PUBLISHED["task_a"],
        },
    ),
    Summary(
        "effects",
        "table of effects",
        named("tables/{name}", "effects"),
        {"evaluations": studies.files("evaluations", "training")},
    ),
    Summary(
        "metaqnn",
        "table of searches over layers",
        named("tables/{name}", "metaqnn"),
        {
            "evaluations": [
                file
                for study in studies.of_layers()
                for file in studies.files("evaluations", study=study)
            ]
        },
    ),
    Summary(
        "networks",
        "table of trained networks",
        {**named("tables/{name}", "networks"), "network_timings": "network_timings"},
        {
            "scores": studies.network_files("scores.csv"),
            "seconds": studies.network_files("seconds.csv"),
            "published": PUBLISHED["networks"],
        },
        params={"notes": studies.notes()},
    ),
    *(
        Summary(
            f"speedup_{search}",
            f"speedups of the {search} search",
            {
                **named("tables/{name}", f"speedup_{search}"),
                f"speedup_{search}_summary": f"tables/speedup_{search}_summary.csv",
            },
            {
                "outcomes": plan.stopping_files("outcomes.parquet", *searches),
                "published": PUBLISHED["speedups"],
            },
        )
        for search, searches in (
            ("sequential", ["sequential", "online", "rules"]),
            ("hyperband", ["hyperband"]),
        )
    ),
    Summary(
        "stopping_timings",
        "seconds of early stopping",
        {"stopping_timings": "stopping_timings"},
        {"timings": plan.stopping_files("timings.csv", "sequential", "hyperband", "online")},
    ),
]

FIGURES = [
    Summary(
        "r2",
        "figures of R² on {wildcards.collection}",
        named("{name}/{collection}", "r2", "spread"),
        lambda wildcards: {
            "scores": plan.scores(collection=wildcards.collection),
            "published": PUBLISHED["r2"],
        },
        {"collection": COLLECTIONS},
    ),
    Summary(
        "reliability",
        "reliability on {wildcards.collection}",
        named("{name}/{collection}", "reliability"),
        lambda wildcards: {"scores": plan.scores(collection=wildcards.collection)},
        {"collection": COLLECTIONS},
    ),
    Summary(
        "ranks",
        "average ranks on {wildcards.collection}",
        named("{name}/{collection}", "ranks"),
        {"ranks": [f"{RESULTS}/tables/ranks.csv"]},
        {"collection": plan.ranked_collections},
    ),
    Summary(
        "coverage",
        "figure of interval coverage",
        named("{name}", "coverage"),
        {"summary": [f"{RESULTS}/tables/r2.csv"]},
    ),
    *(
        Summary(
            name,
            f"figure of {name} at {{wildcards.percent}} %",
            named("{name}/{percent}", name),
            reads,
            {"percent": [f"{100 * f:g}" for f in plan.config.experiments[name].fractions]},
            lambda wildcards: {"fraction": round(float(wildcards.percent) / 100, 6)},
        )
        for name, reads in (
            ("ablation", {"scores": plan.scores("ablation"), "published": PUBLISHED["r2"]}),
            ("training_size", {"sizes": [f"{RESULTS}/tables/training_size.csv"]}),
        )
        if name in plan.experiments
    ),
    Summary(
        "predictions",
        "figures of predictions on {wildcards.dataset}",
        {
            "scatter": "predicted_against_true/{dataset}",
            "gallery": "gallery/{dataset}",
        },
        lambda wildcards: {
            "predictions": [
                f"{RESULTS}/predictions/{wildcards.dataset}/{model}.parquet"
                for model in plan.models
            ],
            "curves": [f"{RESULTS}/curves/{wildcards.dataset}.parquet"],
        },
        {"dataset": plan.usable},
        {"models": plan.models, "fraction": plan.headline_fraction},
    ),
    Summary(
        "study",
        "figures of study {wildcards.study}",
        named("studies/{study}/{name}", *STUDY_FIGURES),
        evaluations_of,
        {"study": studies.of("training", "prediction")},
    ),
    Summary(
        "learning_curves",
        "learning curves of study {wildcards.study}",
        named("studies/{study}/{name}", "learning_curves"),
        lambda wildcards: {"curves": [f"{STUDY}/{wildcards.study}/curves.parquet"]},
        {"study": studies.of("training")},
    ),
    Summary(
        "regret",
        "figure of regret in study {wildcards.study}",
        named("studies/{study}/{name}", "regret"),
        lambda wildcards: {"regret": studies.files("regret", study=wildcards.study)},
        {"study": studies.of("recorded")},
    ),
    Summary(
        "layer_search",
        "search over layers in study {wildcards.study}",
        named("studies/{study}/{name}", "course", "learned"),
        evaluations_of,
        {"study": [n for n in studies.of_layers() if "metaqnn" in studies.study(n).optimizers]},
    ),
    Summary(
        "network",
        "losses of network {wildcards.network}",
        {"network": "networks/{network}"},
        lambda wildcards: {"curves": studies.network_files("curves.parquet", wildcards.network)},
        {"network": list(studies.notes())},
    ),
    Summary(
        "stopping",
        "figures of early stopping on {wildcards.collection}",
        named("stopping/{collection}/{name}", *STOPPING_FIGURES),
        lambda wildcards: {
            "speedups": [f"{RESULTS}/tables/speedup_sequential.csv"],
            "traces": plan.stopping_files(
                "traces.parquet", "sequential", "online", "rules", subject=wildcards.collection
            ),
            "reliability": plan.stopping_files(
                "reliability.parquet", "sequential", subject=wildcards.collection
            ),
        },
        {"collection": STOPPED_COLLECTIONS},
    ),
    Summary(
        "hyperband",
        "figure of f-Hyperband on {wildcards.collection}",
        named("stopping/{collection}/{name}", "hyperband"),
        {"speedups": [f"{RESULTS}/tables/speedup_hyperband.csv"]},
        {"collection": HYPERBAND},
    ),
    Summary(
        "stopped",
        "figure of the runs stopped on {wildcards.dataset}",
        named("stopping/{name}/{dataset}", "stopped"),
        lambda wildcards: {
            "curves": [f"{RESULTS}/curves/{wildcards.dataset}.parquet"],
            "ends": plan.stopping_files(
                "ends.parquet", "sequential", "online", subject=wildcards.dataset
            ),
        },
        {"dataset": STOPPED},
    ),
]


TABLES = [table for table in TABLES if table.wanted]
FIGURES = [figure for figure in FIGURES if figure.wanted]


for kind, folder, summaries in (("table", RESULTS, TABLES), ("figure", FIGURE, FIGURES)):
    for summary in summaries:

        rule:
            name:
                f"{summary.name}_{kind}"
            input:
                unpack(summary.inputs),
                code=plan.code(making.module_of(kind, summary.name)),
                entry=plan.repository("src/curvecast/report/making.py"),
            output:
                **summary.files_in(folder, kind),
            log:
                f"{LOGS}/{summary.name}_{kind}{summary.cell}.log",
            benchmark:
                f"{BENCHMARKS}/{summary.name}_{kind}{summary.cell}.tsv"
            wildcard_constraints:
                **summary.constraints,
            group:
                together("report")
            conda:
                ENVIRONMENT
            params:
                kind=kind,
                name=summary.name,
                arguments=summary.arguments,
            message:
                summary.message
            script:
                "../../scripts/summary.py"


MADE = {
    "tables": [file for table in TABLES for file in table.made_in(RESULTS, "table")],
    "figures": [file for figure in FIGURES for file in figure.made_in(FIGURE, "figure")],
}


# Data sets that may have runs under way.
LOGGED = [name for name in plan.usable if plan.registry[name].get("reader") == "log"]


# The page that people open; it needs everything else that the run makes. Not Snakemake's own
# report: see docs/report.md.
rule report:
    input:
        **MADE,
        captions=plan.repository("workflow/report/*.rst"),
        method_texts=plan.repository("resources/methods.yaml"),
        logs=[f"{RESULTS}/curves/{dataset}.parquet" for dataset in LOGGED],
        template=plan.repository("src/curvecast/report/page/page.html"),
        code=plan.code("curvecast.report.page.page", *["curvecast.predictors.pfn"] * bool(LOGGED)),
    output:
        f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    group:
        together("report")
    conda:
        ENVIRONMENT
    resources:
        runtime=growing(10),
    params:
        about={
            "results": RESULTS,
            "fraction": plan.headline_fraction,
            "models": plan.models,
            "datasets": about.sources(plan.registry, plan.usable),
            "tasks": about.sources(plan.registry, plan.data.tasks),
            "left_out": plan.not_run,
            "facts": about.facts(plan.config, plan.usable, plan.registry),
        },
        benchmarks=BENCHMARKS,
    message:
        "report"
    script:
        "../../scripts/report.py"
