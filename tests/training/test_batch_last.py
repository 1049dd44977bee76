"""The layout with the batch last computes what PyTorch's modules compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from curvecast.training import batch_last, cnn
from curvecast.training.cnn import Layer

RELU, TANH = (Layer("activation", function=name) for name in ("relu", "tanh"))
NORM, HEAD = Layer("batch_norm"), [Layer("flatten"), Layer("dense", 10)]
NETWORKS = {
    "norm, pool": [Layer("conv", 6, 5, 2, 2), NORM, RELU, Layer("max_pool", kernel=3, stride=3)],
    "pool alone": [Layer("conv", 8, 3, 1, 1), TANH, Layer("max_pool", kernel=2, stride=2)],
    "norm alone": [Layer("conv", 6, 2, 1, 1), NORM, RELU],
    "two blocks": [
        Layer("conv", 6, 4, 1, 2), NORM, RELU, Layer("max_pool", kernel=2, stride=2),
        Layer("conv", 9, 3, 3, 0), NORM, TANH,
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pair(layers: list[Layer], seed: int = 0) -> tuple[nn.Sequential, nn.Sequential]:
    """Two equal networks whose batch norms have scales of both signs."""
    network = [*layers, Layer("flatten"), Layer("dense", 20), NORM, RELU, Layer("dense", 10)]
    built = [cnn.build(network, (19, 19), seed) for _ in range(2)]
    with torch.no_grad():
        for module in (m for b in built for m in b if isinstance(m, nn.BatchNorm2d)):
            module.weight[::2] *= -1.5
            module.bias += 0.3
    return built[0], built[1]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("block", [2**19, 700])
def test_outputs_gradients_and_statistics_agree(
    name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_last, "_BLOCK", block)
    theirs, ours = pair(NETWORKS[name])
    torch.manual_seed(1)
    x, target = torch.randn(7, 1, 19, 19), torch.randn(7, 10)
    for _ in range(2):
        expected, found = theirs(x), batch_last.forward(ours, x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        (expected * target).sum().backward()
        (found * target).sum().backward()
    for (key, p), q in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-3, atol=2e-4, msg=key)
    for (key, a), b in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, msg=key)
    theirs.eval()
    ours.eval()
    torch.testing.assert_close(batch_last.forward(ours, x), theirs(x), rtol=1e-4, atol=1e-5)


def test_lower_precision_stays_near() -> None:
    theirs, ours = pair(NETWORKS["two blocks"])
    x = torch.randn(40, 1, 19, 19)
    with torch.no_grad():
        expected, found = theirs(x), batch_last.forward(ours, x, torch.bfloat16)
    assert float((found - expected).abs().mean()) < 0.05 * float(expected.abs().mean())


def test_equal_values_in_a_window_get_one_gradient() -> None:
    x = torch.ones(1, 4, 4, 2, requires_grad=True)
    pooled = batch_last._NormAndPool.apply(x, None, None, None, None, 2)
    pooled.sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == 8
    assert torch.equal(x.grad[0, ::2, ::2], torch.ones(2, 2, 2))


def test_dropout_keeps_the_mean_and_its_rate() -> None:
    torch.manual_seed(0)
    dropped = batch_last._dropped(torch.ones(300, 300), 0.25)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    network = cnn.build([*NETWORKS["norm, pool"][:-1], Layer("dropout", rate=0.5),
                         Layer("max_pool", kernel=2, stride=2), *HEAD], (19, 19), 0)  # fmt: skip
    x = torch.randn(5, 1, 19, 19)
    assert not torch.equal(*(batch_last.forward(network, x) for _ in range(2)))
    network.eval()
    torch.testing.assert_close(batch_last.forward(network, x), network(x), rtol=1e-4, atol=1e-5)
