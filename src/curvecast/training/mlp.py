"""Many small multi-layer perceptrons trained at once, as one batched program.

The runs of a group are stacked: every weight matrix becomes a tensor of shape (runs, inputs,
outputs) and one `baddbmm` serves all runs. Narrower networks are padded with zeros; a padded unit
has zero weights on both sides, so its activation and every gradient around it are exactly zero and
it needs no mask. Runs of a group are ordered by batch size: those with larger batches have fewer
steps per epoch, and a step works on the leading runs that still have one. Products are taken
run by run, so a run that overflows disturbs no other.

All random numbers of a run (initial weights, order of samples, dropout) come from streams that
its own seed starts, whatever its group mates are; they are drawn on the CPU for every device.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from curvecast.protocol import seed_from

# Cost model for the grouping, in multiply-adds: what Python and the dispatch of one step cost, and
# what the update of one parameter costs (cpu: measured on one Zen 4 core; cuda: the same dispatch
# time at the throughput of a current GPU, an estimate).
STEP_OVERHEAD = {"cpu": 1e7, "cuda": 1e9}
UPDATE_COST = 10
# Bounds the memory of a group: the padded width of all its hidden layers, summed over its runs.
MAX_GROUP_UNITS = {"cpu": 2**15, "cuda": 2**18}
PROBE_SIZE = 256
# Far beyond what a run comes back from; without a limit a run that explodes without overflowing
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
    """A classification task: float32 inputs of shape (n, features), labels in 0..n_classes-1."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    n_classes: int

    @property
    def n_features(self) -> int:
        return self.x_train.shape[1]


@dataclass(frozen=True)
class Run:
    """One training by SGD: `widths` of the hidden layers and the dropout rate after each."""

    widths: tuple[int, ...]
    dropout: tuple[float, ...]
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    seed: int


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
    return _n_parameters(_sizes(run.widths, n_features, n_classes))


