"""Checks that a predictor keeps the contract, for its author: `check_predictor(MyModel)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError, concat
from curvecast.predictors import entry_of, make_predictor
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction

N_TRAIN, TAU = 60, 6
_LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
# A prediction may differ by this share of the spread of final values beside other runs.
_TOLERANCE = 1e-12


def saturating_curves(n: int = 100, first_epoch: int = 1, last_epoch: int = 20) -> CurveSet:
    """Noisy curves a - b exp(-c t) whose limit depends on the configuration."""
    rng = np.random.default_rng(11)
    lr, layers = 10 ** rng.uniform(-4, -1, n), rng.integers(1, 5, n).astype(np.float64)
    limit = 0.9 - 0.05 * np.abs(np.log10(lr) + 2.5) + 0.01 * layers
    epochs = np.arange(first_epoch, last_epoch + 1)
    values = limit[:, None] - 0.6 * np.exp(-rng.uniform(0.08, 0.3, n)[:, None] * epochs)
    configs = pd.DataFrame(
        {
            "id": [f"run{i}" for i in range(n)],
            "group": np.arange(n),
            "hp_lr": lr,
            "hp_optimizer": pd.Categorical(rng.choice(["adam", "sgd"], n)),
            "ap_layers": layers,
        }
    )
    return CurveSet(
        configs=configs,
        values=values + 0.004 * rng.standard_normal(values.shape),
        epochs=epochs,
        metric="validation accuracy",
        direction="maximize",
        name="synthetic/saturating",
        source="made by curvecast.testing",
    )


def check_predictor(model: str | type[Predictor], **options: Any) -> None:
    """Fit and ask a predictor on synthetic curves, and check each promise of the contract.

    Parameters
    ----------
    model : a class, or the name of a registered model, which is then checked with the `cheap`
        options of its entry.
    options : of the predictor.

    Raises
    ------
    AssertionError : a broken promise, in one sentence.
    """
    if isinstance(model, str):
        subject = _Subject(partial(make_predictor, model, **{**entry_of(model).cheap, **options}))
    else:
        subject = _Subject(partial(model, **options))
    for promise, check in _CHECKS.items():
        for broken in check(subject):
            raise AssertionError(f"{getattr(model, '__name__', model)}: {promise}: {broken}")


class _Subject:
    """A predictor under test: its fit on the usual curves, and how to fit it on others."""

    def __init__(self, make: Callable[..., Predictor]) -> None:
        self._make = make
        self.train, self.test = _split(saturating_curves(), N_TRAIN)
        self.fitted = self.fit(self.train)
        self.prediction = self.fitted.predict(self.test, TAU)

    def fit(self, curves: CurveSet, tau: int = TAU) -> Predictor:
        return self._make(seed=0).fit(curves, [tau])

    def predict(self, curves: CurveSet, tau: int = TAU, n_train: int = N_TRAIN) -> Prediction:
        """Predictions for the rest of the curves by a fit on the first `n_train`."""
        train, test = _split(curves, n_train)
        return self.fit(train, tau).predict(test, tau)


def _split(curves: CurveSet, n_train: int) -> tuple[CurveSet, CurveSet]:
    return curves.take(np.arange(n_train)), curves.take(np.arange(n_train, len(curves)))


def _same(one: Prediction, other: Prediction) -> bool:
    return np.array_equal(one.mean, other.mean) and np.array_equal(one.std, other.std)


def _finite(prediction: Prediction) -> bool:
    return bool((np.isfinite(prediction.mean) & np.isfinite(prediction.std)).all())


def _shapes(subject: _Subject) -> Iterator[str]:
    p, n = subject.prediction, len(subject.test)
    for name, array in (("mean", p.mean), ("std", p.std)):
        if array.shape != (n,) or array.dtype != np.float64 or not np.isfinite(array).all():
            yield f"{name} is not a finite float64 array of shape ({n},)"
    if (p.std < 0).any():
        yield "a standard deviation is negative"
    quantiles = p.quantile(_LEVELS)
    if quantiles.shape != (n, len(_LEVELS)) or not np.isfinite(quantiles).all():
        yield f"quantiles are not finite, or not of shape ({n}, {len(_LEVELS)})"
    if (np.diff(quantiles, axis=1) < 0).any():
        yield "quantiles decrease while their levels increase"
    if not np.allclose(p.cdf(quantiles[:, 3]), _LEVELS[3], atol=0.02):
        yield "cdf does not undo quantile"


def _one_seed(subject: _Subject) -> Iterator[str]:
    if not _same(subject.fit(subject.train).predict(subject.test, TAU), subject.prediction):
        yield "two fits with one seed predict differently"


def _second_fit(subject: _Subject) -> Iterator[str]:
    used = subject.fit(subject.test, 3).fit(subject.train, [TAU])
    if not _same(used.predict(subject.test, TAU), subject.prediction):
        yield "predictions depend on an earlier fit"
    try:
        used.predict(subject.test, 3)
    except DataError:
        return
    if used.needs_taus:
        yield "a tau that was not fitted is no DataError"


def _after_tau(subject: _Subject) -> Iterator[str]:
    values = subject.test.values.copy()
    values[:, TAU:] = 1e3 * np.random.default_rng(0).standard_normal(values[:, TAU:].shape)
    changed = replace(subject.test, values=values)
    if not _same(subject.fitted.predict(changed, TAU), subject.prediction):
        yield "a prediction changes with values after tau"


def _batch(subject: _Subject) -> Iterator[str]:
    # new values each time: lce remembers curves
    n = len(subject.test)
    for seed, rows in enumerate((np.array([10]), np.arange(n)[::-1], np.arange(5, n // 2))):
        noise = 1e-3 * np.random.default_rng(seed).standard_normal(subject.test.values.shape)
        test = replace(subject.test, values=subject.test.values + noise)
        few, many = (subject.fitted.predict(c, TAU) for c in (test.take(rows), test))
        for name, a, b in (
            ("mean", few.mean, many.mean[rows]),
            ("spread", few.std, many.std[rows]),
            ("quantiles", few.quantile(_LEVELS), many.quantile(_LEVELS)[rows]),
        ):
            if np.abs(a - b).max() > _TOLERANCE * subject.train.final.std():
                yield f"the {name} of a run is {a.flat[0]:.9g} among others, not {b.flat[0]:.9g}"


def _diverged(subject: _Subject) -> Iterator[str]:
    broken = subject.train.take(np.arange(5))
    broken.values[:, 4:] = np.array([np.nan, np.inf, -np.inf, np.nan, np.nan])[:, None]
    broken.configs["id"] = [f"broken{i}" for i in range(5)]
    model = subject.fit(concat([subject.train, broken]))
    if not _same(model.predict(subject.test, TAU), subject.prediction):
        yield "training runs without a finite end change predictions"
    if not _finite(model.predict(broken.take([1, 2]), TAU)):
        yield "the prediction of a run that overflowed before tau is not finite"
    curves = saturating_curves()
    curves.values[::7, 0] = np.nan
    curves.values[3, 2:5] = np.inf
    if not _finite(subject.predict(curves)):
        yield "predictions are not finite where training values are missing"


def _early(subject: _Subject) -> Iterator[str]:
    for epochs in (0, 2, TAU - 2):
        young = subject.test.take([0, 1])
        young.values[0, epochs:] = np.nan
        try:
            subject.fitted.predict(young, TAU)
        except DataError as error:
            if str(young.configs["id"][0]) in str(error):
                continue
        yield f"a run of {epochs} epochs is not refused by name at epoch {TAU}"


def _gaps(subject: _Subject) -> Iterator[str]:
    y, full = subject.test.final, subject.prediction
    usual = np.abs(full.mean - y).mean(), _coverage(full, y)
    for missing in (*([e] for e in range(TAU - 1)), range(0, TAU, 2), range(1, TAU - 1, 2)):
        values = subject.test.values.copy()
        values[:, list(missing)] = np.nan
        p = subject.fitted.predict(replace(subject.test, values=values), TAU)
        error, covered = np.abs(p.mean - y).mean(), _coverage(p, y)
        # the first epoch tells what no other one does
        factor, least = (2.5, 0.6) if 0 in missing else (1.3, 0.7)
        if error > factor * usual[0] or covered < min(least, usual[1] - 0.1):
            yield (
                f"without epochs {[e + 1 for e in missing]} the mean error is {error:.3g} instead "
                f"of {usual[0]:.3g}, 80 % intervals cover {covered:.2f} instead of {usual[1]:.2f}"
            )


def _coverage(p: Prediction, y: np.ndarray) -> float:
    low, high = p.quantile([0.1, 0.9]).T
    return float(np.mean((low <= y) & (y <= high)))


def _exploding(subject: _Subject) -> Iterator[str]:
    """A tenth of the runs ends at up to 1e18, visibly so at tau."""
    curves = saturating_curves().negated()
    rng, n = np.random.default_rng(5), len(curves)
    bad = np.arange(n) % 10 == 3
    growth = rng.uniform(1, 2, bad.sum())[:, None] * np.maximum(curves.epochs - 2, 0)
    curves.values[bad] += 10**growth - 1
    y, p = curves.final[N_TRAIN:], subject.predict(curves)
    usual = np.abs(subject.prediction.mean - subject.test.final)
    error, calm = np.abs(p.mean - y), ~bad[N_TRAIN:]
    allowed = 3 * np.median(usual[calm]) + 0.2 * subject.test.final.std()
    if not _finite(p) or np.median(error[calm]) > allowed:
        yield f"beside runs that explode the median error is {np.median(error[calm]):.3g}"


def _ended(subject: _Subject) -> Iterator[str]:
    values = subject.test.values.copy()
    values[0, TAU - 5 :] = values[0, TAU - 5]
    p = subject.fitted.predict(replace(subject.test, values=values), TAU)
    low, high = p.quantile([0.1, 0.9])[0]
    usual = np.ptp(subject.prediction.quantile([0.1, 0.9]), axis=1).max()
    if p.mean[0] != values[0, TAU - 1] and np.ptp(p.mean) > 0:  # the mean ignores runs
        yield f"a run that stays at {values[0, TAU - 1]:.4g} is predicted as {p.mean[0]:.4g}"
    if high - low > usual:
        yield "the interval of an ended run is wide"


def _no_training(subject: _Subject) -> Iterator[str]:
    try:
        model = subject.fit(subject.train.take([]))
    except DataError:
        if not subject.fitted.needs_training:
            yield "a fit without runs is a DataError"
        return
    if subject.fitted.needs_training:
        yield "a fit without runs is no DataError"
    p = model.predict(subject.test, TAU)
    if not _finite(p) or not np.isfinite(p.quantile(_LEVELS)).all() or (p.std <= 0).any():
        yield "a prediction without training runs is not a distribution"


def _directions(subject: _Subject) -> Iterator[str]:
    y = subject.test.final
    mirrored = subject.predict(saturating_curves().negated())
    up, down = (np.sqrt(np.mean(e**2)) for e in (y - subject.prediction.mean, y + mirrored.mean))
    if not down <= 2 * up + 0.1 * y.std():
        yield f"the error is {up:.3g} where values are maximised, {down:.3g} where minimised"


def _short(subject: _Subject) -> Iterator[str]:
    for first, last, tau in ((1, 2, 1), (0, 1, 1), (0, 3, 2)):
        curves = saturating_curves(70, first, last)
        p, y = subject.predict(curves, tau, 50), curves.final[50:]
        error = np.sqrt(np.mean((y - p.mean) ** 2))
        if not np.isfinite(p.quantile(_LEVELS)).all():
            yield f"quantiles are not finite at epoch {tau} of {first}..{last}"
        if error > 2 * curves.final.std() + np.ptp(curves.values):
            yield f"the error at epoch {tau} of {first}..{last} is beyond the range of the values"


def _alike(subject: _Subject) -> Iterator[str]:
    curves = saturating_curves(70)
    curves.values[:] = 0.4
    p = subject.predict(curves, n_train=50)
    if not (np.allclose(p.mean, 0.4) and np.allclose(p.quantile([0.1, 0.9]), 0.4, atol=1e-3)):
        yield "the common value of all runs is not predicted"


_CHECKS: dict[str, Callable[[_Subject], Iterator[str]]] = {
    "predictions are finite arrays with quantiles in order": _shapes,
    "one seed gives one result": _one_seed,
    "a second fit forgets the first": _second_fit,
    "nothing after tau is seen": _after_tau,
    "a prediction depends on its run alone": _batch,
    "diverged runs and gaps are legal": _diverged,
    "what is too early is named": _early,
    "a run that has ended stays": _ended,
    "without training runs a model answers or refuses": _no_training,
    "gaps in a running curve are bridged": _gaps,
    "both directions are served": _directions,
    "exploding runs harm no other": _exploding,
    "very short curves are legal": _short,
    "curves that are all alike are legal": _alike,
}
