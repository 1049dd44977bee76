"""Multi-layer perceptrons for classification, trained by SGD as in LCBench.

All random numbers of a run (initial weights, order of samples, dropout) come from streams that its
own seed starts; they are drawn on the CPU for every device.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from curvecast.protocol import seed_from
from curvecast.training.torch_session import TorchSession, accuracies, optimizer_of

PROBE_SIZE = 256
# No run comes back from such a loss; without a limit a run that explodes without overflowing
# before the last epoch would end with a loss of 1e20 and rule every mean.
DIVERGED_LOSS = 1e3
SERIES = (
    "train_cross_entropy",
    "val_cross_entropy",
    "train_accuracy",
    "val_accuracy",
    "train_balanced_accuracy",
    "val_balanced_accuracy",
    "gradient_norm",
    "learning_rate",
    "seconds",
)


@dataclass(frozen=True)
class Data:
    """A classification task: float32 inputs of shape (n, features), labels in 0..n_classes-1.

    The test part is empty where nothing is tested.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    n_classes: int
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None

    @property
    def n_features(self) -> int:
        return self.x_train.shape[1]


@dataclass(frozen=True)
class Run:
    """One training by SGD: `widths` of the hidden layers and the dropout rate after each.

    A run with a loss above `loss_limit` counts as diverged.
    """

    widths: tuple[int, ...]
    dropout: tuple[float, ...]
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    seed: int
    loss_limit: float = DIVERGED_LOSS


def funnel(max_units: int, n_layers: int, n_classes: int) -> tuple[int, ...]:
    """Widths of the n_layers - 1 hidden layers, falling linearly towards the number of classes.

    The "funnel" of Auto-PyTorch's shaped MLP (Zimmer, Lindauer, Hutter 2021), which LCBench
    trained: the layers are counted with the output layer, one layer is a linear classifier.
    """
    step = max(0, int((max_units - n_classes) / max(1, n_layers - 1)))
    return tuple(max_units - i * step for i in range(n_layers - 1))


def funnel_dropout(max_dropout: float, n_layers: int) -> tuple[float, ...]:
    """Dropout rates after the hidden layers, falling linearly to 0; none at or below 0.05.

    The companion of `funnel` in the same source, threshold included.
    """
    if max_dropout <= 0.05:
        return (0.0,) * (n_layers - 1)
    return tuple(max_dropout * (1 - i / (n_layers - 1)) for i in range(n_layers - 1))


def n_parameters(run: Run, n_features: int, n_classes: int) -> int:
    """Number of weights and biases."""
    sizes = itertools.pairwise([n_features, *run.widths, n_classes])
    return sum((n_in + 1) * n_out for n_in, n_out in sizes)


