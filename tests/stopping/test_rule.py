"""The rules as objects of a training loop."""

import numpy as np
import pytest

from curvecast import DataError, make_predictor
from curvecast.predictors.base import Prediction, Predictor
from curvecast.stopping.rule import (
    Looks,
    MedianRule,
    OracleRule,
    PatienceRule,
    PredictorRule,
    SuccessiveHalvingRule,
    domhan_rule,
    nth_best,
    one_run,
)


class Says(Predictor):
    """Predicts the same Gaussian for every run at every epoch."""

    def __init__(self, mean, std):
        super().__init__(seed=0)
        self.mean, self.std = mean, std

    def fit(self, curves, taus):
        return self

    def _predict_hidden(self, curves, tau):
        return Prediction(np.full(len(curves), self.mean), np.full(len(curves), self.std))


CONFIG = {"hp_lr": 0.01, "hp_optimizer": "adam", "ap_layers": 2.0}


def test_probability_is_the_gaussian_one_and_decides(make_curves):
    like = make_curves()
    rule = PredictorRule(Says(0.7, 0.1), like, delta=0.95)
    decision = rule.decide(CONFIG, [0.3, 0.5], [0.8, 0.6])
    assert decision.probability == pytest.approx(0.8413447, abs=1e-6)
    assert not decision.stop
    decision = rule.decide(CONFIG, [0.3, 0.5], [0.9, 0.6])
    assert decision.probability == pytest.approx(0.9772499, abs=1e-6)
    assert decision.stop
    assert decision.reason == "predicted worse"


def test_offset_and_top_n_make_it_more_careful(make_curves):
    like = make_curves()
    finished = [0.9, 0.75, 0.6]
    stops = {
        (offset, top_n): PredictorRule(Says(0.7, 0.1), like, delta=0.9, offset=offset, top_n=top_n)
        .decide(CONFIG, [0.3], finished)
        .stop
        for offset, top_n in [(0.0, 1), (0.1, 1), (0.0, 2), (0.0, 4)]
    }
    assert stops == {(0.0, 1): True, (0.1, 1): False, (0.0, 2): False, (0.0, 4): False}


def test_minimised_metric_decides_like_its_negated_copy(make_curves):
    like = make_curves()
    up = PredictorRule(Says(0.7, 0.1), like, delta=0.9, offset=0.01)
    down = PredictorRule(Says(-0.7, 0.1), like.negated(), delta=0.9, offset=0.01)
    for best in (0.6, 0.8, 0.85, 0.95):
        a = up.decide(CONFIG, [0.3, 0.4], [best, 0.2])
        b = down.decide(CONFIG, [-0.3, -0.4], [-best, -0.2])
        assert a.stop == b.stop
        assert a.probability == pytest.approx(b.probability, abs=1e-12)


def test_delta_one_never_stops_even_when_it_is_certain(make_curves):
    rule = PredictorRule(Says(0.1, 0.0), make_curves(), delta=1.0)
    decision = rule.decide(CONFIG, [0.1], [0.9])
    assert decision.probability == 1.0
    assert not decision.stop


def test_only_allowed_epochs_stop(make_curves):
    rule = PredictorRule(Says(0.1, 0.01), make_curves(), delta=0.5, looks=Looks(4, 3))
    stopped = [n for n in range(1, 21) if rule.decide(CONFIG, [0.1] * n, [0.9]).stop]
    assert stopped == [4, 7, 10, 13, 16, 19]


def test_nan_ends_a_run_as_diverged(make_curves):
    rule = PredictorRule(Says(0.9, 0.01), make_curves(), delta=1.0, looks=Looks(10))
    decision = rule.decide(CONFIG, [0.3, float("nan")], [0.1])
    assert (decision.stop, decision.reason) == (True, "diverged")
    assert MedianRule().decide(1, 9, [np.nan], np.zeros(9)).reason == "diverged"
    assert PatienceRule().decide(np.array([1]), 9, [np.inf]).reason == "diverged"
    assert SuccessiveHalvingRule().decide(1, 9, np.nan, np.zeros(9)).reason == "diverged"


def test_a_fitted_model_in_a_training_loop(make_curves):
    curves = make_curves(80, noise=0.002, seed=3)
    rule = domhan_rule(make_predictor("gain_gp").fit(curves, range(1, 20)), curves)
    assert rule.delta == pytest.approx(0.95)
    worst, best = np.argsort(curves.final)[[0, -1]]
    ended = {}
    for run in (worst, best):
        configuration = curves.configs.iloc[run].to_dict()
        finished = np.delete(curves.final, run)
        for tau in range(1, 21):
            if rule.decide(configuration, curves.values[run, :tau], finished).stop:
                break
        ended[run] = tau
    assert ended[worst] < 5
    assert ended[best] == 20


def test_one_run_names_what_is_missing(make_curves):
    with pytest.raises(DataError, match="column ap_layers"):
        one_run(make_curves(), {"hp_lr": 0.1, "hp_optimizer": "sgd"}, [0.1])
    with pytest.raises(DataError, match="unknown category 'lion'"):
        one_run(make_curves(), {**CONFIG, "hp_optimizer": "lion"}, [0.1])
    with pytest.raises(DataError, match="21 values for 20 epochs"):
        one_run(make_curves(), CONFIG, [0.1] * 21)


@pytest.mark.parametrize("options", [{"delta": 0.0}, {"offset": -1.0}, {"top_n": 0}])
def test_options_are_checked(make_curves, options):
    with pytest.raises(DataError, match="must be"):
        PredictorRule(Says(0, 1), make_curves(), **options)


def test_nth_best_passes_over_diverged_runs():
    assert nth_best([3.0, np.nan, 1.0, np.inf], 2, 1.0) == 1.0
    assert nth_best([3.0, 2.0, 1.0], 1, -1.0) == 1.0
    assert nth_best([3.0], 2, 1.0) is None


def test_oracle_stops_what_cannot_improve():
    rule = OracleRule("minimize", Looks(2))
    assert not rule.decide(1, 9, 5.0, [3.0]).stop
    assert rule.decide(2, 9, 5.0, [3.0]).stop
    assert rule.decide(2, 9, 3.0, [3.0]).stop
    assert not rule.decide(2, 9, 2.0, [3.0]).stop


def test_median_rule_compares_the_best_with_running_averages():
    averages = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert MedianRule().decide(3, 9, [0.1, 0.29, 0.2], averages).stop
    assert not MedianRule().decide(3, 9, [0.1, 0.31, 0.2], averages).stop
    assert not MedianRule(min_runs=6).decide(3, 9, [0.1, 0.1, 0.1], averages).stop
    assert MedianRule("minimize").decide(3, 9, [0.9, 0.31, 0.6], averages).stop


def test_successive_halving_keeps_the_best_third_at_its_rungs():
    rule = SuccessiveHalvingRule(min_tau=1, eta=3)
    assert rule.rungs(27) == [1, 3, 9]
    assert rule.rungs(28) == [1, 3, 9, 27]
    others = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert not rule.decide(3, 27, 0.45, others).stop
    assert rule.decide(3, 27, 0.35, others).stop
    assert not rule.decide(2, 27, 0.0, others).stop


def test_patience_counts_epochs_since_the_best():
    rule = PatienceRule("minimize", patience=2)
    epochs = np.array([1, 2, 3, 4])
    assert not rule.decide(epochs[:3], 9, [3.0, 1.0, 2.0]).stop
    assert rule.decide(epochs, 9, [3.0, 1.0, 2.0, 1.5]).stop
    assert not rule.decide(epochs, 9, [3.0, 1.0, 2.0, 0.5]).stop
