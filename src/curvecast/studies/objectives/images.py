"""Convolutional networks on images, really trained: Kuzushiji, USPS, scikit-learn's digits."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import ConfigSpace
import torch

from curvecast.curves import DataError
from curvecast.studies import identity
from curvecast.studies.evaluation import Config
from curvecast.studies.objectives.task import Task
from curvecast.studies.spaces import kuzushiji, layers, load_configuration, usps
from curvecast.training import cnn, images
from curvecast.training.image_training import (
    ImageTraining,
    Prepared,
    Recipe,
    precision_of,
    prepare,
)
from curvecast.training.torch_session import seeded

SPACES = {"kuzushiji": kuzushiji.cnn, "usps": usps.grid, "layers": layers.small}
_RECIPE = ("batch_size", "learning_rate", "optimizer", "momentum", "amsgrad", "schedule", "loss")

# Fields that `identity` describes otherwise, or that change no result.
_NO_OPTIONS = {"data", "raw", "fixed", "device", "target", "metric", "direction"}


@dataclass
class ImageTask(Task):
    """Accuracy of a convolutional network on the validation images.

    Attributes
    ----------
    data : stanza of a data set of kind `task` with its `name`; None: scikit-learn's digits.
    raw : its files, in the stanza's order.
    network : which function of `training.cnn` makes a network of a configuration.
    n_epochs : length of a complete training, over which the learning rate falls.
    shift : augmentation; every image is moved by up to so many pixels, 0 turns it off.
    weighted : every class counts the same in the loss (for the unbalanced K49).
    size : images are resampled to size x size pixels, so that weights fit another data set.
    fixed : parameters that are not searched, or the name of a constant (`kuzushiji.QUICK`).
    base : a configuration from another data set; only the parameters of
        `spaces.kuzushiji.transfer` are searched again.
    most_multiplications : a network that needs more multiply-adds per image counts as impossible,
        which bounds the cost of a study.
    all_training : train on training and validation images together, for a last training.
    device, precision : "auto" is a GPU where there is one, and bfloat16 where it is faster.
    """

    data: Mapping[str, Any] | None = None
    raw: Sequence[str | Path] = ()
    network: str = "kuzushiji"
    n_epochs: int = 16
    shift: int = 0
    weighted: bool = False
    size: int | None = None
    fixed: str | Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] | None = None
    most_multiplications: float | None = None
    all_training: bool = False
    device: str = "auto"
    precision: str = "auto"
    target: str = "val_accuracy"
    metric: str = "validation accuracy"
    score = "Accuracy"
    direction: str = "maximize"

    def __post_init__(self) -> None:
        if self.network not in cnn.NETWORKS:
            raise DataError(f"network {self.network!r} is not one of {', '.join(cnn.NETWORKS)}")
        self._precision = getattr(torch, self.precision, None)
        if self.precision != "auto" and not isinstance(self._precision, torch.dtype):
            raise DataError(f"precision {self.precision!r} is neither auto nor a type of torch")
        self._fixed = load_configuration(self.fixed)
        stanza = self.data
        data = images.load(stanza["name"], stanza, self.raw) if stanza else images.digits()
        self.name, self.source = f"trained/{data.name.rpartition('/')[2]}", data.source
        self._images = data.with_validation() if self.all_training else data
        channels, *sides = self._images.shape
        self._shape = (channels, *(sides if self.size is None else (self.size, self.size)))
        self._prepared: Prepared | None = None
        self.architecture = tuple(
            name for name in self.space() if name not in _RECIPE and not name.startswith("dropout")
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": None}

    def identity(self) -> dict[str, Any]:
        """All options that change the result of a training, with a digest of the files."""
        names = [f.name for f in fields(self) if f.name not in _NO_OPTIONS]
        return {
            **{name: getattr(self, name) for name in names},
            "fixed": self._fixed,
            "data": self._images.name,
            "files": identity.of_files(self.raw),
        }

    def space(self) -> ConfigSpace.ConfigurationSpace:
        """The network's whole space, or that of a transfer."""
        if self.base is not None:
            return kuzushiji.transfer(self.base)
        return SPACES[self.network]()

    def complete(self, config: Config) -> Config:
        """A configuration with the fixed and the transferred parameters."""
        if self.base is not None:
            config = kuzushiji.merged(self.base, config)
        return {**config, **self._fixed}

    def built(self, config: Config) -> cnn.Network:
        """The network of a configuration. Raises ImpossibleNetwork, see `training.cnn`."""
        make = cnn.NETWORKS[self.network]
        network = make(self.complete(config), self._images.n_classes, self._shape)
        limit = self.most_multiplications
        if limit is not None and network.n_multiplications > limit:
            raise cnn.ImpossibleNetwork(f"{network.n_multiplications} multiply-adds per image")
        return network

    def possible(self, config: Config) -> bool:
        """Whether the configuration is a network that images of this size fit through."""
        try:
            self.describe(config)
        except cnn.ImpossibleNetwork:
            return False
        return True

    def describe(self, config: Config) -> dict[str, float]:
        """Number of weights, and of layers that have some."""
        with torch.device("meta"):
            network = self.built(config)
        return {"num_params": network.n_parameters, "depth": network.depth}

    def at_share(self, share: float) -> ImageTask:
        """The same task with this share of its training images."""
        other = copy.copy(self)
        if share < 1:
            other._images, other._prepared = self._images.share(share), None
        return other

    def start(self, config: Config, seed: int) -> ImageTraining:
        """A network before its first epoch."""
        torch.set_num_threads(1)
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if self._prepared is None:
            self._prepared = prepare(self._images, device, self.size)
        whole = self.complete(config)
        recipe = Recipe(
            n_epochs=self.n_epochs,
            shift=self.shift,
            weighted=self.weighted,
            **{name: whole[name] for name in _RECIPE if name in whole},
        )
        with seeded(seed):
            network = self.built(config)
        precision = self._precision or precision_of(device)
        return ImageTraining(network, self._prepared, recipe, seed, precision)
