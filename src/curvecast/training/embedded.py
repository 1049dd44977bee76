"""Train the embedded curve collections: MLPs on scikit-learn's data in LCBench's search space.

`python -m curvecast.training.embedded --out DIR` writes one Parquet file per collection.
LCBench: Zimmer, Lindauer, Hutter, "Auto-PyTorch Tabular", IEEE TPAMI 2021.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from curvecast.curves import CurveSet, group_equal_rows
from curvecast.protocol import seed_from
from curvecast.training import mlp
from curvecast.training.torch_session import side_by_side

N_EPOCHS = 50
TARGET = "val_cross_entropy"
LOG_COLUMNS = ("hp_batch_size", "hp_learning_rate", "ap_max_units", "ap_num_params")


@dataclass(frozen=True)
class Collection:
    """How a collection is made; `load` returns raw inputs (n, features) and labels (n,).

    label_noise : share of the training labels that are replaced by another class.
    input_noise : standard deviation of Gaussian noise on all inputs, in units of their scale.
    one_scale : divide all inputs by one standard deviation (pixels) or each by its own.
    passes : how often an epoch shows every training sample.
    log_weight_decay : draw the weight decay on a log scale; LCBench draws it uniformly.
    rates, units, dropouts : ranges of the learning rate, the widest layer and the dropout;
        LCBench's where not given.
    loss_limit : a run with a loss above it counts as diverged; its losses are inf from there on.
    n_runs : how many runs the collection has.
    """

    name: str
    source: str
    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    n_train: int
    n_val: int
    label_noise: float = 0.0
    input_noise: float = 0.0
    one_scale: bool = True
    passes: int = 1
    log_weight_decay: bool = False
    rates: tuple[float, float] = (1e-4, 1e-1)
    units: tuple[int, int] = (64, 1024)
    dropouts: tuple[float, float] = (0.0, 1.0)
    loss_limit: float = mlp.DIVERGED_LOSS
    n_runs: int = 500

    @property
    def log_columns(self) -> tuple[str, ...]:
        """Columns of the configurations on a log scale."""
        return LOG_COLUMNS + ("hp_weight_decay",) * self.log_weight_decay


_DIGITS = (
    "trained by curvecast on Optical Recognition of Handwritten Digits "
    "(Alpaydin and Kaynak 1998, UCI, CC BY 4.0) as in scikit-learn"
)
_BREAST_CANCER = (
    "trained by curvecast on Breast Cancer Wisconsin (Diagnostic) "
    "(Wolberg et al. 1993, UCI, CC BY 4.0) as in scikit-learn"
)
COLLECTIONS = {
    collection.name: collection
    for collection in (
        Collection(
            "embedded/digits_mlp",
            _DIGITS,
            partial(load_digits, return_X_y=True),
            n_train=1000,
            n_val=797,
        ),
        # Overfitting needs steps and weak regularisation: with one pass per epoch and LCBench's
        # uniform weight decay none of 60 runs ended with a loss 1 % above its minimum.
        Collection(
            "embedded/digits_small_mlp",
            _DIGITS,
            partial(load_digits, return_X_y=True),
            n_train=300,
            n_val=600,
            label_noise=0.3,
            input_noise=1.0,
            passes=4,
            log_weight_decay=True,
        ),
        Collection(
            "embedded/breast_cancer_mlp",
            _BREAST_CANCER,
            partial(load_breast_cancer, return_X_y=True),
            n_train=369,
            n_val=200,
            one_scale=False,
        ),
        # SGD without clipping: some runs explode to losses that are huge, but finite to the end.
        Collection(
            "embedded/digits_unstable_mlp",
            _DIGITS,
            partial(load_digits, return_X_y=True),
            n_train=200,
            n_val=400,
            log_weight_decay=True,
            rates=(1e-2, 10.0),
            units=(16, 128),
            dropouts=(0.0, 0.5),
            loss_limit=float(np.finfo(np.float32).max),
            n_runs=300,
        ),
    )
}


def load_data(collection: Collection) -> mlp.Data:
    """The scaled, stratified split with the collection's noise; its seed comes from the name.

    Training samples that an epoch shows several times are repeated.
    """
    x, y = collection.load()
    x_train, x_val, y_train, y_val = train_test_split(
        x,
        y,
        train_size=collection.n_train,
        test_size=collection.n_val,
        stratify=y,
        random_state=seed_from(collection.name, "split"),
    )
    centre = x_train.mean(axis=0)
    scale = x_train.std() if collection.one_scale else x_train.std(axis=0)
    n_classes = int(y.max()) + 1
    rng = np.random.default_rng(seed_from(collection.name, "noise"))
    flipped = rng.random(len(y_train)) < collection.label_noise
    other = (y_train + rng.integers(1, n_classes, len(y_train))) % n_classes

    def prepare(inputs: np.ndarray) -> np.ndarray:
        noise = collection.input_noise * rng.standard_normal(inputs.shape)
        return ((inputs - centre) / scale + noise).astype(np.float32)

    labels = np.where(flipped, other, y_train).astype(np.int64)
    return mlp.Data(
        x_train=np.tile(prepare(x_train), (collection.passes, 1)),
        y_train=np.tile(labels, collection.passes),
        x_val=prepare(x_val),
        y_val=y_val.astype(np.int64),
        n_classes=n_classes,
    )


def draw_configuration(collection: Collection, index: int) -> dict[str, float]:
    """Configuration `index` of a collection, from LCBench's space; it depends on nothing else."""
    rng = np.random.default_rng(seed_from(collection.name, index, "configuration"))

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    draw_weight_decay = log_uniform if collection.log_weight_decay else uniform
    return {
        "hp_batch_size": round(log_uniform(16, 512)),
        "hp_learning_rate": log_uniform(*collection.rates),
        "hp_momentum": uniform(0.1, 0.99),
        "hp_weight_decay": draw_weight_decay(1e-5, 1e-1),
        "hp_max_dropout": uniform(*collection.dropouts),
        "ap_num_layers": int(rng.integers(1, 5)),
        "ap_max_units": round(log_uniform(*collection.units)),
    }


