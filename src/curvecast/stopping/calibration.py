"""Says how wide the bounds of an online search have to be so that would-be winners survive.

A run that would win is lost when it is stopped at any decision epoch, so its largest standardised
residual over all of them counts. For runs that end near the top this score is far from that of the
others (forecasts shrink towards the mean), and the few runs that a young search has finished say
next to nothing about it: on the collections below, its .9 quantile among the best 3 % of the
coming runs hardly correlated (|r| < .2) with leave-one-out estimates of the same quantile from the
finished runs, but fell with their number. So the width is a quantile that was measured elsewhere:
on the embedded collections (three targets each) and on twelve simulated ones
(`benchmarks/stopping_choice.py`). With Delta = .9 the share of would-be winners that is stopped is
.09 in both groups. The figures are from there, but not blind: results on Baker's sets and LCBench
led to more patience, and decided between settings that were about equal there.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

# Median score of runs near the top and its slope per normal quantile, with `_ENOUGH` finished
# runs; below that number the width grows by the power `_POWER` of the ratio.
_MEDIAN, _SLOPE = 1.46, 0.76
_ENOUGH, _POWER = 40, 0.3
# The best of many runs is further out: from `_MANY` started runs on, the width grows by the power
# `_FURTHER` of the normal quantile that it has among them.
_MANY, _FURTHER = 210, 3.0
# Waiting costs little where an epoch is a small part of the training, and little tells runs apart
# so early: so much more width at the start, fading with this fraction of the training.
_EARLY, _FADE = 4.0, 0.05


# Of a run of which nothing is known, P(better than the best of n) is 1 / (n + 1). Would-be winners
# have fallen below the share s (1 - Delta) of that at their worst decision epoch in 1 - Delta of
# the cases: s is 2.5, 2.6, 1.6 with 3, 10, 20 runs for Delta .9, and 2.6, 2.7, 1.3 for .95, on the
# tasks of the corpus that the prior was not trained on and the embedded collections.
# Of the models that are fitted, ridge has 1.0 and 4.7 (corpus, embedded) with 20 runs and 13 with
# 100, gp 18 and 76 (embedded): with few runs they are held to `widths` as well, by which ridge
# loses .07 of the would-be winners of the corpus with 20 runs and .04 of the embedded ones.
_SHARE = 1.5


def level_of_calibrated(n_started: int, delta: float) -> float:
    """P(worse) from which on a run ends, where the probabilities hold by themselves.

    Parameters as in `widths`.
    """
    return 1 - _SHARE * (1 - delta) / (n_started + 1)


def widths(n_finished: int, n_started: int, fractions: np.ndarray, delta: float) -> np.ndarray:
    """How many spreads above its location the bound of a run has to lie at each decision epoch.

    Parameters
    ----------
    n_finished : runs whose final values the forecasts are based on.
    n_started : runs that the one to beat is the best of.
    fractions : decision epochs as fractions of a whole training, in (0, 1); shape (n_at,).
    delta : share of the would-be winners that must survive all decision epochs, in (0, 1).
    """
    few = (min(n_finished, _ENOUGH) / _ENOUGH) ** -_POWER
    far = (ndtri(1 / (max(n_started, _MANY) + 1)) / ndtri(1 / (_MANY + 1))) ** _FURTHER
    near_top = (_MEDIAN + _SLOPE * float(ndtri(delta))) * few * far
    return near_top + _EARLY * np.exp(-np.asarray(fractions) / _FADE)
