"""The public check of predictors names each promise that is not kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from curvecast import CurveSet
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.naive import LastValue
from curvecast.testing import check_predictor


class Broken(LastValue):
    """The last value, with one promise broken."""

    def predict(self, curves: CurveSet, tau: int) -> Prediction:
        return self.broken(super().predict(curves, tau), curves)

    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        raise NotImplementedError


class Peeking(Broken):
    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return Prediction(curves.values[:, -1], p.std)


class Batched(Broken):
    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return Prediction(p.mean - p.mean.mean(), p.std)


class Restless(Broken):
    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return Prediction(p.mean + np.random.default_rng().normal(), p.std)


class Single(Broken):
    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return Prediction(p.mean.astype(np.float32), p.std)


class Crossed(Broken):
    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return Prediction(p.mean, -p.std)


class Upward(Broken):
    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return Prediction(np.abs(p.mean), p.std)


class Anytime(Broken):
    def predict(self, curves: CurveSet, tau: int) -> Prediction:
        return super().predict(curves, max(self._at_tau))

    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return p


class Remembering(Broken):
    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        self.offset = getattr(self, "offset", 0.0) + 1.0
        return super().fit(curves, taus)

    def broken(self, p: Prediction, curves: CurveSet) -> Prediction:
        return replace(p, mean=p.mean + self.offset)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Peeking, "Peeking: nothing after tau is seen: a prediction changes with values after tau"),
        (Batched, "a prediction depends on its run alone: the mean of a run is .* among others"),
        (Restless, "two fits with one seed predict differently"),
        (Single, "mean is not a finite float64 array of shape"),
        (Crossed, "a standard deviation is negative"),
        (Upward, "the error is .* where values are maximised, .* where minimised"),
        (Anytime, "a tau that was not fitted is no DataError"),
        (Remembering, "predictions depend on an earlier fit"),
    ],
)
def test_a_broken_promise_is_named(model: type[Predictor], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_predictor(model)


def test_a_class_with_options_that_keeps_the_contract_passes() -> None:
    class Shifted(LastValue):
        def __init__(self, *, seed: int = 0, by: Any = 0.0) -> None:
            super().__init__(seed=seed)
            self.by = by

    check_predictor(Shifted, by=1.0)
