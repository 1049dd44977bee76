from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from curvecast.training import mlp

N_TRAIN, N_FEATURES, N_CLASSES = 90, 6, 3
RUN = mlp.Run(
    widths=(12, 7),
    dropout=(0.0, 0.0),
    batch_size=16,
    learning_rate=0.05,
    momentum=0.8,
    weight_decay=0.01,
    seed=1,
)
DROPPING = replace(RUN, dropout=(0.5, 0.25), seed=2)
LOGGED = [name for name in mlp.SERIES if name != "seconds"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data() -> mlp.Data:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_TRAIN + 40, N_FEATURES)).astype(np.float32)
    y = np.digitize(x[:, 0] * x[:, 1] + x[:, 2], [-0.4, 0.8]).astype(np.int64)
    return mlp.Data(x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:], N_CLASSES)


class _RecordedDropout(torch.nn.Module):
    """Dropout by the bytes that the run's own stream gives."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.level = mlp.drop_level(rate)
        self.bytes = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.bytes >= self.level) * 256 / (256 - self.level) if self.training else x


def _plain_training(data: mlp.Data, run: mlp.Run, n_epochs: int) -> dict[str, np.ndarray]:
    """The same training with torch.nn, torch.optim and autograd, one run and one step at a time."""
    modules: list[torch.nn.Module] = []
    initial = mlp.initial_weights(run, data.n_features, data.n_classes)
    for i, (weight, bias) in enumerate(initial):
        linear = torch.nn.Linear(*weight.shape)
        linear.weight.data = torch.from_numpy(weight.T.copy())
        linear.bias.data = torch.from_numpy(bias)
        modules.append(linear)
        if i < len(initial) - 1:
            modules += [torch.nn.ReLU(), _RecordedDropout(run.dropout[i])]
    net = torch.nn.Sequential(*modules)
    dropouts = [m for m in modules if isinstance(m, _RecordedDropout)]
    optimizer = torch.optim.SGD(
        net.parameters(),
        lr=run.learning_rate,
        momentum=run.momentum,
        weight_decay=run.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_epochs)
    loss_of = torch.nn.CrossEntropyLoss()
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    x_val, y_val = torch.from_numpy(data.x_val), torch.from_numpy(data.y_val)
    orders = mlp.sample_orders(run, len(y))
    bytes_ = mlp.dropout_bytes(run, len(y))
    logs: dict[str, list[float]] = {name: [] for name in LOGGED}
    for epoch in range(n_epochs + 1):
        rate = optimizer.param_groups[0]["lr"]
        if epoch:
            net.train()
            order, drawn = next(orders), torch.from_numpy(next(bytes_))
            for start in range(0, len(y), run.batch_size):
                stop = min(start + run.batch_size, len(y))
                parts = drawn[start:stop].split(list(run.widths), dim=1)
                for dropout, part in zip(dropouts, parts, strict=True):
                    dropout.bytes = part
                optimizer.zero_grad()
                rows = order[start:stop]
                loss_of(net(x[rows]), y[rows]).backward()
                optimizer.step()
            schedule.step()
        net.eval()
        for part, inputs, labels in (("train", x, y), ("val", x_val, y_val)):
            logits = net(inputs)
            hits = (logits.argmax(1) == labels).double()
            recalls = [hits[labels == c].mean().item() for c in range(data.n_classes)]
            logs[f"{part}_cross_entropy"].append(loss_of(logits, labels).item())
            logs[f"{part}_accuracy"].append(hits.mean().item())
            logs[f"{part}_balanced_accuracy"].append(float(np.mean(recalls)))
        optimizer.zero_grad()
        loss_of(net(x[: mlp.PROBE_SIZE]), y[: mlp.PROBE_SIZE]).backward()
        squares = [p.grad.square().sum().item() for p in net.parameters()]
        logs["gradient_norm"].append(float(np.sqrt(sum(squares))))
        logs["learning_rate"].append(rate)
    return {name: np.array(log) for name, log in logs.items()}


@pytest.mark.parametrize(
    "run",
    [
        RUN,
        DROPPING,
        replace(RUN, widths=(), dropout=()),
        replace(RUN, widths=(9,), dropout=(0.9,), batch_size=400),
    ],
    ids=["two hidden layers", "dropout", "linear classifier", "batch of all samples"],
)
def test_equals_plain_torch_training(data, run):
    expected = _plain_training(data, run, 8)
    logs = mlp.train(data, run, 8)
    for name in LOGGED:
        np.testing.assert_allclose(logs[name], expected[name], atol=1e-4, err_msg=name)
    assert expected["train_cross_entropy"][-1] < expected["train_cross_entropy"][0] - 0.01


def test_a_diverged_run_stays_diverged(data):
    logs = mlp.train(data, replace(RUN, learning_rate=1e6), 6)
    assert np.isfinite(logs["val_cross_entropy"][0])
    for part in ("train", "val"):
        assert (logs[f"{part}_cross_entropy"][1:] == np.inf).all()
        assert np.isnan(logs[f"{part}_accuracy"][1:]).all()
    assert np.isnan(logs["gradient_norm"][1:]).all()
    assert np.isfinite(logs["learning_rate"]).all()
    assert np.isfinite(logs["seconds"]).all()


def test_a_run_that_explodes_and_returns_stays_diverged(data):
    """With a limit that only the untrained network exceeds, all epochs count as diverged."""
    untrained, *later = mlp.train(data, RUN, 3)["train_cross_entropy"]
    assert max(later) < untrained
    strict = replace(RUN, loss_limit=(untrained + max(later)) / 2)
    assert (mlp.train(data, strict, 3)["val_cross_entropy"] == np.inf).all()


def test_the_same_call_gives_the_same_bytes(data):
    first, second = mlp.train(data, DROPPING, 4), mlp.train(data, DROPPING, 4)
    for name in LOGGED:
        assert first[name].tobytes() == second[name].tobytes()
        assert first[name].shape == (5,)
    assert (np.diff(first["seconds"]) > 0).all()


def test_other_random_numbers_change_nothing(data):
    first = mlp.train(data, DROPPING, 2)
    torch.manual_seed(7)
    second = mlp.train(data, DROPPING, 2)
    np.testing.assert_array_equal(first["val_cross_entropy"], second["val_cross_entropy"])


def test_a_part_to_test_is_scored(data):
    tested = replace(data, x_test=data.x_train[:20], y_test=data.y_train[:20])
    session = mlp.Perceptron(tested, RUN, 4)
    for _ in range(4):
        session.train_epoch()
    scores = session.scores()
    assert scores["validation"] == session.evaluate()["val_accuracy"]
    assert 0 <= scores["test"] <= 1
    assert set(mlp.Perceptron(data, RUN, 4).scores()) == {"validation"}


def test_funnel_shrinks_linearly_to_the_number_of_classes():
    assert mlp.funnel(100, 4, 10) == (100, 70, 40)
    assert mlp.funnel(64, 2, 10) == (64,)
    assert mlp.funnel(64, 1, 10) == ()
    assert mlp.funnel_dropout(0.9, 4) == pytest.approx((0.9, 0.6, 0.3))
    assert mlp.funnel_dropout(0.05, 3) == (0.0, 0.0)
    assert mlp.funnel_dropout(0.5, 1) == ()


def test_number_of_parameters():
    assert mlp.n_parameters(RUN, 6, 3) == 7 * 12 + 13 * 7 + 8 * 3


def test_cosine_annealing_per_epoch():
    rates = mlp.learning_rates(replace(RUN, learning_rate=0.1), 4)
    half = 0.05 * (1 + np.cos(np.pi / 4))
    np.testing.assert_allclose(rates, [0.1, 0.1, half, 0.05, 0.1 - half])


def test_dropout_drops_the_stated_share_and_keeps_the_mean():
    run = replace(RUN, widths=(400,), dropout=(0.3,))
    bytes_ = next(mlp.dropout_bytes(run, 500))
    level = mlp.drop_level(0.3)
    kept = bytes_ >= level
    assert kept.mean() == pytest.approx(0.7, abs=0.01)
    assert kept.mean() * 256 / (256 - level) == pytest.approx(1, abs=0.01)
    assert mlp.drop_level(1.0) == 255
    assert mlp.drop_level(0.0) == 0


def test_initial_weights_have_the_bounds_of_torch_linear():
    (weight, bias), _ = mlp.initial_weights(replace(RUN, widths=(5000,)), 25, 3)
    assert weight.shape == (25, 5000)
    assert np.abs(weight).max() == pytest.approx(0.2, abs=1e-4)
    assert np.abs(bias).max() == pytest.approx(0.2, abs=1e-3)
    assert weight.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.01)
