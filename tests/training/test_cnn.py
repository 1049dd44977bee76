"""Networks as lists of layers: shapes, sizes, and what is impossible."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from curvecast.studies.spaces import kuzushiji, usps
from curvecast.training import cnn
from curvecast.training.torch_session import seeded


def layers(image: tuple[int, int, int]) -> cnn.Network:
    network = cnn.Network(image)
    network.convolution(6, 5, stride=2, padding=2)
    network.batch_norm()
    network.activation("tanh")
    network.dropout(0.5)
    network.max_pool(3)
    network.flatten()
    network.dense(32)
    network.batch_norm()
    network.dense(10)
    return network


def test_sizes_by_hand() -> None:
    network = layers((1, 28, 28))
    assert network.shape == (10,)
    assert nn.Sequential(*list(network)[:4])(torch.zeros(2, 1, 28, 28)).shape == (2, 6, 14, 14)
    assert network[6].in_features == 6 * 4 * 4
    assert network.n_parameters == (6 * 26 + 12 + 97 * 32 + 64 + 33 * 10)
    assert network.n_multiplications == 6 * 14 * 14 * 25 + 96 * 32 + 320
    assert network.depth == 3


def test_every_network_of_the_space_computes_or_is_impossible() -> None:
    space = kuzushiji.cnn()
    space.seed(3)
    built = 0
    for drawn in space.sample_configuration(150):
        try:
            with torch.device("meta"):
                sizes = cnn.kuzushiji(dict(drawn), 10, (1, 16, 16))
        except cnn.ImpossibleNetwork:
            continue
        if sizes.n_parameters > 1e6:
            continue
        network = cnn.kuzushiji(dict(drawn), 10, (1, 16, 16)).eval()
        assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
        assert network.n_parameters == sizes.n_parameters
        built += 1
    assert built > 20


def test_impossible_networks_are_named_while_they_are_built() -> None:
    with pytest.raises(cnn.ImpossibleNetwork, match=r"layer 1 \(conv\): a kernel of 5"):
        layers((1, 0, 0))
    with pytest.raises(cnn.ImpossibleNetwork, match=r"layer 5 \(max_pool\)"):
        layers((1, 4, 4))
    config = {**kuzushiji.DEFAULT, "padding_1": 2}
    with pytest.raises(cnn.ImpossibleNetwork, match="padding 2 for kernel 3"):
        cnn.kuzushiji(config, 10, (1, 28, 28))


def channels(network: cnn.Network) -> list[int]:
    return [module.out_channels for module in network if isinstance(module, nn.Conv2d)]


def test_later_channels_are_multiples_of_the_first() -> None:
    config = {
        **kuzushiji.DEFAULT, "n_conv": 2, "channels_1": 12, "channels_2": 64,
        "kernel_2": 3, "padding_2": 0, "stride_2": 1, "pool_2": False,
    }  # fmt: skip
    assert channels(cnn.kuzushiji(config, 10, (1, 28, 28))) == [12, 60]
    config["channels_2"] = 5
    assert channels(cnn.kuzushiji(config, 10, (1, 28, 28))) == [12, 12]


def test_the_reference_network_for_usps() -> None:
    network = cnn.usps(usps.REFERENCE, 10, (1, 16, 16))
    dense = [module.out_features for module in network if isinstance(module, nn.Linear)]
    assert (channels(network), dense) == ([32, 64, 128], [100, 50, 10])
    assert {module.p for module in network if isinstance(module, nn.Dropout)} == {0.25}


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    networks = []
    for seed in (1, 1, 2):
        with seeded(seed):
            networks.append(layers((1, 28, 28)))
    one, two, other = networks
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    ones = torch.ones(50, 8, 16, 16).contiguous(memory_format=torch.channels_last)
    ones.requires_grad_()
    module = cnn.Dropout(0.3)
    with seeded(0):
        out = module(ones)
    assert sorted(set(out.detach().ravel().tolist())) == pytest.approx([0, 1 / 0.7], abs=1e-4)
    share = (out == 0).float()
    assert float(share.mean()) == pytest.approx(0.3, abs=0.005)
    # Every place and every channel alike, and no place with its neighbour.
    for dims in ((0,), (0, 1), (0, 2, 3)):
        n = share.numel() / share.mean(dims).numel()
        assert float(((share.mean(dims) - 0.3) / (0.21 / n) ** 0.5).std()) == pytest.approx(
            1, abs=0.4
        )
    assert abs(float(torch.corrcoef(share.reshape(-1, 2).T)[0, 1])) < 0.02
    out.sum().backward()
    assert torch.equal(ones.grad, out)
    assert module.eval()(ones) is ones
    assert torch.equal(cnn.Dropout(0.0)(ones), ones)
