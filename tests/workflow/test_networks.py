"""Networks trained to the end, in the workflow: their table, their figures, and what reruns."""

from __future__ import annotations

import pandas as pd

from curvecast import CurveSet
from curvecast.files import read_arrays

from .conftest import Project

FOLLOWS = {"table of trained networks"}


def test_networks_leave_a_table_figures_and_weights(finished: Project) -> None:
    out = finished.folder / "out"
    table = pd.read_csv(out / "tables/networks.csv").set_index("network")
    assert list(table.index) == ["first", "second"]
    assert table["epochs"].to_dict() == {"first": 1, "second": 2}
    assert (table["test"].between(0, 1)).all()
    weights, _ = read_arrays(out / "networks/first/repeat=0/weights.safetensors")
    assert table.loc["second", "taken_over"] == len(weights)
    ends = {
        name: CurveSet.from_parquet(out / f"networks/{name}/repeat=0/curves.parquet").values[0]
        for name in table.index
    }
    assert ends["second"][0] == ends["first"][-1]
    for name in table.index:
        assert (out / f"figures/networks/{name}.svg").read_bytes().startswith(b"<?xml")
    assert "## toy" in (out / "tables/effects.md").read_text(encoding="utf-8")


def test_a_changed_network_reruns_what_was_made_from_it(project: Project) -> None:
    second = {"network second, repeat 0", "losses of network second"}
    project.edit("tiny.yaml", "n_epochs: 2", "n_epochs: 4")
    assert project.planned() == second | FOLLOWS
    project.edit("tiny.yaml", "n_epochs: 4", "n_epochs: 2")
    project.edit("tiny.yaml", "n_epochs: 1}", "n_epochs: 3}")
    first = {"network first, repeat 0", "losses of network first"}
    assert project.planned() == first | second | FOLLOWS


def test_a_network_of_a_study_that_does_not_run_is_named(project: Project) -> None:
    project.edit("tiny.yaml", "configuration: kuzushiji.DEFAULT", "study: other")
    done = project.snakemake("--cores", "1", "--dry-run")
    assert done.returncode != 0
    assert "unknown study 'other'" in done.stdout + done.stderr
