"""Weights, checkpoints, seeds and accuracies, which all trainings with torch share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import torch
from rich.progress import Progress
from torch import nn

from curvecast.training.session import Session

Item = TypeVar("Item")
Result = TypeVar("Result")


class TorchSession(Session):
    """A training of one network by one optimiser.

    Attributes
    ----------
    epoch : how many epochs the network is trained.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    epoch: int = 0

    def weights(self) -> dict[str, np.ndarray]:
        """Weights and batch-norm statistics by name."""
        return {name: _array(tensor) for name, tensor in self.network.state_dict().items()}

    def transfer(self, weights: Mapping[str, np.ndarray]) -> list[str]:
        """Copy weights of equal name and shape; the others (other classes) stay as they are."""
        own = self.network.state_dict()
        fitting = [k for k in own if k in weights and own[k].shape == weights[k].shape]
        for name in fitting:
            own[name].copy_(torch.from_numpy(np.asarray(weights[name])))
        return fitting

    def state(self) -> dict[str, np.ndarray]:
        """Weights and the optimiser's state."""
        arrays = {f"network:{name}": array for name, array in self.weights().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if value is not None:
                    arrays[f"optimizer:{index}:{key}"] = _array(value)
        return arrays

    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Continue after `epoch` with the `state()` of that time."""
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in state.items():
            kind, _, rest = name.partition(":")
            if kind == "optimizer":
                index, _, key = rest.partition(":")
                entries.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
        prefix = "network:"
        self.transfer({k.removeprefix(prefix): v for k, v in state.items() if prefix in k})
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": entries})
        self.epoch = epoch


def optimizer_of(
    network: nn.Module, name: str, rate: float, **options: Any
) -> torch.optim.Optimizer:
    """An optimiser `sgd`, `adam` or `adadelta` of torch for all weights of a network."""
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adadelta": torch.optim.Adadelta}
    kernel = {"foreach": True} if name == "adadelta" else {"fused": True}
    return kinds[name](network.parameters(), rate, **options, **kernel)


def accuracies(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """`accuracy` and `balanced_accuracy` (mean recall of the classes that occur)."""
    n_classes = logits.shape[1]
    hits = (logits.argmax(dim=1) == labels).double()
    counts = torch.bincount(labels, minlength=n_classes)
    recalls = torch.bincount(labels, weights=hits, minlength=n_classes) / counts
    return {
        "accuracy": float(hits.mean()),
        "balanced_accuracy": float(recalls[counts > 0].mean()),
    }


def check_choices(recipe: object, **known: tuple[str, ...]) -> None:
    """Raise ValueError for an attribute that is not among the known ones."""
    for name, choices in known.items():
        if getattr(recipe, name) not in choices:
            raise ValueError(f"{name} {getattr(recipe, name)!r} is not one of {choices}")


def side_by_side(
    job: Callable[[Item], Result], items: Sequence[Item], workers: int, description: str
) -> list[Result]:
    """Results of a job for each item, in processes of one thread; shows the progress."""
    context, one_thread = get_context("spawn"), partial(torch.set_num_threads, 1)
    with Progress() as progress, ProcessPoolExecutor(workers, context, one_thread) as pool:
        done = pool.map(job, items)
        return list(progress.track(done, len(items), description=description))


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's random numbers from `seed`; afterwards those of the caller continue."""
    cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.manual_seed(seed)
        yield


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()
