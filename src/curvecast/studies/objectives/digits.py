"""Small perceptrons on scikit-learn's digits: the real training that needs no download.

Networks, data and training loop are those of the embedded collection (tasks/embedded.py,
tasks/mlp.py); of its 797 held-out samples one half is the validation and one half the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import ConfigSpace
import numpy as np
import torch

from curvecast.protocol import seed_from
from curvecast.studies.evaluation import Config
from curvecast.studies.spaces import mlp as spaces
from curvecast.training import embedded, mlp


@dataclass
class DigitsMLP:
    """LCBench's funnel-shaped networks on 1000 digits; the loss is the validation cross-entropy.

    Attributes
    ----------
    collection : embedded collection whose data is used.
    n_epochs : length of a complete training, over which the learning rate is annealed.
    """

    collection: str = "embedded/digits_mlp"
    n_epochs: int = 27
    name: str = "trained/digits_mlp"
    target: str = embedded.TARGET
    metric: str = "validation cross-entropy"
    direction: str = "minimize"
    architecture: tuple[str, ...] = ("num_layers", "max_units")

    def __post_init__(self) -> None:
        collection = embedded.COLLECTIONS[self.collection]
        self.source = collection.source
        data = embedded.load_data(collection)
        order = np.random.default_rng(seed_from(self.name, "split")).permutation(len(data.y_val))
        half = len(order) // 2
        self._data, self._test = (
            replace(data, x_val=data.x_val[rows], y_val=data.y_val[rows])
            for rows in (order[:half], order[half:])
        )

    def space(self) -> ConfigSpace.ConfigurationSpace:
        """LCBench's seven hyper-parameters."""
        return spaces.lcbench()

    def start(self, config: Config, seed: int) -> _Training:
        """A network before its first epoch."""
        torch.set_num_threads(1)
        configuration = {
            f"{'ap' if name in self.architecture else 'hp'}_{name}": value
            for name, value in {"max_units": 64, "max_dropout": 0.0, **config}.items()
        }
        run = embedded.as_run(configuration, self._data.n_classes, seed)
        return _Training(run, self._data, self._test, self.n_epochs)


class _Training:
    """One run of `mlp.train`, epoch by epoch."""

    def __init__(self, run: mlp.Run, data: mlp.Data, test: mlp.Data, n_epochs: int) -> None:
        self._run, self._test = run, test
        self._group = mlp.Group(data, [run], "cpu")
        self._rates = mlp.learning_rates(run, n_epochs)
        self._epoch = 0

    def state(self) -> dict[str, np.ndarray]:
        """Weights and momenta; the random streams follow from the epoch."""
        return {"weights": self._group.weights.numpy(), "momenta": self._group.momenta.numpy()}

    def resume(self, epoch: int, state: Mapping[str, np.ndarray]) -> None:
        """Go on after `epoch`: what the streams gave before is drawn again and dropped."""
        self._group.weights.copy_(torch.from_numpy(state["weights"]))
        self._group.momenta.copy_(torch.from_numpy(state["momenta"]))
        for _ in range(epoch):
            next(self._group.orders[0])
            if self._group.any_dropout:
                next(self._group.bytes[0])
        self._epoch = epoch

    def train_epoch(self) -> None:
        """One pass over the training samples."""
        self._epoch += 1
        self._group.train_epoch(self._rates[self._epoch : self._epoch + 1])

    def evaluate(self) -> dict[str, float]:
        """Cross-entropies, accuracies and gradient norm of the training and validation split."""
        logs = {name: values[:, None] for name, values in self._group.evaluate().items()}
        log = {name: float(values[0, 0]) for name, values in mlp.mark_diverged(logs).items()}
        return log | {"learning_rate": float(self._rates[self._epoch])}

    def scores(self) -> dict[str, float]:
        """Accuracy on the validation and the test split."""
        other = mlp.Group(self._test, [self._run], "cpu")
        other.weights.copy_(self._group.weights)
        return {
            "validation": float(self._group.evaluate()["val_accuracy"][0]),
            "test": float(other.evaluate()["val_accuracy"][0]),
        }
