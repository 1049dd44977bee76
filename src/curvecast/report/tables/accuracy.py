"""Tables of R²: of the main protocol and of the experiments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curvecast.benchmark import ranks
from curvecast.report.tables import Inputs, Table, markdown, results


def r2_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """`r2`, `averages`, `differences` and `ranks`; `params`: `ranked_sets`."""
    scores = results.load_scores(inputs["scores"])
    summary = results.summarise(scores)
    averages, differences = results.averages(summary), results.differences(scores)
    ranked = ranks.average_ranks(summary, params["ranked_sets"])
    return {
        "r2": (summary, markdown.r2(summary)),
        "averages": (averages, markdown.averages(averages)),
        "differences": (differences, markdown.differences(differences)),
        "ranks": (ranked, markdown.ranks(ranked, ranks.uncounted(summary))),
    }


def ablation_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """R² of the feature blocks."""
    summary = results.summarise(results.load_scores(inputs["scores"]))
    return {"ablation": (summary, markdown.ablation(summary))}


def training_size_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """R² by the number of training runs."""
    summary = results.summarise(results.load_scores(inputs["scores"]))
    return {"training_size": (summary, markdown.training_size(summary))}


def depth_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """R² across depths."""
    summary = results.summarise(results.load_scores(inputs["scores"]))
    return {"depth": (summary, markdown.depth(summary))}
