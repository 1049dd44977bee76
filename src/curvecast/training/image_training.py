"""The epoch loop for images: everything lies on the device, a step touches no single image.

An epoch's order, shifts and dropout come from (seed, epoch) alone, so that a training goes on
from the weights and the optimiser's state exactly as it would have gone on.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from curvecast.protocol import seed_from
from curvecast.training import batch_last as batch_last_layout
from curvecast.training import cnn
from curvecast.training.images import Images, Labelled

# Images of one forward pass without gradients.
_EVALUATED_AT_ONCE = 1000
# Epoch 0 shows the untrained network on so many training images.
_PROBE = 1000
# Networks of fewer multiply-adds per image, in batches of at least so many images, are faster in
# the layout of tasks.batch_last (a Zen 4 core, benchmarks/images_per_second.py).
_SMALL, _WIDE = 8e5, 50
# Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
LOSSES = ("cross_entropy", "mse")
OPTIMIZERS = ("sgd", "adam", "adadelta")
SCHEDULES = ("constant", "cosine", "step")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    n_epochs : length of a complete training, over which the schedule runs.
    schedule : of the learning rate: constant, cosine (to 0, per step; Loshchilov and Hutter
        2017), or step (a tenth after one half and again after three quarters of the training).
    loss : cross-entropy, or the mean squared error between softmax and one-hot labels.
    shift : every image is moved by up to so many pixels in both directions, anew in each epoch.
    weighted : every class counts the same in the loss, whatever its number of images.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "sgd"
    momentum: float = 0.0
    amsgrad: bool = False
    schedule: str = "constant"
    loss: str = "cross_entropy"
    shift: int = 0
    weighted: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("loss", LOSSES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {known}")


def rate_at(recipe: Recipe, progress: float) -> float:
    """Learning rate after this share of the complete training."""
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if recipe.schedule == "step":
        return recipe.learning_rate * 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
    return recipe.learning_rate


@dataclass(frozen=True)
class Prepared:
    """Images on a device, standardised by the training images, float32 (n, 1, height, width).

    Attributes
    ----------
    background : what a pixel of value 0 has become; it fills the margin of shifted images.
    weights : of the classes, see `Images.class_weights`.
    """

    train: tuple[torch.Tensor, torch.Tensor]
    validation: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    n_classes: int
    background: float
    weights: torch.Tensor

    @property
    def image(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.train[0].shape[2:]
        return height, width


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where its allocator is glibc's.

    Every step frees and takes the same megabytes; by default each of them goes back to the system
    and comes as zeroed pages, which costs a third of a small network's step.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, 2**30)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def prepare(images: Images, device: str = "cpu", size: int | None = None) -> Prepared:
    """Put a data set on a device; with `size`, images are resampled to size x size pixels."""

    def pixels(part: Labelled) -> torch.Tensor:
        x = torch.from_numpy(part.x).to(device).float().unsqueeze(1)
        if part.x.dtype == np.uint8:
            x = x / 255
        if size is not None and x.shape[2:] != (size, size):
            x = nn.functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)
        return x

    train = pixels(images.train)
    # In double precision: the sum of 200 million pixels.
    mean, std = (float(v) for v in (train.double().mean(), train.double().std()))

    def standardised(part: Labelled) -> tuple[torch.Tensor, torch.Tensor]:
        x = (pixels(part) - mean) / std
        return x.contiguous(), torch.from_numpy(part.y).to(device)

    return Prepared(
        train=standardised(images.train),
        validation=standardised(images.validation),
        test=standardised(images.test),
        n_classes=images.n_classes,
        background=-mean / std,
        weights=torch.from_numpy(images.class_weights()).to(device),
    )


class ImageTraining:
    """One network under training; `studies.objectives.training.Session`.

    Parameters
    ----------
    precision : see `precision_of`.
    batch_last : on a CPU, compute in the layout of `tasks.batch_last`; the same up to rounding.
    start : weights to start from, by name; those that do not fit (another number of classes)
        keep their initial values.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Prepared,
        recipe: Recipe,
        seed: int,
        precision: torch.dtype = torch.float32,
        start: Mapping[str, np.ndarray] | None = None,
        batch_last: bool = False,
    ) -> None:
        self.data, self.recipe, self.seed = data, recipe, seed
        self._device = data.train[0].device
        # Typed as tensors of channels last: the layout in which the kernels vectorise.
        self.network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._precision = precision
        self._batch_last = self._device.type == "cpu" and batch_last
        self._epoch = 0
        self._losses: dict[str, float] = {}
        self._windows = _windows(data.train[0], recipe.shift, data.background)
        self.taken_over = self._take_over(start or {})
        self._optimizer = _optimizer(self.network, recipe)

    def _take_over(self, start: Mapping[str, np.ndarray]) -> list[str]:
        own = self.network.state_dict()
        fitting = [name for name in own if name in start and own[name].shape == start[name].shape]
        for name in fitting:
            own[name].copy_(torch.from_numpy(start[name]))
        return fitting

    def weights(self) -> dict[str, np.ndarray]:
        """Weights and batch-norm statistics by name."""
        return {name: t.cpu().numpy().copy() for name, t in self.network.state_dict().items()}

    def state(self) -> dict[str, np.ndarray]:
        """Weights, the optimiser's state, and the training losses of the last epoch."""
        arrays = {f"network:{name}": array for name, array in self.weights().items()}
        for index, entries in self._optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                arrays[f"optimizer:{index}:{key}"] = value.cpu().numpy().copy()
        return arrays | {f"last:{k}": np.array(v) for k, v in self._losses.items()}

    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Go on after `epoch` with what `state()` returned there."""
        own = self.network.state_dict()
        described = self._optimizer.state_dict()
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in state.items():
            kind, _, rest = name.partition(":")
            if kind == "network":
                own[rest].copy_(torch.from_numpy(np.asarray(array)))
            elif kind == "optimizer":
                index, _, key = rest.partition(":")
                entries.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
            else:
                self._losses[rest] = float(array)
        self._optimizer.load_state_dict({**described, "state": entries})
        self._epoch = epoch

    def train_epoch(self) -> None:
        """One pass over the training images, in a new order."""
        recipe, y = self.recipe, self.data.train[1]
        self._epoch += 1
        n = len(y)
        n_steps = -(-n // recipe.batch_size)
        total = torch.zeros((), device=self._device)
        hits = torch.zeros((), device=self._device)
        self.network.train()
        with _seeded(seed_from(self.seed, "epoch", self._epoch), self._device):
            order = torch.randperm(n, device=self._device)
            moves = torch.randint(0, 2 * recipe.shift + 1, (2, n), device=self._device)
            for step in range(n_steps):
                rows = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
                if len(rows) < 2 and n > 1:
                    continue  # batch norm has no variance of a single image
                images = self._windows[rows, 0, moves[0, rows], moves[1, rows]]
                self._set_rate((self._epoch - 1 + step / n_steps) / recipe.n_epochs)
                self._optimizer.zero_grad()
                labels = y[rows]
                logits = self._logits(images.unsqueeze(1))
                loss = self._loss(logits, labels, recipe.weighted)
                loss.backward()
                self._optimizer.step()
                total += loss.detach() * len(rows)
                hits += (logits.detach().argmax(dim=1) == labels).sum()
        self._losses = {"train_loss": float(total) / n, "train_accuracy": float(hits) / n}

    def evaluate(self) -> dict[str, float]:
        """Losses and accuracies at this moment; NaN where the training has diverged.

        `train_loss` and `train_accuracy` are means over the steps of the epoch just trained (with
        dropout and shifts, so they lag behind); the validation's are of the network as it is.
        """
        if not self._losses:
            x, y = self.data.train
            probe = self._scored(x[:_PROBE], y[:_PROBE])
            self._losses = {"train_loss": probe["loss"], "train_accuracy": probe["accuracy"]}
        scored = self._scored(*self.data.validation)
        log = self._losses | {f"val_{name}": value for name, value in scored.items()}
        if not all(map(math.isfinite, log.values())):
            return dict.fromkeys(log, math.nan)
        return log

    def scores(self) -> dict[str, float]:
        """Accuracy on all three parts, and balanced accuracy (mean recall of the classes)."""
        result = {"n_test": float(len(self.data.test[1]))}
        for name in ("train", "validation", "test"):
            scored = self._scored(*getattr(self.data, name))
            result[name] = scored["accuracy"]
            result[f"{name}_balanced"] = scored["balanced_accuracy"]
        return result

    @torch.no_grad()
    def _scored(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
        self.network.eval()
        logits = torch.cat([self._logits(part) for part in x.split(_EVALUATED_AT_ONCE)])
        hits = (logits.argmax(dim=1) == y).double()
        counts = torch.bincount(y, minlength=self.data.n_classes)
        sums = torch.bincount(y, weights=hits, minlength=self.data.n_classes)
        present = counts > 0
        return {
            "loss": float(self._loss(logits, y, weighted=False)),
            "accuracy": float(hits.mean()),
            "balanced_accuracy": float((sums[present] / counts[present]).mean()),
        }

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if self._batch_last:
            return batch_last_layout.forward(self.network, x, self._precision)
        lower = self._precision != torch.float32
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, self._precision, enabled=lower):
            return self.network(x).float()

    def _loss(self, logits: torch.Tensor, y: torch.Tensor, weighted: bool) -> torch.Tensor:
        weights = self.data.weights if weighted else None
        if self.recipe.loss == "cross_entropy":
            return nn.functional.cross_entropy(logits, y, weight=weights)
        targets = nn.functional.one_hot(y, self.data.n_classes).float()
        errors = (logits.softmax(dim=1) - targets).square().mean(dim=1)
        return errors.mean() if weights is None else (errors * weights[y]).sum() / weights[y].sum()

    def _set_rate(self, progress: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate_at(self.recipe, progress)


def batch_last_pays(network: cnn.Network, image: tuple[int, int], batch_size: int) -> bool:
    """Whether `tasks.batch_last` is the faster layout on a CPU."""
    return cnn.n_multiplications(network, image) < _SMALL and batch_size >= _WIDE


def precision_of(device: str) -> torch.dtype:
    """bfloat16 where the device computes in it (about twice as fast), float32 elsewhere."""
    if device != "cpu":
        lower = torch.cuda.is_bf16_supported()
    else:
        lower = (
            torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
        )
    return torch.bfloat16 if lower else torch.float32


def _windows(x: torch.Tensor, shift: int, background: float) -> torch.Tensor:
    """A view of all images at all shifts, (n, 1, 2 shift + 1, 2 shift + 1, height, width)."""
    height, width = x.shape[2:]
    padded = nn.functional.pad(x, [shift] * 4, value=background)
    return padded.unfold(2, height, 1).unfold(3, width, 1)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                parameters, recipe.learning_rate, momentum=recipe.momentum, fused=True
            )
        case "adam":
            return torch.optim.Adam(
                parameters, recipe.learning_rate, amsgrad=recipe.amsgrad, fused=True
            )
    return torch.optim.Adadelta(parameters, recipe.learning_rate, foreach=True)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from `seed`, and the caller's own afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
