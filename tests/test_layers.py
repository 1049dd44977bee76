"""Networks as lists of layers: text, configuration, dropout, weights, and spaces."""

from __future__ import annotations

import pytest

from curvecast import layers

TEXT = "[C(64,3,1), P(2,2), FC(128), SM(10)]"


def test_a_network_is_read_and_written() -> None:
    network = layers.parse(TEXT)
    assert network == (("C", (64, 3, 1)), ("P", (2, 2)), ("FC", (128,)), ("SM", (10,)))
    assert layers.text_of(network) == TEXT
    dropped = "[C(64,3,1), D(1,2), SM(10)]"
    assert layers.text_of(layers.parse(dropped)) == dropped


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("C(64,3,1)", "is not a list of layers"),
        ("[]", "is not a list of layers"),
        ("[C(64,3)]", "unknown layer C with 2 arguments"),
        ("[X(1)]", "unknown layer X with 1 arguments"),
    ],
)
def test_what_is_no_network_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        layers.parse(text)


def test_a_configuration_names_each_layer_once() -> None:
    pooled = layers.parse("[C(4,1,1), GAP(10), SM(10)]")
    config = {"n_layers": 1, "layer_1": "C(4,1,1)", "end": "GAP(10)"}
    assert layers.config_of(pooled) == config
    for network in layers.DIGITS.networks():
        assert layers.of_config(layers.config_of(network)) == network


def test_weights_counted_by_hand() -> None:
    network = layers.parse("[C(4,3,1), P(3,2), C(8,1,1), FC(16), FC(8), SM(10)]")
    # 8 x 8 pixels become 3 x 3.
    by_hand = 1 * 4 * 9 + 4 * 8 + 8 * 9 * 16 + 16 * 8
    assert layers.side_after(network[:2], 8) == 3
    assert layers.n_weights(network, 8, 1) == by_hand + 8 * 10
    # Published: the softmax as the layer before it, from 8 units to 8.
    assert layers.n_weights(network, 8, 1, published=True) == by_hand + 8 * 8
    pooled = layers.parse("[C(4,3,1), GAP(10), SM(10)]")
    assert layers.n_weights(pooled, 8, 1) == layers.n_weights(pooled, 8, 1, published=True) == 76


def test_the_rules_of_a_space() -> None:
    space = layers.SMALL

    def kinds(text: str) -> set[str]:
        return {kind for kind, _ in space.actions(layers.parse(text))}

    assert {kind for kind, _ in space.actions(())} == {"C"}
    assert kinds("[C(16,3,1)]") == {"C", "P", "SM", "GAP"}
    assert kinds("[C(16,3,1), P(2,2)]") == {"C", "SM", "GAP"}
    assert kinds("[C(16,3,1), P(3,2)]") == {"C", "FC", "SM", "GAP"}
    assert kinds("[C(16,3,1), P(3,2), FC(64)]") == {"FC", "SM"}
    assert kinds("[C(16,3,1), P(3,2), FC(64), FC(32)]") == {"SM"}
    assert kinds("[C(16,3,1), GAP(10)]") == {"SM"}
    assert ("FC", (128,)) not in space.actions(layers.parse("[C(16,3,1), P(5,3), FC(64)]"))
    deepest = layers.parse("[" + ", ".join(["C(16,1,1)"] * 8) + "]")
    assert {kind for kind, _ in space.actions(deepest)} == {"SM", "GAP"}
    # Two representations of 16 and 8 pixels are in one bucket.
    wide, narrow = layers.parse("[C(16,3,1)]"), layers.parse("[C(16,3,1), P(2,2), C(16,3,1)]")
    assert space.state(wide)[2] == space.state(narrow)[2] == 8
    assert space.holds(layers.parse("[C(16,3,1), P(2,2), C(32,1,1), SM(10)]"))
    assert not space.holds(layers.parse("[C(16,3,1), P(2,2), P(2,2), SM(10)]"))
    assert not space.holds(layers.parse("[C(16,3,1)]"))


def test_a_space_lists_each_network_once() -> None:
    networks = list(layers.DIGITS.networks())
    assert len(networks) == len(set(networks)) == 336
    assert all(map(layers.DIGITS.holds, networks))