def initial_weights(
    run: Run, n_features: int, n_classes: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (inputs, outputs) and biases (outputs,) per layer, as `torch.nn.Linear` draws them.

    Both are uniform in ±1/sqrt(inputs).
    """
    rng = _stream(run, "initial weights")
    layers = []
    for n_in, n_out in _sizes(run.widths, n_features, n_classes):
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


def plan(runs: Sequence[Run], data: Data, device: str = "cpu") -> list[np.ndarray]:
    """Divide the runs into groups that are trained together; int arrays of positions in `runs`.

    Runs of one group have the same depth. Starting from all runs of a depth, a group is halved
    by width or by batch size as long as that lowers the estimated time of its epochs (less
    padding, but more steps). Within a group the runs are ordered by batch size.
    """
    n_train = len(data.y_train)
    overhead = STEP_OVERHEAD[device]
    widths = np.array([max(run.widths, default=0) for run in runs])
    batches = np.array([min(run.batch_size, n_train) for run in runs])

    def cost(rows: np.ndarray) -> float:
        members = [runs[i] for i in rows]
        size = _n_parameters(_sizes(_padded_widths(members), data.n_features, data.n_classes))
        leading = _runs_per_step(batches[rows], n_train)
        active = leading * (3 * batches[rows][leading - 1] + UPDATE_COST)
        return overhead * len(leading) + float(size) * active.sum()

    def halves(rows: np.ndarray, key: np.ndarray) -> list[np.ndarray]:
        order = rows[np.lexsort((rows, key[rows]))]
        middle = len(rows) // 2
        return [_by_batch(part, batches) for part in (order[:middle], order[middle:])]

    def divide(rows: np.ndarray) -> list[np.ndarray]:
        if len(rows) == 1:
            return [rows]
        options = [halves(rows, widths), halves(rows, batches)]
        best = min(options, key=lambda parts: sum(cost(part) for part in parts))
        units = len(rows) * sum(_padded_widths([runs[i] for i in rows]))
        if units <= MAX_GROUP_UNITS[device] and cost(rows) <= sum(cost(part) for part in best):
            return [rows]
        return [group for part in best for group in divide(part)]

    depths = np.array([len(run.widths) for run in runs])
    groups: list[np.ndarray] = []
    for depth in np.unique(depths):
        groups += divide(_by_batch(np.flatnonzero(depths == depth), batches))
    return groups


def train(
    data: Data, runs: Sequence[Run], n_epochs: int, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """Train the runs of one group together and log every epoch.

    Parameters
    ----------
    runs : of equal depth (see `plan`), in any order.
    n_epochs : E; the untrained networks are logged as epoch 0.

    Returns
    -------
    Arrays of shape (n_runs, n_epochs + 1) for every name in `SERIES`, in the order of `runs`:
    mean cross-entropy, accuracy and balanced accuracy (mean recall of the classes) on all training
    and validation samples after the epoch, without dropout; `gradient_norm`, the norm of the
    gradient of the cross-entropy over the first `PROBE_SIZE` training samples there, without
    dropout and weight decay; `learning_rate`, that of the epoch just trained; `seconds`,
    cumulative: the time of the group (of the processor on a CPU, of the clock on a GPU), shared
    out among its runs in proportion to their multiply-adds without padding (so it is what a run
    costs as a part of the batch, evaluation included). A diverged run is kept: see
    `mark_diverged`.
    """
    sizes = np.array([run.batch_size for run in runs])
    order = np.argsort(np.minimum(sizes, len(data.y_train)), kind="stable")
    group = Group(data, [runs[i] for i in order], device)
    rates = np.array([learning_rates(run, n_epochs) for run in group.runs])
    logs: list[dict[str, np.ndarray]] = []
    # On the CPU others may share the core: only the processor's seconds are those of the training.
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    for epoch in range(n_epochs + 1):
        if epoch:
            group.train_epoch(rates[:, epoch])
        log = group.evaluate()
        elapsed = clock() - started
        logs.append(
            {**log, "learning_rate": rates[:, epoch], "seconds": elapsed * group.work_shares}
        )
    back = np.argsort(order)
    return mark_diverged(
        {name: np.stack([log[name] for log in logs], axis=1)[back] for name in SERIES}
    )


def mark_diverged(logs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mark runs from the epoch on in which a cross-entropy is above `DIVERGED_LOSS` or NaN.

    From there on cross-entropies are inf, accuracies and gradient norm NaN.
    """
    losses = [name for name in logs if name.endswith("cross_entropy")]
    usable = np.logical_and.reduce([logs[name] <= DIVERGED_LOSS for name in losses])
    diverged = ~np.logical_and.accumulate(usable, axis=1)
    marks = dict.fromkeys(losses, np.inf) | {
        name: np.nan for name in logs if name.endswith("accuracy") or name == "gradient_norm"
    }
    return {
        name: np.where(diverged, marks[name], log) if name in marks else log
        for name, log in logs.items()
    }


class Group:
    """Stacked parameters, momenta and data of runs ordered by ascending batch size.

    Attributes
    ----------
    runs : in that order, of equal depth.
    weights, momenta : state of the runs, one row each, (runs, padded parameters), so that the
        update is one operation over all layers.
    layers : views of the weights per layer.
    orders, bytes : streams of `sample_orders` and `dropout_bytes` per run; an epoch takes one item
        of each order, and of each of the bytes where there is `any_dropout`.
    """

    def __init__(self, data: Data, runs: Sequence[Run], device: str) -> None:
        self.runs = runs
        self.n_train = len(data.y_train)
        self.n_classes = data.n_classes
        self.device = torch.device(device)
        self.widths = _padded_widths(runs)
        self.shapes = _sizes(self.widths, data.n_features, data.n_classes)
        self.weights = torch.zeros(len(runs), _n_parameters(self.shapes), device=device)
        self.momenta = torch.zeros_like(self.weights)
        self.layers = _views(self.weights, self.shapes)
        for row, run in enumerate(runs):
            own = initial_weights(run, data.n_features, data.n_classes)
            for (weight, bias), (own_weight, own_bias) in zip(self.layers, own, strict=True):
                n_in, n_out = own_weight.shape
                weight[row, :n_in, :n_out] = torch.from_numpy(own_weight)
                bias[row, 0, :n_out] = torch.from_numpy(own_bias)
        self.momentum = self._column([run.momentum for run in runs])
        self.decay = self._column([run.weight_decay for run in runs])
        levels = np.array([[drop_level(p) for p in run.dropout] for run in runs], dtype=np.uint8)
        self.any_dropout = bool(levels.any())
        self.levels = [self._tensor(column)[:, None, None] for column in levels.T]
        self.scales = [
            self._column(256 / (256 - column.astype(np.float64)))[:, :, None] for column in levels.T
        ]
        self.x_train = self._tensor(data.x_train)
        self.x_all = self._tensor(np.concatenate([data.x_train, data.x_val]))
        self.y_all = self._tensor(np.concatenate([data.y_train, data.y_val]))
        self.targets = torch.nn.functional.one_hot(self.y_all, data.n_classes).float()
        self.orders = [sample_orders(run, self.n_train) for run in runs]
        self.bytes = [dropout_bytes(run, self.n_train) for run in runs]
        self.steps = self._plan_steps()
        self.work_shares = self._work_shares(data)

    def train_epoch(self, rates: np.ndarray) -> None:
        """One pass over the training samples; `rates` are the learning rates, shape (runs,)."""
        step_sizes = self._column(-rates)
        order = self._tensor(np.stack([next(orders) for orders in self.orders]))
        samples = order.flatten()[self.positions]
        x, targets = self.x_train[samples], self.targets[samples]
        masks = self._epoch_bytes() if self.any_dropout else []
        for leading, width, start in self.steps:
            end = start + leading * width
            shape = (leading, width, -1)
            weights, momenta = self.weights[:leading], self.momenta[:leading]
            layers = [(w[:leading], b[:leading]) for w, b in self.layers]
            drops = [
                (bytes_[start:end].view(shape) >= level[:leading]) * scale[:leading]
                for bytes_, level, scale in zip(masks, self.levels, self.scales, strict=False)
            ]
            activations, logits = _forward(layers, x[start:end].view(shape), drops)
            delta = torch.softmax(logits, dim=2).sub_(targets[start:end].view(shape))
            delta.mul_(self.sample_weights[start:end].view(shape))
            momenta.mul_(self.momentum[:leading]).addcmul_(weights, self.decay[:leading])
            scales = [scale[:leading] for scale in self.scales] if drops else []
            _add_gradients(_views(momenta, self.shapes), layers, activations, delta, scales)
            weights.addcmul_(momenta, step_sizes[:leading])

    def evaluate(self) -> dict[str, np.ndarray]:
        """All series but learning rate and time, arrays of shape (runs,)."""
        x = self.x_all.expand(len(self.runs), -1, -1)
        activations, logits = _forward(self.layers, x, [])
        losses = torch.logsumexp(logits, dim=2) - (logits * self.targets).sum(dim=2)
        hits = (logits.argmax(dim=2) == self.y_all).double()
        log = {}
        for part, rows in (
            ("train", slice(None, self.n_train)),
            ("val", slice(self.n_train, None)),
        ):
            loss = losses[:, rows].double().mean(dim=1)
            members = self.targets[rows].double()
            recalls = (hits[:, rows] @ members) / members.sum(dim=0)
            accuracies = {
                f"{part}_accuracy": hits[:, rows].mean(dim=1),
                f"{part}_balanced_accuracy": recalls.mean(dim=1),
            }
            log[f"{part}_cross_entropy"] = loss.cpu().numpy()
            for name, accuracy in accuracies.items():
                log[name] = accuracy.cpu().numpy()
        n = min(PROBE_SIZE, self.n_train)
        log["gradient_norm"] = self._gradient_norms([a[:, :n] for a in activations], logits[:, :n])
        return log

    def _gradient_norms(self, activations: list[torch.Tensor], logits: torch.Tensor) -> np.ndarray:
        n = logits.shape[1]
        delta = (torch.softmax(logits, dim=2) - self.targets[:n]) / n
        gradient = torch.zeros_like(self.weights)
        _add_gradients(_views(gradient, self.shapes), self.layers, activations, delta, [])
        return torch.linalg.vector_norm(gradient, dim=1).double().cpu().numpy()

    def _epoch_bytes(self) -> list[torch.Tensor]:
        """Dropout bytes per hidden layer for all slots of all steps, shape (slots, width)."""
        drawn = [next(bytes_) for bytes_ in self.bytes]
        result = []
        for layer, width in enumerate(self.widths):
            padded = np.zeros((len(self.runs), self.n_train, width), dtype=np.uint8)
            for row, (run, own) in enumerate(zip(self.runs, drawn, strict=True)):
                first = sum(run.widths[:layer])
                padded[row, :, : run.widths[layer]] = own[:, first : first + run.widths[layer]]
            result.append(self._tensor(padded.reshape(-1, width))[self.positions])
        return result

    def _plan_steps(self) -> list[tuple[int, int, int]]:
        """Per step: the number of leading runs, the padded batch size and the first slot.

        `positions` (slots,) are indices into the flattened orders of the runs; `sample_weights`
        (slots, 1) are one over the size of the batch, and 0 in padded slots. A padded slot
        repeats the first sample of its own batch, so it overflows only where that one does.
        """
        batches = np.array([min(run.batch_size, self.n_train) for run in self.runs])
        steps, positions, weights, start = [], [], [], 0
        for step, leading in enumerate(_runs_per_step(batches, self.n_train)):
            first = step * batches[:leading, None]
            width = int(batches[leading - 1])
            slot = first + np.arange(width)
            real = slot < np.minimum(first + batches[:leading, None], self.n_train)
            row_starts = self.n_train * np.arange(leading)[:, None]
            positions.append((row_starts + np.where(real, slot, first)).ravel())
            weights.append((real / real.sum(axis=1, keepdims=True)).ravel())
            steps.append((int(leading), width, start))
            start += real.size
        self.positions = self._tensor(np.concatenate(positions))
        self.sample_weights = self._column(np.concatenate(weights))
        return steps

    def _work_shares(self, data: Data) -> np.ndarray:
        probe = min(PROBE_SIZE, self.n_train)
        samples = 3 * self.n_train + len(self.y_all) + 2 * probe
        work = np.array(
            [
                n_parameters(run, data.n_features, data.n_classes)
                * (samples + UPDATE_COST * -(-self.n_train // run.batch_size))
                for run in self.runs
            ],
            dtype=np.float64,
        )
        return work / work.sum()

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _column(self, numbers: Sequence[float] | np.ndarray) -> torch.Tensor:
        return self._tensor(np.asarray(numbers, dtype=np.float32)[:, None])


_Layers = list[tuple[torch.Tensor, torch.Tensor]]


def _forward(
    layers: _Layers, x: torch.Tensor, drops: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Inputs of every layer and the logits; `drops` are scaled dropout masks or empty."""
    activations = [x]
    for i, (weight, bias) in enumerate(layers[:-1]):
        hidden = torch.baddbmm(bias, activations[-1], weight).relu_()
        activations.append(hidden.mul_(drops[i]) if drops else hidden)
    weight, bias = layers[-1]
    return activations, torch.baddbmm(bias, activations[-1], weight)


def _add_gradients(
    sums: _Layers,
    layers: _Layers,
    activations: list[torch.Tensor],
    delta: torch.Tensor,
    scales: Sequence[torch.Tensor],
) -> None:
    """Backpropagate `delta` = d loss / d logits and add the gradients of all layers to `sums`.

    An activation after ReLU and dropout is positive exactly where neither has blocked it.
    """
    for i in reversed(range(len(layers))):
        weight_sum, bias_sum = sums[i]
        weight_sum.baddbmm_(activations[i].transpose(1, 2), delta)
        bias_sum.add_(delta.sum(dim=1, keepdim=True))
        if i:
            delta = torch.bmm(delta, layers[i][0].transpose(1, 2))
            delta = torch.ops.aten.threshold_backward(delta, activations[i], 0)
            if scales:
                delta.mul_(scales[i - 1])


def _views(flat: torch.Tensor, shapes: Sequence[tuple[int, int]]) -> _Layers:
    """Weight (runs, inputs, outputs) and bias (runs, 1, outputs) views of stacked rows."""
    layers, start = [], 0
    for n_in, n_out in shapes:
        middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
        layers.append(
            (
                flat[:, start:middle].unflatten(1, (n_in, n_out)),
                flat[:, middle:end].unsqueeze(1),
            )
        )
        start = end
    return layers


def _sizes(widths: Sequence[int], n_features: int, n_classes: int) -> list[tuple[int, int]]:
    units = [n_features, *widths, n_classes]
    return list(itertools.pairwise(units))


def _n_parameters(sizes: Sequence[tuple[int, int]]) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in sizes)


def _padded_widths(runs: Sequence[Run]) -> tuple[int, ...]:
    return tuple(max(layer) for layer in zip(*(run.widths for run in runs), strict=True))


def _runs_per_step(batches: np.ndarray, n_train: int) -> np.ndarray:
    """How many leading runs of ascending batch sizes still have a step 0, 1, ... in an epoch."""
    n_steps = -(-n_train // batches)
    return (n_steps[None, :] > np.arange(n_steps[0])[:, None]).sum(axis=1)


def _by_batch(rows: np.ndarray, batches: np.ndarray) -> np.ndarray:
    return rows[np.lexsort((rows, batches[rows]))]


def _stream(run: Run, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed_from(run.seed, purpose)))
