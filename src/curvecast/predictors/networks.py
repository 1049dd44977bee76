"""cnn, lstm, cnn_lstm: the networks of Singh (LCBench Task A), and causal versions of them.

`causal=False` is Singh's form: one network per tau maps the scaled settings and the values
up to tau to the final value. With p settings, n values and the defaults:

- cnn: Conv1d(1, 64, 2), ReLU, MaxPool1d(2, stride 1) over the sequence of p + n numbers, linear.
- lstm: LSTM(1, 100) over the sequence of p + n numbers, linear over all its steps.
- cnn_lstm: Conv1d(1, 16, 1, padding 1), ReLU and MaxPool1d(2, stride 1) over the p settings give
  the initial hidden state of LSTM(1, 128), which reads the n values; linear over all its steps.
  With p = 7 the pooling has 16 x 8 = 128 outputs; elsewhere a linear layer goes between.

`causal=True`, the default, has one network predict at every step, so that one training serves
all taus. Steps are at most about 12 epochs in geometric distances, with every tau among them. At
step s the network outputs what the final value differs by from the least-squares line on the
value at s, in units of that line's error over the training runs: all steps weigh the same in the
loss, and an untrained network starts from the line.

- cnn: causal convolutions and pooling as above over the steps; the head reads their features,
  the features' running mean, the inputs and the settings.
- lstm: reads inputs and settings at every step. cnn_lstm: reads the inputs, its initial hidden
  state is the convolution over the settings.

The `members` of the ensemble are trained in one batch. Each leaves out a fold of the training runs
(Krogh and Vedelsby 1995). The mean squared error of members at tau on runs that they did not see
plus the variance between the members gives the scale of a prediction, and those errors over that
scale the shape of its distribution (cross-conformal, Vovk 2015). The errors are shortened by the
members' ambiguity, which their mean does not suffer from (Krogh and Vedelsby, equation 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from curvecast.curves import CurveSet, DataError
from curvecast.features import bridge
from curvecast.predictors import _batched_layers as layers
from curvecast.predictors._network_inputs import (
    MembersPredictor,
    Steps,
    as_tensor,
    settings,
    static_frame,
    thin,
)
from curvecast.predictors.distributions import Prediction, Residuals
from curvecast.predictors.scaling import SCALINGS, Columns, center_and_scale

MODELS = {
    "cnn": {
        "class": "CNN",
        "label": "Convolutional network over curve and settings, one training for all truncations.",
        "order": 130,
        "look": ("red", "^", "dashed"),
        "cheap": {"epochs": 12, "members": 2},
    },
    "lstm": {
        "class": "LSTM",
        "label": "Recurrent network over curve and settings, one training for all truncations.",
        "order": 140,
        "look": ("blue", "s", "dashed"),
        "cheap": {"epochs": 12, "members": 2},
    },
    "cnn_lstm": {
        "class": "CNNLSTM",
        "label": "Recurrent network that starts from a convolution over the settings.",
        "order": 150,
        "look": ("red", "v", "dotted"),
        "cheap": {"epochs": 12, "members": 2},
    },
}

MAX_STEPS = 12


class NetworkPredictor(MembersPredictor):
    """What the three networks share: training, the ensemble and its spread.

    A subclass sets `_sizes`, the last argument of its shapes.

    Parameters
    ----------
    causal : one network for all taus, or Singh's form.
    epochs, lr : passes over the training runs, and the learning rate; None is 60 and .02 where
        causal (100 and .01 are as good, but slower), 100 and .01 in Singh's form.
    optimizer : "Adam" or "SGD".
    members : size of the ensemble, at least 2.
    scaling : of inputs and target in Singh's form, "standard" or "minmax".
    """

    SHAPES: ClassVar[dict[bool, type[nn.Module]]]
    _sizes: Any

    def __init__(
        self,
        *,
        seed: int = 0,
        causal: bool = True,
        epochs: int | None = None,
        lr: float | None = None,
        optimizer: str = "Adam",
        members: int = 5,
        scaling: str = "standard",
    ) -> None:
        super().__init__(seed=seed)
        if scaling not in SCALINGS or (causal and scaling != "standard"):
            raise DataError(
                f"scaling is {scaling!r}, not one of {', '.join(SCALINGS)}"
                + (" (a causal network has its own)" if causal else "")
            )
        if members < 2:
            raise DataError(f"members is {members}, an ensemble needs at least 2")
        if optimizer not in layers.OPTIMIZERS:
            known = ", ".join(layers.OPTIMIZERS)
            raise DataError(f"optimizer is {optimizer!r}, not one of {known}")
        default_epochs, default_lr = (60, 0.02) if causal else (100, 0.01)
        self.causal, self.n_members, self.scaling = causal, members, scaling
        self.epochs = default_epochs if epochs is None else int(epochs)
        self.lr, self.optimizer = default_lr if lr is None else lr, optimizer

    def _learn(self, curves: CurveSet, unseen: np.ndarray) -> None:
        self._variance: dict[int, float] = {}
        self._errors: dict[int, Residuals] = {}
        self._columns = Columns.of(static_frame(curves), self.scaling)
        fit = self._fit_causal if self.causal else self._fit_singh
        fit(curves, (~unseen).astype(np.float64))
        held_out = [self._calibrate(curves, tau, unseen) for tau in self._taus]
        self._diagnostics = {"held_out_r2": float(np.mean(held_out))}

    def _fit_causal(self, curves: CurveSet, sees: np.ndarray) -> None:
        """Train one network for all steps; `sees` is 1 where a member trains on a run."""
        ends = self._taus.values()
        self._steps = Steps.of(curves, thin(max(ends), MAX_STEPS, ends))
        channels = torch.from_numpy(self._steps.channels(curves))
        values = self._steps.values(curves)
        self._lines = Lines.of(values, curves.final, sees)
        target = self._lines.targets(values, curves.final)
        self._network = self._train(settings(self._columns, curves), channels, target, sees)

    def _fit_singh(self, curves: CurveSet, sees: np.ndarray) -> None:
        """Train a network per tau, on values and targets that are scaled by the training runs."""
        static, y = settings(self._columns, curves), curves.final
        self._zero, self._unit = (float(x[0]) for x in center_and_scale(y[:, None], self.scaling))
        target = np.broadcast_to(((y - self._zero) / self._unit)[:, None], (len(sees), len(y), 1))
        self._networks, self._values = {}, {}
        for tau in self._taus:
            frame = value_frame(curves, tau)
            self._values[tau] = Columns.of(frame, self.scaling)
            values = as_tensor(self._values[tau].apply(frame))
            self._networks[tau] = self._train(static, values, target, sees)

    def _train(
        self, static: Tensor, second: Tensor, target: np.ndarray, sees: np.ndarray
    ) -> nn.Module:
        """A network trained on settings (runs, p) and its second input (runs, ..., n).

        `target` has shape (members, runs, steps), `sees` (members, runs).
        """
        with layers.seeded(self.seed):
            shape = self.SHAPES[self.causal]
            network = shape(len(sees), static.shape[-1], second.shape[-1], self._sizes)
            layers.train(
                network,
                (static, second),
                as_tensor(target),
                as_tensor(sees),
                epochs=self.epochs,
                lr=self.lr,
                optimizer=self.optimizer,
            )
        return network

    def _members(self, curves: CurveSet, tau: int) -> np.ndarray:
        """Final values by member in the unit of the curve, shape (members, n_configs)."""
        static = settings(self._columns, curves)
        if not self.causal:
            values = as_tensor(self._values[tau].apply(value_frame(curves, tau)))
            out = layers.evaluate(self._networks[tau], static, values)
            return self._zero + self._unit * out[:, :, 0]
        steps = self._steps.until(self._taus[tau])
        out = layers.evaluate(self._network, static, torch.from_numpy(steps.channels(curves)))
        return self._lines.level(out[:, :, -1], steps.values(curves)[:, -1], out.shape[2] - 1)

    def _calibrate(self, curves: CurveSet, tau: int, unseen: np.ndarray) -> float:
        """Learn the spread from predictions of runs that members did not see; R² of these."""
        y = curves.final
        values = self._members(curves.hide_after(tau), tau)
        errors = y - (values * unseen).sum(axis=0) / unseen.sum(axis=0)
        self._variance[tau] = float(np.mean(errors**2))
        # the mean of the members is better than one of them by what they differ
        better = 1 - values.var(axis=0).mean() / max(self._variance[tau], 1e-300)
        shortened = errors * np.sqrt(np.clip(better, 0.25, 1.0))
        self._errors[tau] = Residuals.of(shortened / self._spread(values, tau))
        return 1 - self._variance[tau] / float(y.var())

    def _predict_varied(self, curves: CurveSet, tau: int) -> Prediction:
        values = self._members(curves, tau)
        return self._errors[tau].around(values.mean(axis=0), self._spread(values, tau))

    def _spread(self, values: np.ndarray, tau: int) -> np.ndarray:
        """Scale per run of the error of predictions by member, (members, n_configs)."""
        variance = self._variance[tau] + values.var(axis=0, ddof=1)
        return np.maximum(np.sqrt(variance), 1e-300)


class CNN(NetworkPredictor):
    """Convolutional network.

    Parameters
    ----------
    num_conv_layers : 1 or 2.
    num_filters_1, num_filters_2 : filters of the layers; None is Singh's 64, 16 where causal.
    """

    SHAPES: ClassVar = {True: layers.CausalCNN, False: layers.SinghCNN}

    def __init__(
        self,
        *,
        seed: int = 0,
        num_conv_layers: int = 1,
        num_filters_1: int | None = None,
        num_filters_2: int | None = None,
        **training: Any,
    ) -> None:
        super().__init__(seed=seed, **training)
        if num_conv_layers not in (1, 2):
            raise DataError(f"num_conv_layers is {num_conv_layers}, not 1 or 2")
        default = 16 if self.causal else 64
        filters = [num_filters_1 or default, num_filters_2 or default]
        self._sizes = filters[:num_conv_layers]


class LSTM(NetworkPredictor):
    """Recurrent network.

    Parameters
    ----------
    num_hidden_neurons : width of a layer; None is Singh's (100; cnn_lstm: 128), 16 where causal.
    num_lstm_layers : layers.
    """

    SHAPES: ClassVar = {True: layers.CausalLSTM, False: layers.SinghLSTM}
    SINGHS_WIDTH = 100

    def __init__(
        self,
        *,
        seed: int = 0,
        num_hidden_neurons: int | None = None,
        num_lstm_layers: int = 1,
        **training: Any,
    ) -> None:
        super().__init__(seed=seed, **training)
        n_hidden = num_hidden_neurons or (16 if self.causal else self.SINGHS_WIDTH)
        self._sizes = (None, n_hidden, num_lstm_layers)


class CNNLSTM(LSTM):
    """Recurrent network that starts from a convolution over the settings.

    Parameters
    ----------
    num_filters : filters of the convolution.
    """

    SINGHS_WIDTH = 128

    def __init__(self, *, seed: int = 0, num_filters: int = 16, **recurrent: Any) -> None:
        super().__init__(seed=seed, **recurrent)
        self._sizes = (num_filters, *self._sizes[1:])


@dataclass(frozen=True)
class Lines:
    """The lines that the outputs of a causal network are measured from.

    Attributes
    ----------
    slope, shift, scale : by member and step, shape (members, n_steps).
    """

    slope: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, y: np.ndarray, sees: np.ndarray) -> Self:
        """Least squares over the training runs that a member sees.

        Parameters
        ----------
        values : at the steps, shape (n_runs, n_steps).
        y : final values, shape (n_runs,).
        sees : 1 where a member trains on a run, else 0, shape (members, n_runs).
        """
        w = sees / sees.sum(axis=1, keepdims=True)
        mean_x, mean_y = w @ values, (w @ y)[:, None]
        dx = values - mean_x[:, None, :]
        dy = np.broadcast_to((y - mean_y)[:, :, None], dx.shape)
        variance = np.einsum("mn,mnt->mt", w, dx**2)
        flat = variance <= 1e-24 * np.maximum(mean_x**2, 1e-300)
        slope = np.einsum("mn,mnt->mt", w, dx * dy) / np.where(flat, 1.0, variance)
        slope = np.where(flat, 0.0, slope)
        error = np.einsum("mn,mnt->mt", w, (dy - slope[:, None, :] * dx) ** 2)
        # where the line is exact nothing is left to learn; the floor only keeps numbers finite
        scale = np.maximum(np.sqrt(error), 1e-6 * y.std())
        return cls(slope, mean_y - slope * mean_x, scale)

    def targets(self, values: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Wanted outputs of the network, shape (members, n_runs, n_steps)."""
        line = self.shift[:, None, :] + self.slope[:, None, :] * values
        return (y[:, None] - line) / self.scale[:, None, :]

    def level(self, out: np.ndarray, values: np.ndarray, step: int) -> np.ndarray:
        """Final values from outputs (members, n_runs) and values (n_runs,) at one step."""
        line = self.shift[:, step, None] + self.slope[:, step, None] * values
        return line + self.scale[:, step, None] * out


def value_frame(curves: CurveSet, tau: int) -> pd.DataFrame:
    """Values up to tau with gaps bridged, a column per epoch."""
    seen = curves.seen(tau)
    names = [f"y_{epoch}" for epoch in curves.epochs[seen]]
    return pd.DataFrame(bridge(curves.values[:, seen], curves.epochs[seen]), columns=names)
