"""Roles of columns are declared: what nobody names is an input only if it can be a setting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, read_curves

EPOCHS = range(1, 11)
ACC = [f"acc_{e}" for e in EPOCHS]


def made(n: int = 40) -> pd.DataFrame:
    """Runs with two settings that tell little of where their curves end."""
    rng = np.random.default_rng(3)
    end = 0.5 + 0.4 * rng.random((n, 1))
    curve = end * (1 - 0.6 ** np.arange(1, 11)) + 0.005 * rng.standard_normal((n, 10))
    settings = pd.DataFrame(
        {"run": [f"r{i}" for i in range(n)], "lr": 10 ** rng.uniform(-4, -1, n)}
    )
    settings["opt"] = np.array(["sgd", "adam"])[np.arange(n) % 2]
    return pd.concat([settings, pd.DataFrame(curve, columns=ACC)], axis=1)


def read(folder: Path, table: pd.DataFrame, **options: object) -> CurveSet:
    table.to_csv(folder / "t.csv", index=False)
    return read_curves(folder / "t.csv", "acc_{epoch}", "maximize", id="run", **options)


def settings(curves: CurveSet) -> list[str]:
    return [c for c in curves.configs if c.startswith(("hp_", "ap_"))]


@pytest.mark.parametrize(
    ("names", "column", "say"),
    [
        (
            [f"loss_{e}" for e in EPOCHS],
            "loss_1",
            r"10 columns to loss_10 .* series \(loss_\{epoch",
        ),
        (["ep1-train", "ep2-train", "ep3-train"], "ep1-train", r"series \(ep\{epoch\}-train\)"),
        (["test_acc_5", "test_acc_10"], "test_acc_5", r"ignored \(test_acc_\*\)"),
        (["acc_1.5"], "acc_1.5", "1.5 is no number of epochs"),
        (["acc_-1"], "acc_-1", "-1 is no number of epochs"),
        (["hp_lr"], "hp_lr", "both this column and lr are hp_lr"),
    ],
)
def test_what_may_be_a_series_is_refused(
    tmp_path: Path, names: list[str], column: str, say: str
) -> None:
    table = made().assign(**{name: np.linspace(0, 1, 40) ** 2 for name in names})
    with pytest.raises(DataError, match=rf"t\.csv, column {column}: .*{say}") as error:
        read(tmp_path, table)
    assert "\n" not in str(error.value)


def test_numbered_columns_that_are_declared_are_used(tmp_path: Path) -> None:
    table = made().assign(**{f"units_{i}": np.arange(40) % (i + 2) for i in (1, 2, 3)})
    with pytest.raises(DataError, match=r"units_1: 3 columns to units_3 differ in a number alone"):
        read(tmp_path, table)
    as_layers = read(tmp_path, table, architecture=["units_*"])
    assert settings(as_layers) == ["hp_lr", "hp_opt", "ap_units_1", "ap_units_2", "ap_units_3"]
    for wanted in (["lr", "opt", "units_*"], ["*"]):
        assert len(settings(read(tmp_path, table, hyperparameters=wanted))) == 5
    assert settings(read(tmp_path, table, ignore=["units_*"])) == ["hp_lr", "hp_opt"]
    with pytest.raises(DataError, match=r"column width_\*: the file has no such column"):
        read(tmp_path, table, ignore=["width_*", "units_*"])
    two = made().assign(beta1=0.9, beta2=0.99)
    assert settings(read(tmp_path, two)) == ["hp_lr", "hp_opt", "hp_beta1", "hp_beta2"]


FINAL = made()[ACC[-1]].to_numpy()
BEST = made()[ACC].max(axis=1).to_numpy()
NOISE = np.random.default_rng(0).standard_normal(40)


@pytest.mark.parametrize(
    ("name", "cells", "note"),
    [
        ("value", FINAL, "LEFT OUT, a copy of the end of the curve: value"),
        ("best_val_acc", BEST, "LEFT OUT, a copy of the end of the curve: best_val_acc"),
        ("err", 100 - 100 * BEST, "LEFT OUT, a copy of the end of the curve: err"),
        (
            "rank",
            np.argsort(np.argsort(FINAL)) * 2,
            "LEFT OUT, a copy of the end of the curve: rank",
        ),
        ("test_acc", FINAL + 0.01 * NOISE, "LEFT OUT, a copy of the end of the curve: test_acc"),
        ("started", [f"2026-03-{i % 28 + 1:02d}" for i in range(40)], "dates or times: started"),
        ("at", [f"2026-03-02T10:{i:02d}:00+00:00" for i in range(40)], "dates or times: at"),
        ("_timestamp", 1.7e9 + 3600.5 * NOISE, "dates or times: _timestamp"),
        ("remark", [f"try {i}" for i in range(40)], "free text: remark"),
        ("", 1.5 * NOISE, "a column without a name: (no name)"),
        ("Unnamed: 0", 1.5 * NOISE, "a column without a name: Unnamed: 0"),
        ("number", np.random.default_rng(1).permutation(40), "it counts the rows: number"),
    ],
)
def test_what_can_be_no_setting_is_left_out(
    tmp_path: Path, name: str, cells: object, note: str
) -> None:
    table = made()
    table.insert(1, name, cells)
    curves = read(tmp_path, table)
    assert settings(curves) == ["hp_lr", "hp_opt"]
    (said,) = curves.notes
    assert note in said
    if name:
        declared = ["lr", "opt", name]
        options = {"hyperparameters": declared, "categorical": [name] if name == "remark" else []}
        if name not in ("started", "at"):
            assert f"hp_{name}" in settings(read(tmp_path, table, **options))


def test_what_only_finished_runs_have_is_left_out(tmp_path: Path) -> None:
    table = made().assign(score=NOISE, momentum=NOISE)
    table.loc[30:, [*ACC[5:], "score"]] = np.nan
    table.loc[25:, "momentum"] = np.nan
    curves = read(tmp_path, table)
    # momentum is empty in some finished runs too: a setting that not every run has
    assert settings(curves) == ["hp_lr", "hp_opt", "hp_momentum"]
    assert curves.notes[0] == "LEFT OUT, known of finished runs alone: score"


def test_settings_that_tell_much_stay(tmp_path: Path) -> None:
    table = made().assign(width=np.round(200 * FINAL + 3 * NOISE))
    assert "hp_width" in settings(read(tmp_path, table))
    few = made(6).assign(size=[10, 20, 30, 40, 50, 60])
    few[ACC] = few[ACC].to_numpy() * 0 + np.linspace(0.13, 0.61, 6)[:, None]
    assert "hp_size" in settings(read(tmp_path, few))


def test_an_empty_group_is_no_group(tmp_path: Path) -> None:
    table = made(6).assign(family=["a", "", "a", "NA", "", "b"])
    table.loc[4, ["lr", "opt"]] = table.loc[1, ["lr", "opt"]]
    curves = read(tmp_path, table, group="family")
    assert curves.groups.tolist() == [0, 1, 0, 2, 1, 3]


def test_one_spelling_of_a_boolean(tmp_path: Path) -> None:
    table = made(6).assign(nesterov=["True", "true", "FALSE", "", "false", "TRUE"])
    column = read(tmp_path, table).configs["hp_nesterov"]
    assert column.cat.categories.tolist() == ["False", "True"]
    assert column.isna().tolist() == [False, False, False, True, False, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_epoch": 1.7}, r"first_epoch: .*integer.*1\.7"),
        ({"drop_duplicates": "no"}, "drop_duplicates: .*boolean.*'no'"),
    ],
)
def test_values_of_another_type_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, made(), **options)


def test_sparse_and_huge_epochs_cost_nothing(tmp_path: Path) -> None:
    table = made()
    steps = {f"acc_{e}": f"acc_{e * 10**11}" for e in EPOCHS}
    curves = read(tmp_path, table.rename(columns=steps))
    assert curves.epochs.tolist() == [e * 10**11 for e in EPOCHS]
    assert curves.notes == ()  # the same distance between all
    curves.to_parquet(tmp_path / "c.parquet")
    np.testing.assert_array_equal(
        CurveSet.from_parquet(tmp_path / "c.parquet").values, curves.values
    )
    with pytest.raises(DataError, match=r"column acc_10{30}: an epoch above 1e\+15"):
        read(tmp_path, table.rename(columns={"acc_10": "acc_1" + "0" * 30}))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"run,lr,acc_1\na,s\0,0.1\n", "row 1 .*NUL"), (b"run,lr,acc_1\ra,1,0.1\rb,2,0.2\r", "")],
)
def test_other_line_ends_and_damage(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    if message:
        with pytest.raises(DataError, match=message):
            read_curves(path, "acc_{epoch}", "maximize")
    else:
        assert len(read_curves(path, "acc_{epoch}", "maximize")) == 2
