"""The networks: exact shapes, layers against torch's own, and what the ensemble promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from curvecast import CurveSet, DataError, make_predictor
from curvecast.curves import concat
from curvecast.predictors import _batched_layers as layers
from curvecast.predictors import networks
from curvecast.predictors._network_inputs import Steps, thin

MODELS = ("cnn", "lstm", "cnn_lstm")
SMALL = {"epochs": 60, "members": 3}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def curves(make_curves: Callable[..., CurveSet]) -> CurveSet:
    return make_curves(n=160, noise=0.004, seed=11)


def fit_predict(name: str, curves: CurveSet, tau: int = 6, n_train: int = 60, **options):
    train = curves.take(np.arange(n_train))
    test = curves.take(np.arange(n_train, len(curves)))
    model = make_predictor(name, seed=3, **{**SMALL, **options})
    return model.fit(train, taus=[tau]).predict(test, tau=tau)


def test_singhs_shapes() -> None:
    """Ten values and seven settings; the counts are those of the layers' definitions."""
    static, values = torch.randn(1, 4, 7), torch.randn(1, 4, 10)
    wanted = {
        layers.SinghCNN(3, 7, 10, [64]): 64 * 2 + 64 + 15 * 64 + 1,
        # best of Singh's BOHB study
        layers.SinghCNN(3, 7, 10, [40, 38]): 120 + 38 * 80 + 38 + 13 * 38 + 1,
        layers.SinghLSTM(3, 7, 10, (None, 100, 1)): 400 * (1 + 100 + 2) + 17 * 100 + 1,
        layers.SinghLSTM(3, 7, 10, (None, 94, 2)): 376 * (97 + 190) + 17 * 94 + 1,
        layers.SinghLSTM(3, 7, 10, (16, 128, 1)): 32 + 512 * 131 + 1281,
    }
    for network, count in wanted.items():
        assert sum(parameter[0].numel() for parameter in network.parameters()) == count
        assert network(static, values).shape == (3, 4, 1)


def test_the_convolution_of_seven_settings_is_the_state_of_128_units_without_a_map() -> None:
    start = layers.StaticConvolution(2, 7, 16, 128)
    assert isinstance(start.map, torch.nn.Identity)
    assert start(torch.randn(1, 5, 7)).shape == (2, 5, 128)
    assert layers.StaticConvolution(2, 3, 16, 128)(torch.randn(1, 5, 3)).shape == (
        2,
        5,
        128,
    )


def test_lstm_is_torchs_lstm_for_every_member() -> None:
    ours = layers.LSTM(3, 4, 6, 2)
    x, start = torch.randn(1, 5, 7, 4), torch.randn(3, 5, 6)
    hidden = ours(x, start)
    for member in range(3):
        theirs = torch.nn.LSTM(4, 6, 2, batch_first=True)
        for layer in range(2):
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                parameter = getattr(ours, kind)[layer][member].detach()
                getattr(theirs, f"{kind}_l{layer}").data = parameter.T.squeeze(-1).contiguous()
        h0 = torch.stack([start[member], torch.zeros(5, 6)])
        expected = theirs(x[0], (h0, torch.zeros(2, 5, 6)))[0]
        torch.testing.assert_close(hidden[member], expected, rtol=1e-5, atol=1e-6)


