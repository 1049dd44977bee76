"""cnn, lstm, cnn_lstm: the networks of Singh (LCBench Task A), and causal versions of them.

`causal=False` is Singh's form: one network per tau maps the scaled settings and the values
up to tau to the final value. With p settings, n values and the defaults:

- cnn: Conv1d(1, 64, 2), ReLU, MaxPool1d(2, stride 1) over the sequence of p + n numbers, linear.
- lstm: LSTM(1, 100) over the sequence of p + n numbers, linear over all its steps.
- cnn_lstm: Conv1d(1, 16, 1, padding 1), ReLU over the p settings gives the initial hidden state
  of LSTM(1, 128), which reads the n values; linear over all its steps. With p = 7 the
  convolution has 16 x 9 outputs; a MaxPool1d(2, stride 1), as in the cnn, makes them the 16 x 8 =
  128 of the hidden state. Elsewhere a linear layer goes between.

`causal=True`, the default, has one network predict at every step, so that one training serves
all taus. Steps are at most about `max_steps` epochs in geometric distances, with every tau among
them. At step s the network outputs what the final value differs by from a line on the value at s,
in units of that line's error over the training runs: all steps weigh the same in the loss, and an
untrained network starts from the line. `target` names the line: least squares ("level"), or slope
1 ("gain"), either one after the warp of `transforms.Form` ("warped_..."). No form is best for all
data sets (R² at 25 %, cnn, 3 repeats: lcbench/Fashion-MNIST .71 level and .96 warped level,
baker/lstm_ptb .92 level, .99 gain and -8 warped level). Choosing it inside the training runs, by
the held-out error of ridge regressions on the same inputs, took a form worse than the level on
Fashion-MNIST: the few outliers among 100 runs do not tell.

- cnn: causal convolutions and pooling as above over the steps; the head reads their features,
  the features' running mean, the inputs and the settings.
- lstm: reads inputs and settings at every step. cnn_lstm: reads the inputs, its initial hidden
  state is the convolution over the settings.

The `members` of the ensemble are trained in one batch. They differ in their initial weights and
in the training runs that they leave out: each one leaves out a fold (Krogh and Vedelsby 1995),
so that every training run is predicted by members that did not see it. Their mean squared error
at tau plus the variance between the members gives the scale of a prediction, and those errors over
that scale the shape of its distribution (cross-conformal, Vovk 2015). The errors are shortened by
the members' ambiguity, which their mean does not suffer from (Krogh and Vedelsby, equation 6).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from curvecast.curves import CurveSet, DataError
from curvecast.features import forward_fill
from curvecast.predictors import _network_shapes as shapes
from curvecast.predictors._batched_layers import evaluate, one_thread, train
from curvecast.predictors._network_inputs import (
    Steps,
    positions_of,
    static_frame,
    thin,
)
from curvecast.predictors.base import Predictor, inner_folds
from curvecast.predictors.distributions import Prediction, ResidualPrediction
from curvecast.predictors.scaling import SCALINGS, Columns, center_and_scale
from curvecast.predictors.transforms import FORMS, Form

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


class Trained(Protocol):
    """A trained ensemble."""

    @property
    def form(self) -> Form:
        """The transform under which its predictions are Gaussian."""

    def members(self, curves: CurveSet, tau: int) -> np.ndarray:
        """Final values by member in the coordinates of `form`, shape (members, n_configs)."""


@dataclass(frozen=True)
class Settings:
    """Scaled settings of the runs."""

    columns: Columns

    @classmethod
    def of(cls, curves: CurveSet, scaling: str = "standard") -> Settings:
        return cls(Columns.of(static_frame(curves), scaling))

    def tensor(self, curves: CurveSet) -> Tensor:
        return torch.from_numpy(self.columns.apply(static_frame(curves)).astype(np.float32))


@dataclass(frozen=True)
class CausalEnsemble:
    """Members that predict at every step.

    Attributes
    ----------
    step : by tau, the last step that it sees.
    """

    network: nn.Module
    settings: Settings
    steps: Steps
    step: dict[int, int]
    lines: Lines

    @property
    def form(self) -> Form:
        return self.lines.form

    def members(self, curves: CurveSet, tau: int) -> np.ndarray:
        s = self.step[tau]
        channels = torch.from_numpy(self.steps.channels(curves, s + 1))
        inputs = (self.settings.tensor(curves), channels)
        last = slice(s, s + 1)
        out = evaluate(self.network, inputs, lambda outputs: outputs[:, :, last])
        values = self.steps.values(curves, s + 1)[:, last]
        return self.lines.level(out, values, last)[:, :, 0]


@dataclass(frozen=True)
class FixedEnsembles:
    """One network per tau in Singh's form.

    Attributes
    ----------
    networks, values : by tau, the network and the scaling of the values up to it.
    form : the level as it is.
    center, scale : of the training runs' final values.
    """

    networks: dict[int, nn.Module]
    settings: Settings
    values: dict[int, Columns]
    form: Form
    center: float
    scale: float

    def members(self, curves: CurveSet, tau: int) -> np.ndarray:
        inputs = (self.settings.tensor(curves), seen_values(self.values[tau], curves, tau))
        out = evaluate(self.networks[tau], inputs, lambda outputs: outputs[:, :, 0])
        return self.center + self.scale * out


def value_frame(curves: CurveSet, tau: int) -> pd.DataFrame:
    """Forward-filled values up to tau, a column per epoch."""
    seen = curves.seen(tau)
    names = [f"y_{epoch}" for epoch in curves.epochs[seen]]
    return pd.DataFrame(forward_fill(curves.values[:, seen]), columns=names)


def seen_values(columns: Columns, curves: CurveSet, tau: int) -> Tensor:
    """Scaled values up to tau, shape (n_configs, n)."""
    return torch.from_numpy(columns.apply(value_frame(curves, tau)).astype(np.float32))


@dataclass(frozen=True)
class Lines:
    """The lines that the outputs of a causal network are measured from.

    Attributes
    ----------
    form : transform of values and targets, a level form.
    slope, shift, scale : by member and step, shape (members, n_steps).
    """

    form: Form
    slope: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, name: str, values: np.ndarray, y: np.ndarray, sees: np.ndarray) -> Lines:
        """Learn from training runs.

        Parameters
        ----------
        name : one of `FORMS`; a gain has the slope 1.
        values : at the steps, shape (n_runs, n_steps).
        y : final values, shape (n_runs,).
        sees : 1 where a member trains on a run, else 0, shape (members, n_runs).
        """
        form = Form.level(y, warped=name.startswith("warped"))
        values, y = form.forward(values, 0.0), form.forward(y, 0.0)
        w = sees / sees.sum(axis=1, keepdims=True)
        mean_x, mean_y = w @ values, (w @ y)[:, None]
        dx = values - mean_x[:, None, :]
        dy = np.broadcast_to((y - mean_y)[:, :, None], dx.shape)
        variance = np.einsum("mn,mnt->mt", w, dx**2)
        flat = variance <= 1e-24 * np.maximum(mean_x**2, 1e-300)
        slope = np.einsum("mn,mnt->mt", w, dx * dy) / np.where(flat, 1.0, variance)
        slope = np.ones_like(slope) if name.endswith("gain") else np.where(flat, 0.0, slope)
        error = np.einsum("mn,mnt->mt", w, (dy - slope[:, None, :] * dx) ** 2)
        # where the line is exact nothing is left to learn; the floor only keeps numbers finite
        scale = np.maximum(np.sqrt(error), 1e-6 * y.std())
        return cls(form, slope, mean_y - slope * mean_x, scale)

    def at(self, values: np.ndarray, steps: slice) -> np.ndarray:
        """The lines at values of shape (n_runs, n_steps); shape (members, n_runs, n_steps)."""
        z = self.form.forward(values, 0.0)
        return self.shift[:, None, steps] + self.slope[:, None, steps] * z

    def targets(self, values: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What the network should output, shape (members, n_runs, n_steps)."""
        z = self.form.forward(y, 0.0)[:, None]
        return (z - self.at(values, slice(None))) / self.scale[:, None, :]

    def level(self, out: np.ndarray, values: np.ndarray, steps: slice) -> np.ndarray:
        """Final values, in the coordinates of `form`, from outputs (members, n_runs, n_steps)."""
        return self.at(values, steps) + self.scale[:, None, steps] * out


