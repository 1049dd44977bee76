"""The epoch loop for images: everything lies on the device, a step touches no single image.

An epoch's order, shifts and dropout come from (seed, epoch) alone, so that weights and the
optimiser's state suffice to resume a training exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from curvecast.protocol import seed_from
from curvecast.training.images import Images, Labelled
from curvecast.training.torch_session import (
    TorchSession,
    accuracies,
    check_choices,
    optimizer_of,
    seeded,
)

# Images of one forward pass without gradients.
_EVALUATED_AT_ONCE = 1000
# Epoch 0 shows the untrained network on so many training images.
_PROBE = 1000
LOSSES = ("cross_entropy", "mse")
OPTIMIZERS = ("sgd", "adam", "adadelta")
SCHEDULES = ("constant", "cosine", "step", "quarters")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    n_epochs : length of a complete training, over which the schedule runs.
    schedule : of the learning rate: constant, cosine (to 0, per step; Loshchilov and Hutter
        2017), step (a tenth after one half and again after three quarters of the training), or
        quarters (a fifth after every quarter, as MetaQNN does).
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
        check_choices(self, optimizer=OPTIMIZERS, schedule=SCHEDULES, loss=LOSSES)


def rate_at(recipe: Recipe, progress: float) -> float:
    """Learning rate after this share of the complete training."""
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if recipe.schedule == "quarters":
        return recipe.learning_rate * 0.2 ** min(math.floor(4 * progress), 3)
    if recipe.schedule == "step":
        return recipe.learning_rate * 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
    return recipe.learning_rate


@dataclass(frozen=True)
class Prepared:
    """Images on a device, standardised by the training images.

    Arrays are float32 (n, channels, height, width).

    Attributes
    ----------
    background : value of an empty pixel, which fills the margin of shifted images.
    weights : of the classes, see `Images.class_weights`.
    """

    train: tuple[torch.Tensor, torch.Tensor]
    validation: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    n_classes: int
    background: float
    weights: torch.Tensor

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.train[0].shape[1:]
        return channels, height, width


def prepare(images: Images, device: str = "cpu", size: int | None = None) -> Prepared:
    """Put a data set on a device; with `size`, images are resampled to size x size pixels."""

    def pixels(part: Labelled) -> torch.Tensor:
        x = torch.from_numpy(part.x).to(device).float()
        x = x.unsqueeze(1) if x.ndim == 3 else x
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


class ImageTraining(TorchSession):
    """One network under training.

    Parameters
    ----------
    precision : see `precision_of`.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Prepared,
        recipe: Recipe,
        seed: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.data, self.recipe, self.seed = data, recipe, seed
        self._device = data.train[0].device
        # Typed as tensors of channels last: the layout in which the kernels vectorise.
        self.network = network.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._precision = precision
        self._losses: dict[str, float] = {}
        self._windows = _windows(data.train[0], recipe.shift, data.background)
        kinds: dict[str, dict[str, Any]] = {
            "sgd": {"momentum": recipe.momentum},
            "adam": {"amsgrad": recipe.amsgrad},
            "adadelta": {},
        }
        options = kinds[recipe.optimizer]
        rate = recipe.learning_rate
        self.optimizer = optimizer_of(self.network, recipe.optimizer, rate, **options)

    def state(self) -> dict[str, np.ndarray]:
        """Weights, the optimiser's state, and the training losses of the last epoch."""
        return super().state() | {f"last:{k}": np.array(v) for k, v in self._losses.items()}

    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Continue after `epoch` with the `state()` of that time."""
        super().resume(epoch, state)
        self._losses = {
            name.removeprefix("last:"): float(value)
            for name, value in state.items()
            if name.startswith("last:")
        }

    def train_epoch(self) -> None:
        """One pass over the training images, in a new order."""
        recipe, y = self.recipe, self.data.train[1]
        self.epoch += 1
        n = len(y)
        n_steps = -(-n // recipe.batch_size)
        total = torch.zeros((), device=self._device)
        hits = torch.zeros((), device=self._device)
        self.network.train()
        with seeded(seed_from(self.seed, "epoch", self.epoch), self._device):
            order = torch.randperm(n, device=self._device)
            moves = torch.randint(0, 2 * recipe.shift + 1, (2, n), device=self._device)
            for step, rows in enumerate(order.split(recipe.batch_size)):
                if len(rows) < 2 and n > 1:
                    continue  # batch norm has no variance of a single image
                images = self._windows[rows, :, moves[0, rows], moves[1, rows]]
                progress = (self.epoch - 1 + step / n_steps) / recipe.n_epochs
                self.optimizer.param_groups[0]["lr"] = rate_at(recipe, progress)
                self.optimizer.zero_grad()
                labels = y[rows]
                logits = self._logits(images)
                loss = self._loss(logits, labels, recipe.weighted)
                loss.backward()
                self.optimizer.step()
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
        return {"loss": float(self._loss(logits, y, weighted=False)), **accuracies(logits, y)}

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        lower = self._precision != torch.float32
        # A copy, because torch leaves images of one channel as they are. After them, a first layer
        # of 1 x 1 kernels would give its results in the slower layout.
        x = x.clone(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, self._precision, enabled=lower):
            return self.network(x).float()

    def _loss(self, logits: torch.Tensor, y: torch.Tensor, weighted: bool) -> torch.Tensor:
        weights = self.data.weights if weighted else None
        if self.recipe.loss == "cross_entropy":
            return nn.functional.cross_entropy(logits, y, weight=weights)
        targets = nn.functional.one_hot(y, self.data.n_classes).float()
        errors = (logits.softmax(dim=1) - targets).square().mean(dim=1)
        return errors.mean() if weights is None else (errors * weights[y]).sum() / weights[y].sum()


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
    """A view of all images at all shifts, (n, channels, 2 shift + 1, same, height, width)."""
    height, width = x.shape[2:]
    padded = nn.functional.pad(x, [shift] * 4, value=background)
    return padded.unfold(2, height, 1).unfold(3, width, 1)
