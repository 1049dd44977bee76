from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from curvecast import DataError
from curvecast.data import registry as datasets
from curvecast.data.registry import load_registry
from curvecast.files import verify

SHA256 = "sha256:" + "0" * 64


def test_every_stanza_is_complete() -> None:
    registry = load_registry()
    collections = [name.split("/")[0] for name in registry]
    expected = {"baker": 8, "lcbench": 35, "lcbench_full": 35, "taskset": 12}
    assert {kind: collections.count(kind) for kind in expected} == expected
    assert list(registry) == sorted(registry)
    for name, stanza in registry.items():
        assert stanza["licence"], name
        assert stanza["citation"], name
        for file in datasets.files_of(stanza):
            assert file.local or file.urls or file.page, name
            assert file.local or file.checksum, name
            assert all(url.startswith("http") for url in file.urls), name
            assert "{" not in file.path, name
    assert all(
        "fb78f31ce8d2b9f211bf88649a1393af49a1892a" in file.urls[0]
        for name in datasets.expand(["lcbench/*"], registry)
        for file in datasets.files_of(registry[name])
    )


def test_the_registry_is_alphabetical() -> None:
    content = yaml.safe_load(datasets.REGISTRY.read_text())
    names = list(content["datasets"])
    assert names == sorted(names)
    for family in ("lcbench", "taskset"):
        members = list(content["families"][family]["members"])
        assert members == sorted(members, key=str.lower)


def test_a_family_fills_in_its_members() -> None:
    stanza = load_registry()["lcbench_full/numerai28.6"]
    assert (stanza["dataset"], stanza["target"]) == ("numerai28.6", "Train/val_accuracy")
    (file,) = datasets.files_of(stanza)
    assert (file.path, file.checksum) == (
        "lcbench/data_2k_lw.zip",
        "md5:26c8493006358a15ce12041c0bfc12a2",
    )


@pytest.mark.real_data
def test_every_file_of_the_mirror_is_registered_with_its_checksum(mirror: Path) -> None:
    registry = load_registry()
    here = {
        file.path: file
        for stanza in registry.values()
        for file in datasets.files_of(stanza)
        if not file.local and (mirror / file.path).is_file()
    }
    data = [p for p in mirror.rglob("*") if p.suffix in (".csv", ".npz", ".h5", ".gz", ".json")]
    assert sorted(here) == sorted(str(p.relative_to(mirror)) for p in data)
    for path, file in here.items():
        verify(mirror / path, file.checksum)
        assert file.bytes == (mirror / path).stat().st_size


def own(**changes: Any) -> dict[str, Any]:
    stanza = {
        "reader": "table",
        "file": "runs.csv",
        "curve_columns": "acc_{epoch}",
        "direction": "maximize",
    }
    return {"mine/runs": {**stanza, **changes}}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"baker/lstm_ptb": own()["mine/runs"]}, "'baker/lstm_ptb' is in the registry already"),
        (own(typo=1), "'mine/runs': unknown key 'typo'"),
        (own(reader="xls"), "'mine/runs': reader is 'xls'"),
        (own(kind="curve"), "'mine/runs': kind: input should be 'curves' or 'task', not 'curve'"),
        (own(file=None), r"'mine/runs': files\.0: .* not None"),
        (own(file={"url": "http://a/b"}), "neither `path` nor `local`"),
        (own(file={"path": "b.csv", "sha": "1"}), r"files\.0: unknown key 'sha'; known: path"),
        (own(file={"path": "b.csv", "checksum": "md5:12"}), "checksum of b.csv is 'md5:12'"),
        (own(file={"path": "b.csv"}), "checksum of b.csv is ''"),
        (own(file={"path": "../b.csv", "checksum": SHA256}), "leaves the raw folder"),
        ({"mine/runs": {"like": "baker/lstm"}}, "unknown data set 'baker/lstm'; did you mean"),
        ({"mine/runs": {"reader": "table", "direction": "maximize"}}, "'mine/runs': no `file`"),
        ({"../runs": own()["mine/runs"]}, r"'../runs': a name has letters"),
        ({"mine/runs": "runs.csv"}, "'mine/runs': the stanza is 'runs.csv', not a mapping"),
    ],
)
def test_wrong_definitions(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_registry(extra)


def test_like_may_name_a_set_that_is_defined_below_but_goes_in_no_circle() -> None:
    definitions = {
        "a": {"like": "b", "log": []},
        "b": {"like": "c", "metric": "x"},
        "c": {"like": "baker/lstm_ptb", "metric": "y"},
    }
    registry = load_registry(definitions)
    assert (registry["a"]["metric"], registry["c"]["metric"]) == ("x", "y")
    assert registry["a"]["files"] == registry["baker/lstm_ptb"]["files"]
    definitions["c"]["like"] = "a"
    with pytest.raises(DataError, match="data set 'a': unknown data set 'a'"):
        load_registry(definitions)


def test_like_takes_over_and_changes() -> None:
    registry = load_registry(
        {"mine/nets": {"like": "baker/metaqnn_svhn", "architecture": ["num_params", "gap"]}}
    )
    assert registry["mine/nets"]["architecture"] == ["num_params", "gap"]
    assert registry["mine/nets"]["files"] == registry["baker/metaqnn_svhn"]["files"]


def test_a_registry_that_is_no_yaml(tmp_path: Path) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_text("datasets: {a: [")
    with pytest.raises(DataError, match=r"datasets\.yaml: not valid YAML"):
        load_registry(path=path)


def test_a_key_that_stands_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_text("datasets:\n  mine:\n    reader: table\n    reader: baker\n")
    with pytest.raises(DataError, match=r"datasets\.yaml, row 4: the key 'reader' is there twice"):
        load_registry(path=path)


def test_expand_resolves_patterns_in_order() -> None:
    registry = load_registry()
    names = datasets.expand(["lcbench/adult", "lcbench/a*", "baker/lstm_ptb"], registry)
    assert names == ["lcbench/adult", "lcbench/airlines", "lcbench/albert", "baker/lstm_ptb"]
    with pytest.raises(DataError, match="unknown data set 'lcbench/adlt'; did you mean lcbench/ad"):
        datasets.expand(["lcbench/adlt"], registry)
    with pytest.raises(DataError, match="unknown data set 'task/kmnist'"):
        datasets.expand(["task/kmnist"], registry)


def test_params_of_a_rule_hold_no_urls() -> None:
    stanza = datasets.for_reader(load_registry()["lcbench/adult"])
    assert list(stanza["files"][0]) == ["path", "checksum"]
    assert "http" not in str(stanza)
