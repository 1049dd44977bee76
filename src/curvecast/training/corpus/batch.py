"""Trains all runs of a corpus task as one batch: networks, optimisers and the epoch loop.

Every tensor has the runs as its first axis. Narrower networks are masked, shallower ones pass
their layers by, smaller batches are padded; runs are in the order of their batch sizes, so that
those with fewer steps per epoch leave the batch first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from curvecast.protocol import seed_from
from curvecast.training.corpus.recipe import Recipe
from curvecast.training.corpus.samples import Samples

ACTIVATIONS = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
_ADAPTIVE = ("adam", "rmsprop")


class Networks:
    """Perceptrons, convolutional or recurrent networks of many runs.

    Attributes
    ----------
    weights : all weights and biases, float32, shape (runs, weights); updated in place.
    """

    def __init__(self, recipe: Recipe, generator: torch.Generator) -> None:
        data, settings, self.style = recipe.data, recipe.settings, recipe.style
        self.generator, self.n_outputs = generator, max(data.n_classes, 1)
        self.width = torch.tensor(settings["width"])[:, None]
        self.depth = torch.tensor(settings["depth"])[:, None, None]
        self.dropout = torch.tensor(settings["dropout"], dtype=torch.float32)[:, None, None]
        self.smooth = torch.tensor(settings["label_smoothing"], dtype=torch.float32)
        if data.n_classes:
            self.class_weights = class_weights(torch.from_numpy(data.y_train), data.n_classes)
        self.units = int(self.width.max())
        self.mask = (torch.arange(self.units) < self.width).float()[:, None]
        self.recurrent = self.style.kind in ("sequence", "language")
        self.image = self.style.kind == "images"
        inputs = data.x_train.shape[-1]
        self.shapes = self._shapes(inputs, data.x_train.shape[1])
        scale = torch.tensor(settings["init_scale"], dtype=torch.float32)[:, None]
        gain = 1.0 if self.recurrent or self.style.activation in ("tanh", "sigmoid") else 2.0
        parts = []
        for fan_in, shape in self.shapes:
            n = math.prod(shape)
            if fan_in == 0:  # biases, and the scales of batch normalisation
                parts.append(torch.full((len(scale), n), float(shape[0] == 2)))
                continue
            used = fan_in if fan_in > 0 else -fan_in * self.width
            draws = torch.randn(len(scale), n, generator=generator)
            parts.append(scale * draws * (gain / used) ** 0.5)
        self.weights = torch.cat(parts, dim=1)
        n_norms = int(self.depth.max()) * self.style.batch_norm * (not self.recurrent)
        self.means = [torch.zeros(len(scale), 1, self.units) for _ in range(n_norms)]
        self.variances = [torch.ones(len(scale), 1, self.units) for _ in range(n_norms)]

    def _shapes(self, inputs: int, places: int) -> list[tuple[int, tuple[int, ...]]]:
        """Fan-in (negative: per unit of the width; 0: no draws) and shape of every weight."""
        units, last = self.units, (-1, self.units)
        shapes: list[tuple[int, tuple[int, ...]]] = []
        if self.recurrent:
            gates = (3 if self.style.gated else 1) * units
            shapes += [(inputs, (inputs, gates)), (-1, (units, gates)), (0, (1, gates))]
        else:
            for layer in range(int(self.depth.max())):
                n_in, fan = (units, -1) if layer else (inputs, inputs)
                shapes += [(fan, (n_in, units)), (0, (1, units))]
                shapes += [(0, (2, units))] * self.style.batch_norm
            if self.image:
                last = (-places, places * units)
        return [*shapes, (last[0], (last[1], self.n_outputs)), (0, (1, self.n_outputs))]

    def views(self, n: int) -> list[Tensor]:
        """The weights of the first n runs, one tensor per layer, that share the buffer's memory."""
        sizes = [math.prod(shape) for _, shape in self.shapes]
        parts = self.weights[:n].split(sizes, dim=1)
        return [part.view(n, *s) for part, (_, s) in zip(parts, self.shapes, strict=True)]

    def outputs(self, parameters: list[Tensor], x: Tensor, valid: Tensor | None) -> Tensor:
        """Outputs of shape (runs, samples, [length,] outputs); `valid` (runs, samples) in training.

        Without `valid` the networks are evaluated: no dropout, recorded batch statistics.
        """
        n, out = len(parameters[0]), parameters[-2:]
        hidden = self._recur if self.recurrent else self._layers
        h = hidden(parameters, x, valid)
        shape = h.shape[1:-1]
        return torch.baddbmm(out[1], h.reshape(n, -1, h.shape[-1]), out[0]).view(n, *shape, -1)

    def _recur(self, parameters: list[Tensor], x: Tensor, valid: Tensor | None) -> Tensor:
        w_in, w_state, bias = parameters[:3]
        n, n_samples, length, symbols = x.shape
        inputs = torch.baddbmm(bias, x.reshape(n, -1, symbols), w_in).view(n, n_samples, length, -1)
        h, states, mask = inputs.new_zeros(n, n_samples, self.units), [], self.mask[:n]
        for t in range(length):
            a, b = inputs[:, :, t], torch.bmm(h, w_state)
            if self.style.gated:
                (reset, update, new), (r, u, s) = a.chunk(3, -1), b.chunk(3, -1)
                keep = torch.sigmoid(update + u)
                h = keep * h + (1 - keep) * torch.tanh(new + torch.sigmoid(reset + r) * s) * mask
            else:
                h = ACTIVATIONS[self.style.activation](a + b) * mask
            states.append(h)
        h = torch.stack(states, dim=2) if self.style.kind == "language" else h
        return self._drop(h, valid)

    def _layers(self, parameters: list[Tensor], x: Tensor, valid: Tensor | None) -> Tensor:
        step = 3 if self.style.batch_norm else 2
        n, h = len(x), x
        for layer in range(int(self.depth.max())):
            weight, bias, *norm = parameters[layer * step : (layer + 1) * step]
            z = torch.baddbmm(bias, h.reshape(n, -1, h.shape[-1]), weight)
            if norm:
                z = self._normalise(z, norm[0], layer, valid)
            z = ACTIVATIONS[self.style.activation](z) * self.mask[:n]
            z = self._drop(z, valid).view(*h.shape[:-1], -1)
            if layer:
                active = (self.depth[:n] > layer).view(n, *[1] * (z.ndim - 1))
                h = torch.where(active, h + z if self.style.residual else z, h)
            else:
                h = reduce(torch.maximum, z.unbind(3)) if self.image else z
        return h.flatten(2)

    def _normalise(self, z: Tensor, affine: Tensor, layer: int, valid: Tensor | None) -> Tensor:
        n = len(z)
        mean, variance = self.means[layer][:n], self.variances[layer][:n]
        if valid is not None:
            share = valid.repeat_interleave(z.shape[1] // valid.shape[1], dim=1)[..., None]
            share = share / share.sum(dim=1, keepdim=True)
            now = (share * z).sum(dim=1, keepdim=True)
            spread = (share * (z - now) ** 2).sum(dim=1, keepdim=True)
            with torch.no_grad():
                mean.lerp_(now, 0.1)
                variance.lerp_(spread, 0.1)
            mean, variance = now, spread
        return (z - mean) * torch.rsqrt(variance + 1e-5) * affine[:, :1] + affine[:, 1:] - 1

    def _drop(self, h: Tensor, valid: Tensor | None) -> Tensor:
        if valid is None or not self.dropout.any():
            return h
        rate = self.dropout[: len(h)].view(-1, *[1] * (h.ndim - 1))
        return h * (torch.rand(h.shape, generator=self.generator) >= rate) / (1 - rate)


class Optimizer:
    """SGD with or without momentum, RMSprop and Adam, one and its settings for each run."""

    def __init__(self, networks: Networks, settings: dict[str, np.ndarray], decoupled: bool):
        self.weights, self.decoupled = networks.weights, decoupled
        self.first, self.second = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        kind = settings["optimizer"]
        self.adaptive = torch.tensor(np.isin(kind, _ADAPTIVE))[:, None]
        self.steps = torch.zeros(len(kind), 1)

        def column(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=torch.float32)[:, None]

        self.momentum = column(
            np.where(np.isin(kind, ("momentum", "adam")), settings["momentum"], 0)
        )
        self.smoothing = column(settings["smoothing"])
        self.corrected = torch.tensor(kind == "adam")[:, None]
        self.decay, self.clip = column(settings["weight_decay"]), column(settings["clip"])
        self.epsilon = column(settings["epsilon"])

    def step(self, gradient: Tensor, rate: Tensor) -> None:
        """One step of the first runs: gradient (n, weights), rate (n, 1)."""
        n = len(gradient)
        w, first, second, adaptive = (
            t[:n] for t in (self.weights, self.first, self.second, self.adaptive)
        )
        momentum, smoothing, decay = (t[:n] for t in (self.momentum, self.smoothing, self.decay))
        if self.clip.isfinite().any():
            norm = gradient.norm(dim=1, keepdim=True)
            gradient = gradient * (self.clip[:n] / (norm + 1e-9)).clamp(max=1)
        if self.decoupled:
            w.mul_(1 - rate * decay)
        elif decay.any():
            gradient = gradient + decay * w
        first.mul_(momentum).add_(gradient * torch.where(adaptive, 1 - momentum, 1.0))
        if not self.adaptive.any():
            w.sub_(rate * first)
            return
        steps = self.steps[:n].add_(1)
        second.mul_(smoothing).add_(gradient**2 * (1 - smoothing))
        bias = torch.where(self.corrected[:n], 1 - smoothing**steps, 1.0)
        scaled = first / ((second / bias).sqrt() + self.epsilon[:n])
        scaled = scaled / torch.where(self.corrected[:n], 1 - momentum**steps, 1.0)
        w.sub_(rate * torch.where(adaptive, scaled, first))


def rate_factors(
    settings: dict[str, np.ndarray], drop_at: float, epoch: int, last: int
) -> np.ndarray:
    """Share of the learning rate in epoch 1, ..., last; shape (runs,)."""
    x, decay = (epoch - 1) / last, settings["decay"]
    warm = min(1.0, epoch / max(1, round(0.1 * last)))
    factors: dict[str, np.ndarray | float] = {
        "constant": 1.0,
        "step": decay ** ((x >= 0.5) + (x >= 0.75)),
        "cosine": 0.5 * (1 + math.cos(math.pi * x)),
        "warmup": warm * min(1.0, (1 - x) / (1 - drop_at)),
        "late_drop": np.where(x >= drop_at, decay, 1.0),
        "restarts": 0.5 * (1 + math.cos(math.pi * (3 * x % 1))),
        "exponential": decay ** (2 * x),
    }
    schedule = settings["schedule"]
    return np.select(
        [schedule == name for name in factors],
        [np.broadcast_to(factor, schedule.shape) for factor in factors.values()],
    )


def train(recipe: Recipe) -> dict[str, np.ndarray]:
    """Train all runs of a recipe; one thread of one core.

    Returns
    -------
    Arrays of shape (runs, logged epochs) for `train_loss`, `val_accuracy`, ... A loss that is not
    a number is inf; a network whose outputs are none predicts its first class, as in real life.
    """
    order = np.argsort(recipe.settings["batch_size"], kind="stable")
    settings = {name: values[order] for name, values in recipe.settings.items()}
    style, data = recipe.style, recipe.data
    generator = torch.Generator().manual_seed(seed_from(recipe.name, "training"))
    networks = Networks(replace(recipe, settings=settings), generator)
    optimizer = Optimizer(networks, settings, style.decoupled)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    logs, logged = [], set(style.epochs.tolist())
    for epoch in range(style.last_epoch + 1):
        if epoch:
            factors = rate_factors(settings, style.drop_at, epoch, style.last_epoch)
            rates = torch.tensor(settings["learning_rate"] * factors, dtype=torch.float32)[:, None]
            _train_epoch(networks, optimizer, x, y, settings, rates)
        if epoch in logged:
            logs.append(_evaluate(networks, data))
    back = np.argsort(order)
    return {name: np.stack([log[name][back] for log in logs], axis=1) for name in logs[0]}


def _train_epoch(
    networks: Networks,
    optimizer: Optimizer,
    x: Tensor,
    y: Tensor,
    settings: dict[str, np.ndarray],
    rates: Tensor,
) -> None:
    """The steps of one epoch; every run draws its samples with replacement."""
    style, generator = networks.style, networks.generator
    sizes = torch.tensor(settings["batch_size"])
    n_shown = min(len(x), style.epoch_samples)
    drawn = torch.randint(len(x), (len(sizes), n_shown), generator=generator)
    n_steps = -(-n_shown // sizes)
    noise = torch.tensor(settings["input_noise"], dtype=torch.float32)
    for step in range(int(n_steps[0])):
        n = int((n_steps > step).sum())
        size = sizes[:n, None]
        places = torch.arange(min(int(size.max()), n_shown))
        valid = (places < size) & (step * size + places < n_shown)
        rows = drawn[:n].gather(1, (step * size + places).clamp(max=n_shown - 1))
        inputs, targets, share = x[rows], y[rows], valid.float()
        if noise.any():
            level = noise[:n].view(-1, *[1] * (inputs.ndim - 1))
            inputs = inputs + level * torch.randn(inputs.shape, generator=generator)
        leaves = [view.detach().requires_grad_() for view in networks.views(n)]
        outputs = networks.outputs(leaves, inputs, share)
        losses = _losses(outputs, targets, networks.smooth[:n])
        weights = share * networks.class_weights[targets] if style.weighted else share
        total = ((losses * weights).sum(dim=1) / weights.sum(dim=1)).sum()
        gradients = torch.autograd.grad(total, leaves)
        flat = torch.cat([gradient.reshape(n, -1) for gradient in gradients], dim=1)
        optimizer.step(flat, rates[:n])


def _losses(outputs: Tensor, y: Tensor, smooth: Tensor | None = None) -> Tensor:
    """Squared error or cross-entropy of every sample, shape (runs, samples)."""
    if not y.dtype.is_floating_point:
        logs = torch.log_softmax(outputs, dim=-1)
        losses = -logs.gather(-1, y[..., None])[..., 0]
        if smooth is not None and smooth.any():
            s = smooth.view(-1, *[1] * (losses.ndim - 1))
            losses = (1 - s) * losses - s * logs.mean(dim=-1)
        return losses.flatten(2).mean(dim=-1) if losses.ndim > 2 else losses
    return (outputs[..., 0] - y) ** 2


def class_weights(y: Tensor, n_classes: int) -> Tensor:
    """Weights that give every class the same share of the loss, with the mean 1 over samples."""
    counts = torch.bincount(y.flatten(), minlength=n_classes).clamp(min=1)
    return y.numel() / (len(counts) * counts.float())


@torch.no_grad()
def _evaluate(networks: Networks, data: Samples) -> dict[str, np.ndarray]:
    """All metrics on the first training and validation samples, arrays of shape (runs,)."""
    runs, size = len(networks.weights), networks.style.log_samples
    log: dict[str, np.ndarray] = {}
    for part, x, y in (("train", data.x_train, data.y_train), ("val", data.x_val, data.y_val)):
        inputs, targets = torch.from_numpy(x[:size]), torch.from_numpy(y[:size])
        outputs = networks.outputs(
            networks.views(runs), inputs.expand(runs, *inputs.shape), valid=None
        )
        metrics = _metrics(outputs, targets, networks)
        log |= {f"{part}_{name}": value.numpy() for name, value in metrics.items()}
    return log


def _metrics(outputs: Tensor, y: Tensor, networks: Networks) -> dict[str, Tensor]:
    losses = _losses(outputs, y.expand(len(outputs), *y.shape))
    loss = losses.mean(dim=1).nan_to_num(nan=math.inf, posinf=math.inf)
    if y.dtype.is_floating_point:
        error = (outputs[..., 0] - y).abs().mean(dim=1)
        return {"mse": loss, "mae": error.nan_to_num(nan=math.inf, posinf=math.inf)}
    hits = (outputs.argmax(dim=-1) == y).float()
    accuracy = hits.flatten(1).mean(dim=1)
    if y.ndim > 1:
        return {"loss": loss, "perplexity": loss.exp(), "accuracy": accuracy}
    members = functional.one_hot(y, networks.n_outputs).float()
    members = members[:, members.any(dim=0)]
    weights = networks.class_weights[y]
    weighted = (losses * weights).sum(dim=1) / weights.sum()
    return {
        "loss": loss,
        "weighted_loss": weighted.nan_to_num(nan=math.inf, posinf=math.inf),
        "accuracy": accuracy,
        "balanced_accuracy": (hits @ members / members.sum(dim=0)).mean(dim=1),
        "error": 1 - accuracy,
    }
