"""Networks as lists of layers: shapes, sizes, and what is impossible."""

from __future__ import annotations

import pytest
import torch

from curvecast.studies.spaces import kuzushiji, usps
from curvecast.training import cnn
from curvecast.training.cnn import Layer

LAYERS = [
    Layer("conv", 6, 5, 2, 2),
    Layer("batch_norm"),
    Layer("activation", function="tanh"),
    Layer("dropout", rate=0.5),
    Layer("max_pool", kernel=3, stride=3),
    Layer("flatten"),
    Layer("dense", 32),
    Layer("batch_norm"),
    Layer("dense", 10),
]


def test_shapes_and_sizes_by_hand() -> None:
    found = cnn.shapes(LAYERS, (28, 28))
    assert found[1] == (6, 14, 14)
    assert found[5:7] == [(6, 4, 4), (96,)]
    assert found[-1] == (10,)
    assert cnn.n_parameters(LAYERS, (28, 28)) == (6 * 26 + 12 + 97 * 32 + 64 + 33 * 10)
    assert cnn.n_multiplications(LAYERS, (28, 28)) == 6 * 14 * 14 * 25 + 96 * 32 + 320


def test_what_is_computed_is_what_torch_builds() -> None:
    space = kuzushiji.cnn()
    space.seed(3)
    built = 0
    for drawn in space.sample_configuration(150):
        try:
            network = cnn.kuzushiji(dict(drawn), 10)
            shapes = cnn.shapes(network, (16, 16))
        except cnn.ImpossibleNetwork:
            continue
        if cnn.n_parameters(network, (16, 16)) > 1e6:
            continue
        module = cnn.build(network, (16, 16), seed=0).eval()
        assert module(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
        assert shapes[-1] == (10,)
        total = sum(p.numel() for p in module.parameters())
        assert total == cnn.n_parameters(network, (16, 16))
        built += 1
    assert built > 20


def test_impossible_networks_are_told_before_they_are_built() -> None:
    with pytest.raises(cnn.ImpossibleNetwork, match=r"layer 1 \(conv\): a kernel of 5"):
        cnn.shapes(LAYERS[:1], (0, 0))
    with pytest.raises(cnn.ImpossibleNetwork, match=r"layer 5 \(max_pool\)"):
        cnn.shapes(LAYERS, (4, 4))
    config = {**kuzushiji.DEFAULT, "padding_1": 2}
    with pytest.raises(cnn.ImpossibleNetwork, match="padding 2 for kernel 3"):
        cnn.kuzushiji(config, 10)


def test_later_channels_are_multiples_of_the_first() -> None:
    config = {
        **kuzushiji.DEFAULT, "n_conv": 2, "channels_1": 12, "channels_2": 64,
        "kernel_2": 3, "padding_2": 0, "stride_2": 1, "pool_2": False,
    }  # fmt: skip
    units = [layer.units for layer in cnn.kuzushiji(config, 10) if layer.kind == "conv"]
    assert units == [12, 60]
    config["channels_2"] = 5
    units = [layer.units for layer in cnn.kuzushiji(config, 10) if layer.kind == "conv"]
    assert units == [12, 12]


def test_the_reference_network_for_usps() -> None:
    network = cnn.usps(usps.REFERENCE, 10)
    convolutions = [layer.units for layer in network if layer.kind == "conv"]
    dense = [layer.units for layer in network if layer.kind == "dense"]
    assert (convolutions, dense) == ([32, 64, 128], [100, 50, 10])
    assert cnn.shapes(network, (16, 16))[-5][0] == 100
    assert {layer.rate for layer in network if layer.kind == "dropout"} == {0.25}


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (cnn.build(LAYERS, (28, 28), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