def as_run(
    configuration: dict[str, float],
    n_classes: int,
    seed: int,
    loss_limit: float = mlp.DIVERGED_LOSS,
) -> mlp.Run:
    """The training that a configuration stands for."""
    n_layers = int(configuration["ap_num_layers"])
    return mlp.Run(
        widths=mlp.funnel(int(configuration["ap_max_units"]), n_layers, n_classes),
        dropout=mlp.funnel_dropout(configuration["hp_max_dropout"], n_layers),
        batch_size=int(configuration["hp_batch_size"]),
        learning_rate=configuration["hp_learning_rate"],
        momentum=configuration["hp_momentum"],
        weight_decay=configuration["hp_weight_decay"],
        seed=seed,
        loss_limit=loss_limit,
    )


def training_seed(collection: Collection, index: int) -> int:
    """Seed of the initial weights, sample orders and dropout of one run."""
    return seed_from(collection.name, index, "training")


def train_collection(
    collection: Collection,
    n_runs: int | None = None,
    n_epochs: int = N_EPOCHS,
    device: str = "cpu",
    workers: int = 1,
) -> CurveSet:
    """Train runs 0..n_runs-1 of a collection (default: all); `mlp.train` describes the series.

    On the CPU the result is the same for every call on one type of machine, but for the series
    `seconds`.
    """
    n_runs = n_runs or collection.n_runs
    data = load_data(collection)
    configurations = [draw_configuration(collection, i) for i in range(n_runs)]
    runs = [
        as_run(configuration, data.n_classes, training_seed(collection, i), collection.loss_limit)
        for i, configuration in enumerate(configurations)
    ]
    job = partial(mlp.train, data, n_epochs=n_epochs, device=device)
    logs = side_by_side(job, runs, workers, collection.name)
    series = {name: np.array([log[name] for log in logs], dtype=np.float32) for name in mlp.SERIES}
    configs = pd.DataFrame(configurations)
    sizes = [mlp.n_parameters(run, data.n_features, data.n_classes) for run in runs]
    configs["ap_num_params"] = sizes
    groups = group_equal_rows(configs)
    configs.insert(0, "id", [f"run{i:03d}" for i in range(n_runs)])
    configs.insert(1, "group", groups)
    return CurveSet(
        configs=configs,
        values=series.pop(TARGET),
        epochs=np.arange(n_epochs + 1),
        metric="validation cross-entropy",
        direction="minimize",
        name=collection.name,
        source=collection.source,
        log_columns=collection.log_columns,
        series=series,
        notes=(
            f"{collection.n_train} training and {collection.n_val} validation samples, "
            f"{collection.passes} passes per epoch, {collection.label_noise:.0%} of the training "
            f"labels replaced, input noise {collection.input_noise} standard deviations",
            f"a run with a cross-entropy above {collection.loss_limit:g} counts as diverged (inf)",
            "stored with the precision of float32",
        ),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train the collections into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet files")
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--runs", type=int, help="runs of each, default: all")
    parser.add_argument("--epochs", type=int, default=N_EPOCHS)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    options = parser.parse_args(arguments)
    for name in options.collections:
        curves = train_collection(
            COLLECTIONS[name], options.runs, options.epochs, options.device, options.workers
        )
        curves.to_parquet(options.out / f"{Path(name).name}.parquet")


if __name__ == "__main__":
    main()