def test_convolution_and_pooling_are_torchs() -> None:
    ours = layers.Conv1d(2, 3, 5, 2, padding=(1, 1))
    x = torch.randn(1, 4, 6, 3)
    out = layers.max_pool(ours(x))
    for member in range(2):
        theirs = torch.nn.Conv1d(3, 5, 2, padding=1)
        weight = ours.linear.weight[member].detach().view(2, 3, 5)
        theirs.weight.data = weight.permute(2, 1, 0).contiguous()
        theirs.bias.data = ours.linear.bias[member, 0].detach()
        pooled = torch.nn.functional.max_pool1d(theirs(x[0].transpose(1, 2)), 2, stride=1)
        torch.testing.assert_close(out[member], pooled.transpose(1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_outputs_of_causal_networks_ignore_later_steps(kind: str) -> None:
    network = {
        "cnn": lambda: layers.CausalCNN(2, 3, 4, [8, 8]),
        "lstm": lambda: layers.CausalLSTM(2, 3, 4, (None, 8, 1)),
        "cnn_lstm": lambda: layers.CausalLSTM(2, 3, 4, (6, 8, 1)),
    }[kind]()
    torch.nn.init.normal_(network.head.out.weight)
    static, channels = torch.randn(1, 5, 3), torch.randn(1, 5, 9, 4)
    changed = channels.clone()
    changed[:, :, 6:] = 1e3
    before, after = network(static, channels), network(static, changed)
    assert before.shape == (2, 5, 9)
    torch.testing.assert_close(before[..., :6], after[..., :6], rtol=0, atol=0)
    assert (before[..., 6:] != after[..., 6:]).any()


def test_a_member_does_not_learn_from_runs_that_it_leaves_out() -> None:
    x, y = torch.randn(20, 3), torch.randn(2, 20, 1)
    weight = torch.ones(2, 20)
    weight[0, :5] = 0
    fitted = []
    for change in (0.0, 10.0):
        torch.manual_seed(1)
        network = layers.Linear(2, 3, 1)
        target = y.clone()
        target[:, :5] += change
        layers.train(
            network,
            (x,),
            target,
            weight,
            epochs=40,
            lr=0.05,
            optimizer="Adam",
        )
        fitted.append(network.weight.detach())
    torch.testing.assert_close(fitted[0][0], fitted[1][0], rtol=0, atol=0)
    assert (fitted[0][1] - fitted[1][1]).abs().max() > 0.1


@pytest.mark.parametrize("optimizer", layers.OPTIMIZERS)
def test_training_finds_the_least_squares_solution(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = partial(layers.OPTIMIZERS[optimizer], weight_decay=0.0)
    monkeypatch.setitem(layers.OPTIMIZERS, optimizer, plain)
    monkeypatch.setattr(layers, "BATCH_SIZE", 25)
    x = torch.randn(50, 2)
    target = (x @ torch.tensor([[1.0], [-2.0]]) + 0.5).expand(3, -1, -1)
    network = layers.Linear(3, 2, 1)
    layers.train(
        network,
        (x,),
        target,
        torch.ones(3, 50),
        epochs=150,
        lr=0.05,
        optimizer=optimizer,
    )
    solution = torch.tensor([[1.0], [-2.0]]).expand(3, -1, -1)
    torch.testing.assert_close(network.weight.detach(), solution, rtol=0, atol=0.02)
    torch.testing.assert_close(network.bias.detach(), torch.full((3, 1, 1), 0.5), rtol=0, atol=0.02)


def test_lines_are_least_squares_over_the_runs_that_a_member_sees() -> None:
    values = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0], [9.0, 5.0]])
    y = np.array([3.0, 5.0, 9.0, -7.0])
    sees = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    lines = networks.Lines.of(values, y, sees)
    np.testing.assert_allclose(lines.slope[0], [2.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(lines.shift[0], [1.0, 17 / 3])
    np.testing.assert_allclose(lines.scale[1, 1], y.std())
    slope, shift = np.polyfit(values[:, 0], y, 1)
    np.testing.assert_allclose([lines.slope[1, 0], lines.shift[1, 0]], [slope, shift])
    wanted = lines.targets(values, y)
    np.testing.assert_allclose(lines.level(wanted[:, :, 0], values[:, 0], 0)[1], y)


def test_thinned_positions_hold_every_tau_and_grow_apart() -> None:
    positions = thin(400, 16, [50, 100, 125])
    assert {0, 50, 100, 125, 400} <= set(positions)
    assert len(positions) <= 20
    assert (np.diff(positions) > 0).all()
    np.testing.assert_array_equal(thin(3, 16, [1]), [0, 1, 2, 3])


def test_steps_hold_ends_means_and_changes(make_curves: Callable[..., CurveSet]) -> None:
    curves = make_curves(n=9, last_epoch=6)
    curves.values[:] = np.arange(9)[:, None] + np.array([0.0, 1, 2, 4, 8, 16])
    curves.values[4, 3:] = np.nan
    curves.values[2, :2] = np.nan
    steps = Steps.of(curves, np.array([0, 2, 5]))
    values = steps.values(curves)
    np.testing.assert_array_equal(values[3], [3, 5, 19])
    np.testing.assert_array_equal(values[4], [4, 6, 6])
    assert values[2, 0] == np.median(np.delete(np.arange(9), 2))
    channels = steps.channels(curves)
    assert channels.shape == (9, 3, 5)
    assert np.isfinite(channels).all()
    first = steps.until(2)
    np.testing.assert_array_equal(first.channels(curves), channels[:, :2])
    np.testing.assert_array_equal(first.channels(curves.hide_after(3)), channels[:, :2])


@pytest.mark.parametrize("name", MODELS)
def test_one_training_serves_all_taus(name: str, curves: CurveSet) -> None:
    train, test = curves.take(np.arange(100)), curves.take(np.arange(100, 160))
    model = make_predictor(name, seed=0, epochs=100, members=3)
    model.fit(train, taus=[1, 3, 6, 12])
    y = test.final
    r2 = []
    for tau in (1, 3, 6, 12):
        p = model.predict(test, tau=tau)
        r2.append(1 - np.mean((y - p.mean) ** 2) / y.var())
        assert 0.6 < np.mean(np.abs(y - p.mean) < 1.2816 * p.std) <= 1
    last_value = 1 - np.mean((y - test.values[:, 5]) ** 2) / y.var()
    assert last_value < 0.1
    assert r2[0] > 0.3
    assert min(r2[2:]) > 0.8
    assert model.diagnostics()["held_out_r2"] == pytest.approx(np.mean(r2), abs=0.2)


@pytest.mark.parametrize("name", MODELS)
def test_singhs_form_learns(name: str, curves: CurveSet) -> None:
    options = {"num_filters_1": 16} if name == "cnn" else {"num_hidden_neurons": 16}
    p = fit_predict(name, curves, n_train=100, causal=False, epochs=150, **options)
    y = curves.final[100:]
    assert 1 - np.mean((y - p.mean) ** 2) / y.var() > 0.6


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_bytes_and_nothing_after_tau_is_seen(name: str, curves: CurveSet) -> None:
    p = fit_predict(name, curves)
    changed = curves.take(np.arange(160))
    rng = np.random.default_rng(0)
    changed.values[60:, 6:] = 1e3 * rng.standard_normal((100, 14))
    changed.values[:60, 6:-1] = rng.standard_normal((60, 13))
    q = fit_predict(name, changed)
    assert p.mean.tobytes() == q.mean.tobytes()
    assert p.std.tobytes() == q.std.tobytes()
    assert (fit_predict(name, curves, epochs=61).mean != p.mean).any()


@pytest.mark.parametrize("name", MODELS)
def test_change_of_unit(name: str, curves: CurveSet) -> None:
    """A power of two leaves standardised numbers as they are, bit by bit."""
    options = {"epochs": 25}
    p = fit_predict(name, curves, **options)
    q = fit_predict(name, replace(curves, values=2 * curves.values), **options)
    np.testing.assert_array_equal(q.mean, 2 * p.mean)
    np.testing.assert_array_equal(q.std, 2 * p.std)
    q = fit_predict(name, replace(curves, values=40 + 30 * curves.values), **options)
    tolerance = 0.05 * float(p.std.mean())
    np.testing.assert_allclose((q.mean - 40) / 30, p.mean, rtol=0, atol=tolerance)
    np.testing.assert_allclose(q.std / 30, p.std, rtol=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_constant_target_is_predicted_without_spread(name: str, curves: CurveSet) -> None:
    curves.values[:, -1] = 0.7
    p = fit_predict(name, curves)
    np.testing.assert_allclose(p.mean, 0.7, rtol=1e-12)
    np.testing.assert_array_equal(p.std, 0.0)


@pytest.mark.parametrize("name", MODELS)
def test_diverged_runs_and_gaps(name: str, curves: CurveSet) -> None:
    options = {**SMALL, "epochs": 25}
    curves.values[::7, 0] = np.nan
    curves.values[3, 2:5] = np.inf
    reference = make_predictor(name, **options).fit(curves.take(np.arange(60)), taus=[1, 6])
    extra = curves.take([1, 2, 4, 5])
    extra.values[:, 4:] = [[np.inf], [np.inf], [-np.inf], [np.inf]]
    extra.configs["id"] = [f"broken{i}" for i in range(4)]
    model = make_predictor(name, **options)
    model.fit(concat([curves.take(np.arange(60)), extra]), taus=[1, 6])
    np.testing.assert_array_equal(
        model.predict(curves, tau=6).mean, reference.predict(curves, tau=6).mean
    )
    p = model.predict(extra, tau=6)
    assert np.isfinite(p.mean).all()
    assert np.isfinite(p.std).all()
    with pytest.raises(DataError, match="too early for a prediction at epoch 1"):
        model.predict(curves, tau=1)
    with pytest.raises(DataError, match="not fitted for tau 3"):
        model.predict(curves, tau=3)


def test_further_series_are_read_and_asked_for(curves: CurveSet) -> None:
    """The final value is announced by a series alone."""
    rng = np.random.default_rng(1)
    final = rng.standard_normal(160)
    values = rng.standard_normal(curves.values.shape)
    values[:, -1] = final
    loss = np.repeat(final[:, None], values.shape[1], axis=1)
    told = replace(curves, values=values, series={"loss": loss, "seconds": np.cumsum(loss, axis=1)})
    p = fit_predict("cnn", told, n_train=100, epochs=100)
    assert 1 - np.mean((final[100:] - p.mean) ** 2) / final[100:].var() > 0.8
    model = make_predictor("cnn", epochs=1, members=2).fit(told.take(np.arange(50)), taus=[2])
    with pytest.raises(DataError, match="loss"):
        model.predict(curves, tau=2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cnn", {"members": 1}, "at least 2"),
        ("cnn", {"num_conv_layers": 3}, "not 1 or 2"),
        ("lstm", {"optimizer": "LBFGS"}, "Adam, SGD"),
    ],
)
def test_unknown_options(name: str, options: dict, message: str, curves: CurveSet) -> None:
    with pytest.raises(DataError, match=message):
        fit_predict(name, curves, **options)


def test_too_few_numbers_for_singhs_convolutions(curves: CurveSet) -> None:
    bare = replace(curves, configs=curves.configs[["id", "group"]], log_columns=())
    with pytest.raises(DataError, match="too few"):
        fit_predict("cnn", bare, tau=2, causal=False)
    p = fit_predict("lstm", bare, tau=1, causal=False, epochs=5, num_hidden_neurons=4)
    assert np.isfinite(p.mean).all()


def test_torch_is_not_imported_by_the_registry() -> None:
    code = (
        "import sys; from curvecast.predictors import module_of; module_of('lstm'); "
        "module_of('lcnet'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(networks.__file__).rsplit("/curvecast/", 1)[0]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_singhs_form_learns_from_inputs_between_zero_and_one_too(curves: CurveSet) -> None:
    options = {"causal": False, "num_filters_1": 16, "epochs": 150}
    p = fit_predict("cnn", curves, n_train=100, scaling="minmax", **options)
    y = curves.final[100:]
    assert 1 - np.mean((y - p.mean) ** 2) / y.var() > 0.6
    assert (fit_predict("cnn", curves, n_train=100, **options).mean != p.mean).all()
    with pytest.raises(DataError, match="a causal network has its own"):
        make_predictor("cnn", scaling="minmax")
    with pytest.raises(DataError, match="scaling is 'max', not one of standard, minmax"):
        make_predictor("cnn", scaling="max", causal=False)


def test_fitting_leaves_torchs_own_stream_alone(curves: CurveSet) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_predictor("cnn", epochs=1, members=2).fit(curves.take(np.arange(20)), [2])
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
