"""lcnet: its basis functions, sampler and closed forms, and what every predictor promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from curvecast import CurveSet, DataError, make_predictor
from curvecast.curves import concat
from curvecast.predictors import lcnet

SMALL = {"chains": 3, "epochs": 200, "burn_in": 30, "samples": 2, "every": 10}


@pytest.fixture
def curves(make_curves: Callable[..., CurveSet]) -> CurveSet:
    return make_curves(n=160, noise=0.004, seed=11)


def fit_predict(curves: CurveSet, tau: int = 6, n_train: int = 60, **options):
    train = curves.take(np.arange(n_train))
    test = curves.take(np.arange(n_train, len(curves)))
    model = make_predictor("lcnet", seed=3, **{**SMALL, **options})
    return model.fit(train, taus=[tau]).predict(test, tau=tau)


def test_basis_functions_vanish_at_the_end_and_stay_finite() -> None:
    theta = torch.rand(200, 8, generator=torch.Generator().manual_seed(0))
    theta = torch.cat([theta, torch.zeros(1, 8), torch.ones(1, 8)])
    t = torch.tensor([1 / 500, 0.1, 0.5, 1.0])
    phi = lcnet.basis(theta, t)
    assert phi.shape == (202, 4, 5)
    torch.testing.assert_close(phi[:, -1], torch.zeros(202, 5), rtol=0, atol=1e-6)
    assert phi.abs().max() < 5
    assert (phi[:, 1:, 1:].diff(dim=1) > 0).all()


def test_a_basis_function_is_what_its_name_says() -> None:
    low, high = np.log(np.array(lcnet.RANGES))
    theta = torch.full((1, 8), 0.5)
    b, c, power, center, slope, rate, k, n = np.exp(low + 0.5 * (high - low))
    t = 0.3
    expected = [
        np.exp(-b / t - c * np.log(t)) - np.exp(-b),
        t**power - 1,
        1 / (1 + (t / center) ** -slope) - 1 / (1 + center**slope),
        np.exp(-rate) - np.exp(-rate * t),
        t**n / (k**n + t**n) - 1 / (k**n + 1),
    ]
    phi = lcnet.basis(theta, torch.tensor([t]))
    np.testing.assert_allclose(phi[0, 0].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_sampler_has_the_mean_and_variance_of_a_gaussian() -> None:
    class Point(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = torch.nn.Parameter(torch.full((400,), 2.0))

    torch.manual_seed(0)
    states = lcnet.sample(
        Point(),
        lambda network: (0.5 * ((network.x - 2.0) / 0.5) ** 2).sum(),
        burn_in=300,
        keep=20,
        every=50,
    )
    x = torch.cat([state["x"] for state in states])
    assert float(x.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(x.std()) == pytest.approx(0.5, rel=0.15)


def test_deviations_are_recovered_and_their_posterior_is_that_of_linear_regression() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6)) * 0.5
    covariance, noise = root @ root.T + 0.1 * np.eye(6), 0.04
    phi = rng.standard_normal((3000, 12, 6))
    delta = rng.multivariate_normal(np.zeros(6), covariance, size=3000)
    r = np.einsum("ktp,kp->kt", phi, delta) + np.sqrt(noise) * rng.standard_normal((3000, 12))
    gram = np.einsum("ktp,ktq->kpq", phi, phi)
    moment = np.einsum("ktp,kt->kp", phi, r)
    fitted = lcnet.Deviations.of(gram, moment, (r**2).sum(axis=1), np.full(3000, 12.0))
    assert fitted.noise == pytest.approx(noise, rel=0.05)
    np.testing.assert_allclose(fitted.covariance, covariance, atol=0.15 * covariance.max())
    known = lcnet.Deviations(covariance, noise)
    mean, spread = known.posterior(gram[0], moment[0])
    marginal = phi[0] @ covariance @ phi[0].T + noise * np.eye(12)
    gain = covariance @ phi[0].T @ np.linalg.inv(marginal)
    np.testing.assert_allclose(mean, gain @ r[0], rtol=1e-8)
    np.testing.assert_allclose(spread, covariance - gain @ phi[0] @ covariance, atol=1e-10)


def test_the_first_coefficient_alone_is_that_of_all() -> None:
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(3, 5, 9, 6))
    gram, moment = phi.swapaxes(-1, -2) @ phi, rng.normal(size=(3, 5, 6))
    deviations = lcnet.Deviations(0.5 * np.eye(6) + 0.1, 0.3)
    mean, covariance = deviations.posterior(gram, moment)
    first, variance = deviations.posterior_of_first(gram, moment)
    np.testing.assert_allclose(first, mean[..., 0])
    np.testing.assert_allclose(variance, covariance[..., 0, 0])


def test_potential_is_the_negative_log_posterior_on_the_full_batch() -> None:
    torch.manual_seed(0)
    network = lcnet.CurveNetwork(2, 3)
    static, t = torch.randn(5, 3), torch.tensor([0.2, 0.6, 1.0])
    z = torch.randn(5, 3)
    z[1, 1] = torch.nan
    sees = torch.tensor([[1.0, 1, 1, 1, 0], [0.0, 1, 1, 1, 1]])
    potential = lcnet.Potential(static, z, t, sees)
    out = network(static.unsqueeze(0))
    phi = lcnet.design(out, t)
    f = torch.einsum("crtk,crk->crt", phi, out[..., :6])
    variance = network.log_variance.exp()[:, :, None]
    density = torch.distributions.Normal(f, variance.sqrt()).log_prob(torch.nan_to_num(z))
    half_log_tau = 0.5 * np.log(2 * np.pi)
    seen = sees[:, :, None] * torch.isfinite(z)
    expected = -((density + half_log_tau) * seen).sum()
    weights = [p for name, p in network.named_parameters() if name != "log_variance"]
    expected = expected + sum(0.5 * (p**2).sum() for p in weights)
    torch.testing.assert_close(potential(network), expected, rtol=1e-5, atol=1e-4)


def test_one_training_serves_all_taus(curves: CurveSet) -> None:
    train, test = curves.take(np.arange(100)), curves.take(np.arange(100, 160))
    model = make_predictor("lcnet", seed=0, **SMALL).fit(train, taus=[1, 6, 12])
    y = test.final
    r2 = {}
    for tau in (1, 6, 12):
        p = model.predict(test, tau=tau)
        r2[tau] = 1 - np.mean((y - p.mean) ** 2) / y.var()
        assert 0.5 < np.mean(np.abs(p.cdf(y) - 0.5) < 0.4) <= 1
    assert 1 - np.mean((y - test.values[:, 5]) ** 2) / y.var() < 0.1
    assert r2[6] > 0.6
    assert r2[12] > 0.5
    assert np.isfinite(model.diagnostics()["log_noise"])


def test_same_seed_same_bytes_and_nothing_after_tau_is_seen(curves: CurveSet) -> None:
    p = fit_predict(curves)
    changed = curves.take(np.arange(160))
    changed.values[60:, 6:] = 1e3 * np.random.default_rng(0).standard_normal((100, 14))
    q = fit_predict(changed)
    assert p.mean.tobytes() == q.mean.tobytes()
    assert p.std.tobytes() == q.std.tobytes()
    assert (fit_predict(curves, epochs=201).mean != p.mean).any()


def test_a_prediction_does_not_depend_on_the_other_test_runs(curves: CurveSet) -> None:
    model = make_predictor("lcnet", **{**SMALL, "epochs": 20}).fit(curves.take(np.arange(60)), [6])
    alone = model.predict(curves.take([100]), tau=6)
    among = model.predict(curves.take(np.arange(60, 160)), tau=6)
    assert among.mean[40] == pytest.approx(alone.mean[0], rel=1e-4)


def test_change_of_unit(curves: CurveSet) -> None:
    """A power of two leaves standardised numbers as they are, bit by bit."""
    options = {"epochs": 20}
    p = fit_predict(curves, **options)
    q = fit_predict(replace(curves, values=2 * curves.values), **options)
    np.testing.assert_array_equal(q.mean, 2 * p.mean)
    np.testing.assert_array_equal(q.std, 2 * p.std)
    q = fit_predict(replace(curves, values=40 + 30 * curves.values), **options)
    tolerance = 0.05 * float(p.std.mean())
    np.testing.assert_allclose((q.mean - 40) / 30, p.mean, rtol=0, atol=tolerance)


def test_final_values_stay_near_those_of_the_training_runs(
    curves: CurveSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = curves.take(np.arange(60)), curves.take(np.arange(60, 160))
    wild = replace(test, values=test.values * np.geomspace(1, 1e4, test.values.shape[1]))
    margin = 0.1 * np.ptp(train.final)

    def highest() -> float:
        model = make_predictor("lcnet", seed=3, **SMALL).fit(train, taus=[6])
        return float(model.predict(wild, tau=6).quantile([0.5]).max())

    assert highest() < train.final.max() + 2 * margin
    monkeypatch.setattr(lcnet, "_MARGIN", 1e3)
    assert highest() > train.final.max() + 10 * margin


def test_constant_target_is_predicted_without_spread(curves: CurveSet) -> None:
    curves.values[:, -1] = 0.7
    p = fit_predict(curves)
    np.testing.assert_allclose(p.mean, 0.7, rtol=1e-12)
    np.testing.assert_array_equal(p.std, 0.0)


def test_diverged_runs_gaps_and_an_untrained_first_epoch(
    make_curves: Callable[..., CurveSet],
) -> None:
    options = {**SMALL, "epochs": 20}
    curves = make_curves(n=80, noise=0.004, seed=11, first_epoch=0)
    curves.values[::7, 0] = np.nan
    curves.values[3, 2:5] = np.inf
    curves.values[5, :3] = np.nan
    extra = curves.take([1, 2, 4, 6])
    extra.values[:, 4:] = [[np.inf], [np.inf], [-np.inf], [np.inf]]
    extra.configs["id"] = [f"broken{i}" for i in range(4)]
    train = curves.take(np.arange(60))
    reference = make_predictor("lcnet", **options).fit(train, taus=[1, 6])
    model = make_predictor("lcnet", **options).fit(concat([train, extra]), taus=[1, 6])
    np.testing.assert_array_equal(
        model.predict(curves, tau=6).mean, reference.predict(curves, tau=6).mean
    )
    for tau in (1, 6):
        p = model.predict(extra, tau=tau)
        assert np.isfinite(p.mean).all()
        assert (p.std > 0).all()
    with pytest.raises(DataError, match="too early for a prediction at epoch 1"):
        model.predict(curves, tau=1)
    with pytest.raises(DataError, match="not fitted for tau 3"):
        model.predict(curves, tau=3)


@pytest.mark.parametrize("options", [{"chains": 1}, {"samples": 0}, {"every": 0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(DataError, match="at least 2"):
        make_predictor("lcnet", **options)


def test_the_statistics_of_few_points_stay_positive_semi_definite() -> None:
    """Rounded to single precision, they gave negative variances on LCBench's cnae-9."""
    torch.manual_seed(0)
    out = lcnet.CurveNetwork(6, 3)(torch.randn(1, 40, 3)).detach().double()
    gram, _, square, n = lcnet.moments(out, torch.randn(40, 3), torch.tensor([0.05, 0.1, 0.15]))
    assert gram.shape == (6, 40, 6, 6)
    assert (n == 3).all()
    assert (square > 0).all()
    eigenvalues = np.linalg.eigvalsh(gram)
    assert eigenvalues.min() > -1e-12 * eigenvalues.max()