class NetworkPredictor(Predictor):
    """What the three networks share: training, the ensemble and its spread.

    A constant target gives that value without spread.

    Parameters
    ----------
    causal : one network for all taus, or Singh's form.
    epochs, lr : passes over the training runs, and the learning rate; None is 60 and .02 where
        causal (100 and .01 are as good, but slower), 100 and .01 in Singh's form.
    optimizer, batch_size, weight_decay : of the training, see `_batched_layers.train`.
    members : size of the ensemble, at least 2.
    max_steps : about how many steps a causal network sees.
    target : what a causal network learns, see the module's text.
    scaling : of inputs and target in Singh's form, "standard" or "minmax".
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        causal: bool = True,
        epochs: int | None = None,
        lr: float | None = None,
        optimizer: str = "Adam",
        batch_size: int = 100,
        weight_decay: float = 0.1,
        members: int = 5,
        max_steps: int = 12,
        target: str = "level",
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
        default_epochs, default_lr = (60, 0.02) if causal else (100, 0.01)
        self.causal, self.n_members = causal, members
        self.epochs = default_epochs if epochs is None else int(epochs)
        self.lr, self.optimizer = default_lr if lr is None else lr, optimizer
        self.batch_size, self.weight_decay, self.max_steps = batch_size, weight_decay, max_steps
        self._held_out: dict[int, float] = {}
        if target not in FORMS:
            raise DataError(f"target is {target!r}, not one of {', '.join(FORMS)}")
        self.target, self.scaling = target, scaling

    @abstractmethod
    def _causal_network(
        self, n_static: int, n_channels: int, generator: torch.Generator
    ) -> nn.Module:
        """A causal network of `self.n_members` members."""

    @abstractmethod
    def _fixed_network(self, n_static: int, n_values: int, generator: torch.Generator) -> nn.Module:
        """A network in Singh's form, of `self.n_members` members."""

    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        """Learn from the runs with a finite end.

        Raises
        ------
        DataError : runs of fewer than two configurations, an unknown optimizer, a tau outside of
            the epochs, or (Singh's cnn) too few numbers for the convolutions.
        """
        curves = curves.take(np.isfinite(curves.final))
        positions = positions_of(curves, taus)
        y = curves.final
        folds = inner_folds(curves.groups, self.n_members, self.seed)
        leaves_out = np.arange(self.n_members) % (folds.max() + 1)
        sees = (folds != leaves_out[:, None]).astype(np.float64)
        self._center, self._taus = float(y.mean()), positions
        self._constant = bool(y.std() <= 1e-12 * max(1.0, abs(self._center)))
        self._variance = dict.fromkeys(positions, 0.0)
        self._errors: dict[int, np.ndarray] = {}
        self._held_out = {}
        if self._constant:
            return self
        with one_thread():
            self._trained: Trained = (
                self._fit_causal(curves, positions, sees)
                if self.causal
                else self._fit_fixed(curves, positions, sees)
            )
            for tau in positions:
                values = self._trained.members(curves.hide_after(tau), tau)
                unseen = (values * (1 - sees)).sum(axis=0) / (1 - sees).sum(axis=0)
                z = self._trained.form.forward(y, 0.0)
                self._variance[tau] = float(np.mean((z - unseen) ** 2))
                # the mean of the members is better than one of them by what they differ
                better = 1 - values.var(axis=0).mean() / max(self._variance[tau], 1e-300)
                errors = (z - unseen) * np.sqrt(np.clip(better, 0.25, 1.0))
                self._errors[tau] = errors / self._spread(values, tau)
                self._held_out[tau] = 1 - self._variance[tau] / float(z.var())
        return self

    def _fit_causal(
        self, curves: CurveSet, positions: dict[int, int], sees: np.ndarray
    ) -> CausalEnsemble:
        generator = torch.Generator().manual_seed(self.seed)
        settings = Settings.of(curves)
        last = max(positions.values())
        steps = Steps.of(curves, thin(last, self.max_steps, positions.values()))
        n_steps = len(steps.positions)
        y = curves.final
        static = settings.tensor(curves)
        channels = steps.channels(curves, n_steps)
        values = steps.values(curves, n_steps)
        lines = Lines.of(self.target, values, y, sees)
        wanted = lines.targets(values, y)
        network = self._causal_network(static.shape[1], steps.n_channels, generator)
        self._train(network, (static, torch.from_numpy(channels)), wanted, sees, generator)
        step = {tau: steps.step_of(position) for tau, position in positions.items()}
        return CausalEnsemble(network, settings, steps, step, lines)

    def _fit_fixed(self, curves: CurveSet, taus: Iterable[int], sees: np.ndarray) -> FixedEnsembles:
        settings = Settings.of(curves, self.scaling)
        static = settings.tensor(curves)
        y = curves.final
        center, scale = (float(x[0]) for x in center_and_scale(y[:, None], self.scaling))
        target = np.broadcast_to(((y - center) / scale)[:, None], (self.n_members, len(y), 1))
        networks, columns = {}, {}
        for tau in taus:
            generator = torch.Generator().manual_seed(self.seed)
            columns[tau] = Columns.of(value_frame(curves, tau), self.scaling)
            values = seen_values(columns[tau], curves, tau)
            networks[tau] = self._fixed_network(static.shape[1], values.shape[1], generator)
            self._train(networks[tau], (static, values), target, sees, generator)
        form = Form.level(y)
        return FixedEnsembles(networks, settings, columns, form, center, scale)

    def _train(
        self,
        network: nn.Module,
        inputs: tuple[Tensor, Tensor],
        target: np.ndarray,
        sees: np.ndarray,
        generator: torch.Generator,
    ) -> None:
        train(
            network,
            inputs,
            torch.from_numpy(target.astype(np.float32)),
            torch.from_numpy(sees.astype(np.float32)),
            epochs=self.epochs,
            lr=self.lr,
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            generator=generator,
        )

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        if tau not in self._taus:
            raise DataError(f"not fitted for tau {tau}, only for {sorted(self._taus)}")
        if self._constant:
            return Prediction(np.full(len(curves), self._center), np.zeros(len(curves)))
        with one_thread():
            values = self._trained.members(curves, tau)
        inner = ResidualPrediction.of(
            values.mean(axis=0), self._spread(values, tau), self._errors[tau]
        )
        return self._trained.form.back(inner, 0.0)

    def _spread(self, values: np.ndarray, tau: int) -> np.ndarray:
        """Scale per run of the error of predictions by member, (members, n_configs)."""
        variance = self._variance[tau] + values.var(axis=0, ddof=1)
        return np.maximum(np.sqrt(variance), 1e-300)

    def diagnostics(self) -> dict[str, float]:
        if not self._held_out:
            return {}
        return {"held_out_r2": float(np.mean(list(self._held_out.values())))}


