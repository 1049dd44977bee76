"""The reader of Baker's files on small made-up ones, and each real file against its facts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, features, layers
from curvecast.data import readers
from curvecast.data.readers.baker import network_columns, resnet_parameters
from curvecast.data.registry import files_of, load_registry

REGISTRY = load_registry()
NETS = """net,training_dataset,num_params,depth,lr,acc_1,acc_2
"[C(64,3,1), P(2,2), SM(10)]",toy,1728,3,0.001,.1,.2
"[C(64,1,1), C(128,3,1), D(1,2), P(3,2), P(5,3), D(2,2), FC(256), GAP(9), SM(9)]",toy,9,7,4e-4,.2,.3
"[C(64,3,1), P(2,2), SM(10)]",toy,1728,3,0.001,.3,.4
"[C(64,3,1), P(2,2), SM(10)]",toy,1728,3,0.001,.1,.2
"""


def stanza(name: str, path: Path, **changes: Any) -> dict[str, Any]:
    return {**REGISTRY[name], "files": [{"local": str(path)}], **changes}


def read_text(folder: Path, text: str, name: str = "metaqnn_svhn", **changes: Any) -> CurveSet:
    path = folder / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    return readers.read(f"baker/{name}", stanza(f"baker/{name}", path, **changes), [path])


def test_networks_become_columns(tmp_path: Path) -> None:
    curves = read_text(tmp_path, NETS)
    assert curves.configs["id"].tolist() == ["1", "2", "3"]
    assert curves.groups.tolist() == [0, 1, 0]
    assert curves.notes == (
        "1 rows that equal an earlier one in every cell dropped",
        "1 runs repeat a configuration and share its group",
    )
    expected = {
        "ap_num_params": 9,
        "ap_depth": 7,
        "hp_lr": 0.0004,
        "info_conv_layers": 2,
        "info_pool_layers": 2,
        "info_dropout_layers": 2,
        "info_fc_layers": 1,
        "info_gap": 1,
        "info_filters_mean": 96,
        "info_filters_max": 128,
        "info_kernel_mean": 2,
        "info_pool_kernel_mean": 4,
        "info_pool_stride_product": 6,
        "info_fc_units": 256,
        "info_dropout_max": 0.5,
    }
    assert curves.configs.drop(columns=["id", "group"]).loc[1].to_dict() == expected
    assert curves.configs["info_dropout_max"].tolist() == [0, 0.5, 0]
    assert curves.log_columns == ("hp_lr", "ap_num_params")


def test_only_listed_columns_become_features(tmp_path: Path) -> None:
    published = features.build(read_text(tmp_path, NETS), [1])[1]
    assert [c for c in published if c.startswith("ap_")] == ["ap_num_params", "ap_depth"]
    more = read_text(tmp_path, NETS, architecture=["num_params", "depth", "gap"])
    assert "ap_gap" in features.build(more, [1])[1]
    assert "info_gap" not in more.configs
    with pytest.raises(DataError, match="column width: the file has no such column"):
        read_text(tmp_path, NETS, architecture=["num_params", "depth", "width"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("C(64,3,1)", "is not a list of layers"),
        ("[]", "is not a list of layers"),
        ("[C(64,3,1), P(2,2)", "is not a list of layers"),
        ("[C(64,3)]", "unknown layer C with 2 arguments"),
        ("[LSTM(10)]", "unknown layer LSTM with 1 arguments"),
    ],
)
def test_wrong_networks_are_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=rf"row 2 \(header not counted\), column net: .*{problem}"):
        read_text(tmp_path, re.sub(r"\[C\(64,1,1\).*SM\(9\)\]", text, NETS))
    with pytest.raises(DataError, match="column net: the file has no such column"):
        read_text(tmp_path, NETS.replace("net,", "network,", 1))


def test_resnet_parameters_counted_by_hand() -> None:
    # One block per stage, f = 2, k = 3: convolutions 3-2, 2-2, 2-2, 2-4, 4-4, 4-8, 8-8 channels.
    channels = [(3, 2), (2, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8)]
    by_hand = sum(9 * a * b + 2 * b for a, b in channels) + 8 * 200 + 200
    one = np.array([1.0])
    assert resnet_parameters(one, 2 * one, 3 * one, 200).tolist() == [by_hand]
    # He et al. (2016, table 6): ResNet-20 has 0.27 M parameters, ResNet-110 has 1.7 M.
    counts = resnet_parameters(np.array([3.0, 18.0]), np.array([16.0, 16.0]), np.full(2, 3.0), 10)
    np.testing.assert_allclose(counts / 1e6, [0.27, 1.73], atol=0.005)


def test_only_the_last_epoch_is_published(tmp_path: Path) -> None:
    # The two cudaconvnet files: every column but the curve is a hyper-parameter.
    head = "base_model,training_dataset,lr,c1_l2,acc_{},acc_{},acc_{}\n"
    rows = "cc,svhn,0.1,1e-5,.1,.2,.3\ncc,svhn,0.01,1e-3,.2,.3,.4\n"
    for numbers, epochs in (((0, 1, 2), [0, 1, 2]), ((1, 2, 3), [0, 1, 2])):
        curves = read_text(tmp_path, head.format(*numbers) + rows, "cudaconvnet_svhn", last_epoch=2)
        assert curves.epochs.tolist() == epochs
        assert list(curves.configs.columns) == ["id", "group", "hp_lr", "hp_c1_l2"]
        assert curves.log_columns == ("hp_c1_l2",)
    curves = read_text(tmp_path, head.format(0, 1, 2) + rows, "cudaconvnet_svhn", last_epoch=3)
    assert curves.epochs.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="columns 0 to 2 do not end at epoch 12"):
        read_text(tmp_path, head.format(0, 1, 2) + rows, "cudaconvnet_svhn")


def read_real(name: str, mirror: Path) -> CurveSet:
    stanza = REGISTRY[name]
    return readers.read(name, stanza, [mirror / file.path for file in files_of(stanza)])


# runs in the file, exact duplicates, runs that repeat a configuration, first and last epoch
FACTS = {
    "baker/alexnet_imagenet": (974, 0, 0, 0, 500),
    "baker/deep_resnets_cifar10": (486, 0, 0, 1, 50),
    "baker/deep_resnets_tinyimagenet": (684, 33, 36, 0, 140),
    "baker/lstm_ptb": (280, 0, 0, 1, 60),
    "baker/metaqnn_cifar10": (1000, 0, 0, 1, 20),
    "baker/metaqnn_svhn": (1300, 0, 0, 1, 20),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", FACTS)
def test_real_files_hold_what_is_known_of_them(name: str, mirror: Path) -> None:
    n_rows, n_duplicates, n_repeated, first, last = FACTS[name]
    curves = read_real(name, mirror)
    assert len(curves) == n_rows - n_duplicates
    assert len(curves) - len(np.unique(curves.groups)) == n_repeated
    assert curves.epochs.tolist() == list(range(first, last + 1))
    minimized = name == "baker/lstm_ptb"
    assert curves.direction == ("minimize" if minimized else "maximize")
    assert curves.metric == f"validation {'perplexity' if minimized else 'accuracy'}"
    assert np.isfinite(curves.values).all()
    assert minimized or (curves.values.min() >= 0 and curves.values.max() <= 1)
    assert curves.name == name
    notes = [f"{n_duplicates} rows that equal an earlier one in every cell dropped"]
    notes += [f"{n_repeated} runs repeat a configuration and share its group"]
    assert list(curves.notes) == (notes if n_duplicates else [])


@pytest.mark.real_data
def test_real_networks_are_read_right(mirror: Path) -> None:
    path = mirror / "baker" / "metaqnn_cifar10.csv"
    curves = read_real("baker/metaqnn_cifar10", mirror)
    texts = pd.read_csv(path)["net"]
    # `depth` counts every layer but dropout.
    configs = curves.configs
    counted = sum(configs[f"info_{kind}"] for kind in ("conv_layers", "pool_layers", "fc_layers"))
    np.testing.assert_array_equal(counted + configs["info_gap"] + 1, configs["ap_depth"])
    assert network_columns(texts, path)["gap"].sum() == 297


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["metaqnn_cifar10", "metaqnn_svhn"])
def test_every_real_network_is_written_back_and_its_weights_are_counted(
    name: str, mirror: Path
) -> None:
    table = pd.read_csv(mirror / "baker" / f"{name}.csv")
    space = layers.CIFAR10 if name == "metaqnn_cifar10" else layers.SVHN
    for text, given in zip(table["net"], table["num_params"], strict=True):
        network = layers.parse(text)
        assert layers.text_of(network) == text
        assert layers.n_weights(network, 32, 3, published=True) == given
        plain = tuple(layer for layer in network if layer[0] != "D")
        assert layers.with_dropout(plain) == network
        assert space.holds(plain)


@pytest.mark.real_data
def test_real_facts_in_detail(mirror: Path) -> None:
    resnets = read_real("baker/deep_resnets_cifar10", mirror)
    assert resnets.values[:, 0].min() > 0.15
    assert resnets.values[:, 0].max() < 0.35
    # The learning rate drops at epoch 30: the largest gain after the first epochs is there.
    gains = np.median(np.diff(resnets.values[:, 10:], axis=1), axis=0)
    assert resnets.epochs[11:][np.argmax(gains)] == 30

    tiny = read_real("baker/deep_resnets_tinyimagenet", mirror)
    assert (tiny.final < 0.01).sum() == 9  # of the 14 in the file, 5 are exact duplicates
    assert tiny.values[:, 0].max() < 0.01  # untrained: 200 classes
    assert sorted(set(tiny.configs["ap_depth"])) == [6 * n + 2 for n in range(1, 18)]
    first = tiny.configs.iloc[0]
    n, f, k = first[["info_num_blocks", "info_num_filters", "info_filter_size"]].astype(float)
    assert first["ap_num_params"] == resnet_parameters(n, f, k, 200)
    assert tiny.log_columns == ("ap_num_params",)

    lstm = read_real("baker/lstm_ptb", mirror)
    assert (lstm.values[:, 0].min(), lstm.values[:, 0].max()) == (272.2, 873.0)
    assert list(lstm.configs.columns[2:]) == ["ap_n_layer", "ap_n_inputs", "hp_base_lr", "hp_ss"]

    alexnet = read_real("baker/alexnet_imagenet", mirror)
    assert alexnet.log_columns == ("hp_lr",)
    assert alexnet.values[:, 0].max() < 0.002  # untrained: 1000 classes
