"""Small perceptrons on scikit-learn's digits: the real training that needs no download.

Networks and data are those of the embedded collection (training/embedded.py, training/mlp.py); one
half of its 797 held-out samples is the validation part and one half the test part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import ConfigSpace
import numpy as np
import torch

from curvecast.protocol import seed_from
from curvecast.studies.evaluation import Config
from curvecast.studies.objectives.task import Task
from curvecast.studies.spaces import mlp as spaces
from curvecast.training import embedded, mlp


@dataclass
class DigitsMLP(Task):
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
    score = "Accuracy"
    direction: str = "minimize"
    architecture: tuple[str, ...] = ("num_layers", "max_units")

    def __post_init__(self) -> None:
        collection = embedded.COLLECTIONS[self.collection]
        self.source = collection.source
        data = embedded.load_data(collection)
        order = np.random.default_rng(seed_from(self.name, "split")).permutation(len(data.y_val))
        validation, test = np.split(order, [len(order) // 2])
        self._data = replace(
            data,
            x_val=data.x_val[validation],
            y_val=data.y_val[validation],
            x_test=data.x_val[test],
            y_test=data.y_val[test],
        )

    def space(self) -> ConfigSpace.ConfigurationSpace:
        """LCBench's seven hyper-parameters."""
        return spaces.lcbench()

    def start(self, config: Config, seed: int) -> mlp.Perceptron:
        """A network before its first epoch."""
        torch.set_num_threads(1)
        configuration = {
            f"{'ap' if name in self.architecture else 'hp'}_{name}": value
            for name, value in {"max_units": 64, "max_dropout": 0.0, **config}.items()
        }
        run = embedded.as_run(configuration, self._data.n_classes, seed)
        return mlp.Perceptron(self._data, run, self.n_epochs)