class CNN(NetworkPredictor):
    """Convolutional network.

    Parameters
    ----------
    num_conv_layers : 1 or 2.
    num_filters_1, num_filters_2 : filters of the layers; None is Singh's 64, 16 where causal.
    """

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
        filters = (num_filters_1 or default, num_filters_2 or default)
        self.filters = filters[:num_conv_layers]

    def _causal_network(
        self, n_static: int, n_channels: int, generator: torch.Generator
    ) -> nn.Module:
        return shapes.CausalCNN(self.n_members, n_static, n_channels, self.filters, generator)

    def _fixed_network(self, n_static: int, n_values: int, generator: torch.Generator) -> nn.Module:
        return shapes.SinghCNN(self.n_members, n_static + n_values, self.filters, generator)


class LSTM(NetworkPredictor):
    """Recurrent network.

    Parameters
    ----------
    num_hidden_neurons : width of a layer; None is Singh's 100, 16 where causal.
    num_lstm_layers : layers.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        num_hidden_neurons: int | None = None,
        num_lstm_layers: int = 1,
        **training: Any,
    ) -> None:
        super().__init__(seed=seed, **training)
        self.n_hidden = num_hidden_neurons or (16 if self.causal else 100)
        self.n_layers = num_lstm_layers

    def _causal_network(
        self, n_static: int, n_channels: int, generator: torch.Generator
    ) -> nn.Module:
        return shapes.CausalLSTM(
            self.n_members, n_static, n_channels, self.n_hidden, self.n_layers, generator
        )

    def _fixed_network(self, n_static: int, n_values: int, generator: torch.Generator) -> nn.Module:
        return shapes.SinghLSTM(
            self.n_members, n_static + n_values, self.n_hidden, self.n_layers, generator
        )


class CNNLSTM(NetworkPredictor):
    """Recurrent network that starts from a convolution over the settings.

    Parameters
    ----------
    num_filters : filters of the convolution.
    num_hidden_neurons : width of a recurrent layer; None is Singh's 128, 16 where causal.
    num_lstm_layers : recurrent layers.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        num_filters: int = 16,
        num_hidden_neurons: int | None = None,
        num_lstm_layers: int = 1,
        **training: Any,
    ) -> None:
        super().__init__(seed=seed, **training)
        self.filters = num_filters
        self.n_hidden = num_hidden_neurons or (16 if self.causal else 128)
        self.n_layers = num_lstm_layers

    def _causal_network(
        self, n_static: int, n_channels: int, generator: torch.Generator
    ) -> nn.Module:
        return shapes.CausalCNNLSTM(
            self.n_members,
            n_static,
            n_channels,
            self.filters,
            self.n_hidden,
            self.n_layers,
            generator,
        )

    def _fixed_network(self, n_static: int, n_values: int, generator: torch.Generator) -> nn.Module:
        return shapes.SinghCNNLSTM(
            self.n_members,
            n_static,
            n_values,
            self.filters,
            self.n_hidden,
            self.n_layers,
            generator,
        )
