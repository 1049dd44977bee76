"""The rules inside a training loop, and the contract of all of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from curvecast import DataError, make_predictor
from curvecast.predictors.base import Prediction, Predictor
from curvecast.stopping import rules
from curvecast.stopping.accounting import Record
from curvecast.stopping.calibration import level_of_calibrated
from curvecast.stopping.rules.baker import Baker
from curvecast.stopping.rules.median import Median
from curvecast.stopping.rules.oracle import Oracle
from curvecast.stopping.rules.patience import Patience
from curvecast.stopping.rules.predicted import Forecasts, Predicted
from curvecast.stopping.rules.successive_halving import SuccessiveHalving


class Says(Predictor):
    """Predicts the same Gaussian for every run at every epoch."""

    def __init__(self, mean, std):
        super().__init__(seed=0)
        self.mean, self.std = mean, std

    def _fit_curves(self, curves, taus):
        return self

    def _predict_hidden(self, curves, tau):
        return Prediction(np.full(len(curves), self.mean), np.full(len(curves), self.std))

    def settle(self, prediction, curves, tau):
        return prediction


@pytest.fixture
def run(make_curves):
    """One unfinished run with the given gains."""

    def make(gains, last_epoch=20):
        curves = make_curves(2, last_epoch).take([0])
        values = np.full((1, last_epoch), np.nan)
        values[0, : len(gains)] = gains
        return Record(replace(curves, values=values))

    return make


def forecast_of(predictor):
    return partial(Forecasts.under_way, predictor)


def says(mean, std, delta=0.95, **options):
    return Baker(forecast_of(Says(mean, std)), delta, **options)


def calibrated(mean, std, delta=0.9, n_finished=40, n_started=100):
    return Predicted.of(Says(mean, std), n_finished, n_started, 20, delta=delta)


def decided(rule, runs, epoch, marks):
    return rule.decide(runs, epoch, rule.bar(np.sort(marks)))


def test_probability_is_the_gaussian_one_and_decides(run):
    decision = decided(says(0.7, 0.1), run([0.3, 0.5]), 2, [0.8, 0.6])
    assert decision.probability[0] == pytest.approx(0.8413447, abs=1e-6)
    assert not decision.stop[0]
    decision = decided(says(0.7, 0.1), run([0.3, 0.5]), 2, [0.9, 0.6])
    assert decision.probability[0] == pytest.approx(0.9772499, abs=1e-6)
    assert decision.stop[0]
    assert decision.reason[0] == "predicted worse"


def test_offset_and_top_n_make_it_more_careful(run):
    stopped = {
        (offset, top_n): decided(
            says(0.7, 0.1, 0.9, offset=offset, top_n=top_n), run([0.3]), 1, [0.9, 0.75, 0.6]
        ).stop[0]
        for offset, top_n in [(0.0, 1), (0.1, 1), (0.0, 2), (0.0, 4)]
    }
    assert stopped == {(0.0, 1): True, (0.1, 1): False, (0.0, 2): False, (0.0, 4): False}


def test_minimised_metric_decides_like_its_negated_copy(run):
    runs = run([0.3, 0.4])
    for rule in (partial(says, delta=0.9, offset=0.01), calibrated):
        up, down = (rule(sign * 0.7, 0.1) for sign in (1, -1))
        for best in (0.6, 0.8, 0.85, 0.95, 1.5):
            a = decided(up, runs, 2, [best, 0.2])
            b = decided(down, Record(runs.curves.negated()), 2, [best, 0.2])
            assert a.stop[0] == b.stop[0]
            assert a.probability[0] == pytest.approx(b.probability[0], abs=1e-12)


def test_the_calibrated_level_is_worked_out_by_hand(run):
    """1.46 + .76 normal quantiles of Delta, and 4 more at the start, fading by 5 % of the run."""
    rule = calibrated(0.7, 0.1, n_started=10)
    width = 1.46 + 0.76 * 1.2815516 + 4 * np.exp(-0.5 / 0.05)
    assert rule.levels(np.array([10]))[0] == pytest.approx(ndtr(width), abs=1e-9)
    runs = run([0.3] * 10)
    for bar, stop in ((0.7 + 0.1 * (width - 0.01), False), (0.7 + 0.1 * (width + 0.01), True)):
        decision = rule.decide(runs, 10, bar)
        assert decision.stop[0] == stop
        assert decision.probability[0] == pytest.approx(ndtr((bar - 0.7) / 0.1))
        assert decision.level[0] == rule.levels(np.array([10]))[0]
        assert (rule.scores(runs, np.array([10]))[0, 0] <= bar) == stop


def test_the_page_of_methods_states_the_share_of_the_code():
    page = Path(__file__).parents[2] / "docs" / "science.md"
    share = (11 + 1) * (1 - level_of_calibrated(11, 0.5)) / 0.5
    assert f"1 - c = {share:g} (1 - p) / (n + 1)" in page.read_text(encoding="utf-8")


def test_the_calibrated_rule_is_careful_early_with_few_runs_and_at_high_delta():
    at = np.array([1, 5, 15])
    usual = calibrated(0, 1, n_started=10).levels(at)
    assert (np.diff(usual) < 0).all()
    for careful in ({"n_finished": 5}, {"n_started": 2000}, {"delta": 0.99}):
        options = {"n_started": 10, **careful}
        assert (calibrated(0, 1, **options).levels(at)[1:] > usual[1:]).all()
    assert (calibrated(0, 1, n_finished=0).levels(at) < 1).all()


def test_fitted_models_are_held_to_both_levels():
    """1.5 times the lost share among the 101 runs that may be the best; more with few runs."""
    at, least = np.array([10]), 1 - 1.5 * 0.1 / 101
    few = Predicted.of(make_predictor("ridge"), 19, 100, 20).levels(at)[0]
    assert few == pytest.approx(ndtr((1.46 + 0.76 * 1.2815516) * (19 / 40) ** -0.3), abs=1e-5)
    assert few > least
    for name in ("ridge", "pfn"):
        assert Predicted.of(make_predictor(name), 100, 100, 20).levels(at)[0] == least


def test_delta_one_never_stops_even_when_it_is_certain(run):
    for rule in (says(0.1, 0.0, 1.0), calibrated(0.1, 0.0, 1.0)):
        decision = decided(rule, run([0.1]), 1, [0.9])
        assert decision.probability[0] == 1.0
        assert not decision.stop[0]


def test_a_decision_and_the_scores_of_a_replay_agree(run, make_curves):
    runs = Record(make_curves(30).hide_after(4))
    rule = Baker(forecast_of(make_predictor("gain_gp").fit(make_curves(40, seed=1), [4])), 0.8)
    bars = np.quantile(make_curves(40, seed=1).final, [0.3, 0.5, 0.8])
    for bar in bars:
        stopped = rule.decide(runs, 4, float(bar)).stop
        np.testing.assert_array_equal(stopped, rule.scores(runs, np.array([4]))[:, 0] <= bar)
        assert 0 < stopped.sum() < 30


def test_nothing_is_decided_while_there_is_nothing_to_compare_with(run):
    for rule in (says(0.1, 0.1), calibrated(0.1, 0.1), Median(), SuccessiveHalving()):
        decision = decided(rule, run([0.1]), 1, [])
        assert not decision.stop[0]
        assert np.isnan(decision.probability[0])


def test_nan_ends_a_run_as_diverged(run):
    for rule in (says(0.9, 0.1, 1.0), Median(), Patience(), SuccessiveHalving()):
        for value in (np.nan, -np.inf):
            decision = decided(rule, run([0.3, value]), 2, [0.1])
            assert (decision.stop[0], decision.reason[0]) == (True, "diverged")
            assert decision.probability[0] == 1


def test_a_fitted_model_in_a_training_loop(make_curves):
    curves = make_curves(80, noise=0.002, seed=3)
    rule = Predicted.of(make_predictor("gain_gp").fit(curves, range(1, 20)), 80, 80, 20)
    worst, best = np.argsort(curves.final)[[0, -1]]
    ended = {}
    for row in (worst, best):
        bar = rule.bar(np.sort(np.delete(curves.final, row)))
        for tau in range(1, 20):
            if rule.decide(Record(curves.take([row]).hide_after(tau)), tau, bar).stop[0]:
                break
        else:
            tau = 20
        ended[row] = tau
    assert ended[worst] < 5
    assert ended[best] == 20


@pytest.mark.parametrize("options", [{"delta": 0.0}, {"offset": -1.0}, {"top_n": 0}])
def test_options_are_checked(options):
    with pytest.raises(DataError, match="must be"):
        says(0, 1, **options)
    with pytest.raises(DataError, match="must be"):
        calibrated(0, 1, delta=0.0)
    with pytest.raises(DataError, match="must be"):
        SuccessiveHalving(eta=1)


def test_oracle_stops_what_cannot_improve(run):
    runs = [run([0.0, final], last_epoch=2) for final in (-5.0, -3.0, -2.0)]
    assert [decided(Oracle(), r, 1, [-3.0]).stop[0] for r in runs] == [True, True, False]


def test_median_rule_compares_the_best_with_running_averages(run):
    averages = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert decided(Median(), run([0.1, 0.29, 0.2]), 3, averages).stop[0]
    assert not decided(Median(), run([0.1, 0.3, 0.2]), 3, averages).stop[0]
    assert not decided(Median(min_runs=6), run([0.1, 0.1, 0.1]), 3, averages).stop[0]
    np.testing.assert_allclose(
        Median().marks(run([0.1, 0.4, 0.4]), np.array([1, 2, 3])), [[0.1, 0.25, 0.3]]
    )


def test_the_best_third_goes_on_at_a_rung(run):
    rule = SuccessiveHalving(first=1, eta=3)
    assert rule.own_epochs(np.arange(1, 29), np.arange(1, 28)).tolist() == [1, 3, 9, 27]
    others = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert not decided(rule, run([0.0, 0.0, 0.45]), 3, others).stop[0]
    assert not decided(rule, run([0.0, 0.0, 0.4]), 3, others).stop[0]
    assert decided(rule, run([0.0, 0.0, 0.35]), 3, others).stop[0]


def test_patience_counts_epochs_since_the_best(run):
    rule = Patience(2)
    assert not decided(rule, run([-3.0, -1.0, -2.0]), 3, []).stop[0]
    assert decided(rule, run([-3.0, -1.0, -2.0, -1.5]), 4, []).stop[0]
    assert not decided(rule, run([-3.0, -1.0, -2.0, -0.5]), 4, []).stop[0]
    scores = rule.scores(run([1.0, 3.0, 2.0, 2.0, 2.0, 9.0]), np.arange(1, 6))
    assert (scores[0] <= 0).tolist() == [False, False, False, True, True]


def test_rules_are_found_by_their_files_in_the_order_of_the_results():
    replayed = [(rule.name, rule.setting) for rule in rules.replayed(np.arange(1, 61))]
    assert replayed == [
        ("oracle", "limit"),
        ("median", "vizier"),
        ("successive_halving", "eta=3"),
        ("patience", "6 epochs"),
        ("none", "never stop"),
    ]
    assert [rule.name for rule in rules.known()][-1] == "predicted"