def initial_weights(
    run: Run, n_features: int, n_classes: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (inputs, outputs) and biases (outputs,) per layer, as `torch.nn.Linear` draws them.

    Both are uniform in ±1/sqrt(inputs).
    """
    rng = _stream(run, "initial weights")
    layers = []
    for n_in, n_out in itertools.pairwise([n_features, *run.widths, n_classes]):
        draws = (2 * rng.random((n_in + 1, n_out), dtype=np.float32) - 1) / math.sqrt(n_in)
        layers.append((draws[:-1].astype(np.float32), draws[-1].astype(np.float32)))
    return layers


def sample_orders(run: Run, n_train: int) -> Iterator[np.ndarray]:
    """The order of the training samples in epoch 1, 2, ...; int arrays of shape (n_train,)."""
    rng = _stream(run, "order")
    while True:
        yield rng.permutation(n_train)


def dropout_bytes(run: Run, n_train: int) -> Iterator[np.ndarray]:
    """Random bytes of epoch 1, 2, ..., shape (n_train, sum(widths)), by position in the epoch.

    A unit is dropped where its byte is below `drop_level(rate)`.
    """
    source = _stream(run, "dropout").bit_generator
    n = n_train * sum(run.widths)
    while True:
        yield source.random_raw(-(-n // 8)).view(np.uint8)[:n].reshape(n_train, -1)


def drop_level(rate: float) -> int:
    """A dropout rate in 256ths, at most 255: one byte decides, so rates are that coarse."""
    return min(255, round(256 * rate))


def learning_rates(run: Run, n_epochs: int) -> np.ndarray:
    """Cosine annealing (Loshchilov and Hutter 2017) per epoch, shape (n_epochs + 1,).

    Entry e >= 1 is the rate in epoch e; entry 0 repeats the initial rate.
    """
    passed = np.maximum(np.arange(n_epochs + 1) - 1, 0) / n_epochs
    return run.learning_rate * 0.5 * (1 + np.cos(np.pi * passed))


class Perceptron(TorchSession):
    """The training of one run.

    Parameters
    ----------
    n_epochs : length of a complete training, over which the learning rate is annealed.
    """

    def __init__(self, data: Data, run: Run, n_epochs: int, device: str = "cpu") -> None:
        self.data, self.run, self.device = data, run, device
        self.network = _network(run, data).to(device)
        self.optimizer = optimizer_of(
            self.network,
            "sgd",
            run.learning_rate,
            momentum=run.momentum,
            weight_decay=run.weight_decay,
        )
        self._rates = learning_rates(run, n_epochs)
        self._x, self._y = self._tensor(data.x_train), self._tensor(data.y_train)
        self._x_all = self._tensor(np.concatenate([data.x_train, data.x_val]))
        self._y_all = self._tensor(np.concatenate([data.y_train, data.y_val]))
        self._orders = sample_orders(run, len(self._y))
        self._bytes = dropout_bytes(run, len(self._y))
        self._diverged = False

    def train_epoch(self) -> None:
        """One pass over the training samples."""
        self.epoch += 1
        self.optimizer.param_groups[0]["lr"] = float(self._rates[self.epoch])
        order = self._tensor(next(self._orders))
        size = self.run.batch_size
        batches = zip(
            self._x[order].split(size),
            self._y[order].split(size),
            *(mask.split(size) for mask in self._masks()),
            strict=True,
        )
        for x, y, *masks in batches:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self._logits(x, masks), y).backward()
            self.optimizer.step()

    def evaluate(self) -> dict[str, float]:
        """All of `SERIES` but the seconds, without dropout; see `train`."""
        with torch.no_grad():
            logits = self._logits(self._x_all)
            errors = nn.functional.cross_entropy(logits, self._y_all, reduction="none").double()
        n = len(self._y)
        log = {}
        for part, rows in (("train", slice(None, n)), ("val", slice(n, None))):
            log[f"{part}_cross_entropy"] = float(errors[rows].mean())
            for name, value in accuracies(logits[rows], self._y_all[rows]).items():
                log[f"{part}_{name}"] = value
        log["gradient_norm"] = self._gradient_norm()
        losses = (log["train_cross_entropy"], log["val_cross_entropy"])
        if self._diverged or not all(loss <= self.run.loss_limit for loss in losses):
            self._diverged = True
            log = {k: math.inf if k.endswith("cross_entropy") else math.nan for k in log}
        return log | {"learning_rate": float(self._rates[self.epoch])}

    def scores(self) -> dict[str, float]:
        """Accuracy on the validation and the test part."""
        parts = {"validation": (self.data.x_val, self.data.y_val)}
        if self.data.x_test is not None and self.data.y_test is not None:
            parts["test"] = (self.data.x_test, self.data.y_test)
        with torch.no_grad():
            return {
                name: accuracies(self._logits(self._tensor(x)), self._tensor(y))["accuracy"]
                for name, (x, y) in parts.items()
            }

    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Continue after `epoch`: the draws of the epochs before are repeated and discarded."""
        super().resume(epoch, state)
        for _ in range(epoch):
            next(self._orders)
            self._masks()

    def _logits(self, x: torch.Tensor, masks: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        *hidden, last = self.network.children()
        for i, layer in enumerate(hidden):
            x = torch.relu(layer(x))
            if masks:
                x = x * masks[i]
        return last(x)

    def _masks(self) -> list[torch.Tensor]:
        """Scaled dropout masks of an epoch per hidden layer, shape (n_train, width), or none."""
        levels = [drop_level(rate) for rate in self.run.dropout]
        if not any(levels):
            return []
        parts = self._tensor(next(self._bytes)).split(self.run.widths, dim=1)
        return [
            (part >= level) * (256 / (256 - level))
            for part, level in zip(parts, levels, strict=True)
        ]

    def _gradient_norm(self) -> float:
        loss = nn.functional.cross_entropy(self._logits(self._x[:PROBE_SIZE]), self._y[:PROBE_SIZE])
        gradients = torch.autograd.grad(loss, list(self.network.parameters()))
        return float(nn.utils.get_total_norm(gradients))

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def train(data: Data, run: Run, n_epochs: int, device: str = "cpu") -> dict[str, np.ndarray]:
    """Train one run and log every epoch.

    Returns
    -------
    Arrays of shape (n_epochs + 1,) for every name in `SERIES`; the untrained network is epoch 0.
    They hold mean cross-entropy, accuracy and balanced accuracy (mean recall of the classes) on
    all training and validation samples after the epoch, without dropout; `gradient_norm`, the norm
    of the gradient of the cross-entropy over the first `PROBE_SIZE` training samples there, without
    dropout and weight decay; `learning_rate`, that of the epoch just trained; `seconds`,
    cumulative, of training and evaluation (of the processor on a CPU, of the clock on a GPU).
    From the epoch on in which a cross-entropy is above `DIVERGED_LOSS` or not a number, a run has
    diverged: cross-entropies are inf, accuracies and gradient norm NaN.
    """
    # On the CPU others may share the core: only the processor's seconds are those of the training.
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    session = Perceptron(data, run, n_epochs, device)
    logs = []
    for epoch in range(n_epochs + 1):
        if epoch:
            session.train_epoch()
        logs.append({**session.evaluate(), "seconds": clock() - started})
    return {name: np.array([log[name] for log in logs]) for name in SERIES}


def _network(run: Run, data: Data) -> nn.Sequential:
    """The linear layers; `Perceptron` puts ReLU and dropout between them."""
    network = nn.Sequential()
    for weight, bias in initial_weights(run, data.n_features, data.n_classes):
        layer = nn.utils.skip_init(nn.Linear, *weight.shape)
        layer.weight.data = torch.from_numpy(weight.T.copy())
        layer.bias.data = torch.from_numpy(bias)
        network.append(layer)
    return network


def _stream(run: Run, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed_from(run.seed, purpose)))
