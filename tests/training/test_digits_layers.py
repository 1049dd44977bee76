"""The generator of the recorded space, and networks made of layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curvecast import layers
from curvecast.training import cnn, digits_layers, images
from curvecast.training.image_training import Recipe, prepare, rate_at


def test_two_networks_become_a_collection() -> None:
    networks = [layers.parse(t) for t in ("[C(4,1,1), SM(10)]", "[C(4,1,1), GAP(10), SM(10)]")]
    curves = digits_layers.train_collection(networks, n_epochs=1)
    assert curves.configs["info_net"].tolist() == [layers.text_of(n) for n in networks]
    assert curves.configs["info_end"].tolist() == ["SM(10)", "GAP(10)"]
    assert curves.configs["ap_num_params"].tolist() == [4 + 2560, 4 + 40]
    assert curves.values.shape == (2, 2)
    assert set(curves.series) == {"val_loss", "train_loss", "train_accuracy"}
    data = prepare(images.digits().share(0.3))
    again = digits_layers.train(networks[0], data, n_epochs=1)
    np.testing.assert_array_equal(again["val_accuracy"], curves.values[0].astype(np.float32))
    assert again["test"] == curves.configs["end_test_accuracy"][0]


@pytest.mark.parametrize(
    "text",
    [
        "[C(4,3,1), C(8,5,1), P(3,2), FC(16), SM(10)]",
        "[C(4,3,1), P(2,2), GAP(10), SM(10)]",
        "[C(4,3,1), SM(10)]",
    ],
)
def test_a_network_has_the_layers_and_weights_of_its_text(text: str) -> None:
    network = layers.parse(text)
    module = cnn.listed(layers.config_of(network), 10, (1, 8, 8))
    weights = sum(p.numel() for name, p in module.named_parameters() if "weight" in name)
    assert weights == layers.n_weights(network, 8, 1)
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    rates = [m.p for m in module if isinstance(m, torch.nn.Dropout)]
    expected = [a[0] / (2 * a[1]) for k, a in layers.with_dropout(network) if k == "D"]
    assert rates == expected


def test_the_rate_falls_to_a_fifth_after_every_quarter() -> None:
    recipe = Recipe(20, 128, 1e-3, "adam", schedule="quarters")
    rates = [rate_at(recipe, epoch / 20) for epoch in (0, 4, 5, 10, 15, 20)]
    assert rates == pytest.approx([1e-3, 1e-3, 2e-4, 4e-5, 8e-6, 8e-6])
