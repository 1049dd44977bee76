"""Asks inside a training loop whether to end the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.data.cells import flat
from curvecast.fidelity import online_epochs
from curvecast.files import DataError
from curvecast.stopping.accounting import Record
from curvecast.stopping.advice import MODEL, PROMISE, finished, fitted
from curvecast.stopping.rules.predicted import Predicted

_DECISIONS = 20


class Stopper:
    """The rule of `advise` inside a training loop: should this run end?

    It learns from the finished runs once, when it is made.

    Parameters
    ----------
    curves : earlier runs, as `curvecast.read` gives them. Without a finished one there is nothing
        to compare with, and only runs that diverge are stopped.
    promise : share of the runs that would become the best that is to survive.
    model : the predictor; one that has to be fitted per epoch decides at about 20 of them.

    Raises
    ------
    DataError : the predictor cannot be fitted on so few finished runs.

    Examples
    --------
    >>> import curvecast
    >>> from curvecast.testing import saturating_curves
    >>> stopper = curvecast.Stopper(saturating_curves(30))  # or curvecast.read("lightning_logs")
    >>> config = {"lr": 0.1, "optimizer": "sgd", "layers": 2}
    >>> accuracy = []
    >>> for epoch in range(20):
    ...     accuracy.append(0.5 - 0.4 * 0.7**epoch)  # train, then validate
    ...     if stopper.should_stop(config, accuracy):
    ...         break
    >>> len(accuracy) < 20
    True
    """

    def __init__(self, curves: CurveSet, *, promise: float = PROMISE, model: str = MODEL) -> None:
        done = finished(curves)
        state = curves.configs.get("info_state")
        known = np.flatnonzero(done if state is None else state != "running")
        self._like = replace(curves.take([0]), series={}, notes=())
        at = online_epochs(curves.epochs, _DECISIONS)
        predictor = fitted(curves, known, at.tolist(), model)
        self._at = at if predictor.needs_taus else curves.epochs[:-1]
        numbers = int(done.sum()), len(known), curves.last_epoch
        self._rule = Predicted.of(predictor, *numbers, delta=promise)
        self._bar = float(np.max(curves.sign * curves.final[done], initial=-np.inf))

    def should_stop(
        self, config: Mapping[str, Any], curve: Sequence[float] | Mapping[int, float]
    ) -> bool:
        """Whether to end a run now.

        Parameters
        ----------
        config : its settings, named as in the log; others are passed over. None, or NaN, is one
            that the run does not have.
        curve : its values so far, in the unit of the earlier runs: one per recorded epoch in
            order, or by number of trained epochs.

        Raises
        ------
        DataError : a setting of the earlier runs is missing, or is no number where theirs are.
        """
        like = self._like
        epochs = like.epochs.tolist()
        pairs = curve.items() if isinstance(curve, Mapping) else zip(epochs, curve, strict=False)
        by_epoch = {epoch: float(value) for epoch, value in pairs}
        if not np.isfinite(list(by_epoch.values())).all():
            return True
        values = np.array([[by_epoch.get(epoch, np.nan) for epoch in epochs]])
        seen = np.flatnonzero(np.isfinite(values[0]))
        if not len(seen) or (epoch := epochs[seen[-1]]) not in self._at:
            return False
        settings = flat(config) | {name: np.nan for name, v in config.items() if v is None}
        run = replace(like, configs=self._row(settings), values=values)
        return bool(self._rule.decide(Record(run), epoch, self._bar).stop[0])

    def _row(self, config: Mapping[str, Any]) -> pd.DataFrame:
        row = self._like.configs.copy()
        for name, known in row.items():
            if not str(name).startswith(("hp_", "ap_")):
                continue
            setting = str(name)[3:]
            if setting not in config:
                near = get_close_matches(setting, list(config), n=1)
                hint = f"; is it {near[0]!r}?" if near else ""
                raise DataError(f"the setting {setting!r} of the earlier runs is missing{hint}")
            value = config[setting]
            if isinstance(known.dtype, pd.CategoricalDtype):
                text = None if pd.isna(value) else str(value)
                categories = dict.fromkeys([*known.cat.categories, *([text] if text else [])])
                row[name] = pd.Categorical([text], list(categories))
                continue
            try:
                row[name] = float(value)
            except (TypeError, ValueError):
                raise DataError(f"the setting {setting!r} is {value!r}, not a number") from None
        return row
