"""Draws the recipe of a corpus task: its data, networks, length, metric and searched settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from curvecast.protocol import seed_from
from curvecast.training.corpus import samples

KINDS = ("classes", "images", "regression", "sequence", "classes", "language")
# Lowest and highest value of a search, whether it is drawn on a log scale, whether it is a number
# of things; the rates are those of SGD, adaptive optimisers have RATES. One task of four searches
# WILD ranges.
SEARCHED: dict[str, tuple[float, float, bool, bool]] = {
    "learning_rate": (5e-3, 2.0, True, False),
    "momentum": (0.0, 0.99, False, False),
    "smoothing": (0.8, 0.9999, False, False),
    "epsilon": (1e-10, 1e-1, True, False),
    "weight_decay": (1e-6, 3e-2, True, False),
    "width": (2, 20, True, True),
    "depth": (1, 4, False, True),
    "dropout": (0.0, 0.7, False, False),
    "batch_size": (8, 128, True, True),
    "init_scale": (0.3, 2.0, True, False),
    "clip": (3e-2, 10.0, True, False),
    "label_smoothing": (0.0, 0.4, False, False),
    "input_noise": (0.0, 1.0, False, False),
    "decay": (1e-2, 1.0, True, False),
}
RATES = (5e-4, 0.1)
WILD = {"sgd": (1e-4, 10.0), "adam": (1e-5, 1.0), "init_scale": (0.05, 5.0), "dropout": (0.0, 0.9)}
# The fewest seconds per task; those per multiplication and per value of a hidden unit in a forward
# and a backward pass, per operation of torch, and per weight in an update.
SECONDS, SUM, VALUE, OPERATION, WEIGHT = 0.8, 6e-10, 2.5e-8, 1.2e-5, 1e-8
CHOICES = {
    "optimizer": ("sgd", "momentum", "adam", "rmsprop"),
    "schedule": ("constant", "step", "cosine", "warmup", "late_drop", "restarts", "exponential"),
}
METRICS = {
    "classes": ("loss", "accuracy", "balanced_accuracy", "error", "weighted_loss"),
    "images": ("accuracy", "error", "loss"),
    "regression": ("mse", "mae"),
    "sequence": ("loss", "accuracy", "error"),
    "language": ("perplexity", "loss"),
}
HIGHER = ("accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Style:
    """What all runs of a task share.

    Attributes
    ----------
    last_epoch, every : length of the runs; how many epochs lie between two logged ones.
    first : whether the untrained network (epoch 0) is logged.
    drop_at : share of the length after which a late drop or a decline after warm-up begins.
    weighted : weight the classes of the training loss by their rarity.
    decoupled : weight decay beside the gradient (AdamW) instead of in it.
    epoch_samples, log_samples : samples that an epoch shows and that a logged value is made of.
    """

    kind: str
    metric: str
    last_epoch: int
    every: int
    first: bool
    activation: str
    gated: bool
    batch_norm: bool
    residual: bool
    drop_at: float
    weighted: bool
    decoupled: bool
    epoch_samples: int = 0
    log_samples: int = 0

    @property
    def epochs(self) -> np.ndarray:
        """Logged epochs, the last one always among them."""
        logged = {0} if self.first else set()
        return np.array(
            sorted(logged | set(range(self.every, self.last_epoch, self.every)) | {self.last_epoch})
        )


@dataclass(frozen=True)
class Recipe:
    """One task: `settings` holds an array (runs,) per setting, `searched` names those that vary."""

    name: str
    data: samples.Samples
    style: Style
    settings: dict[str, np.ndarray]
    searched: tuple[str, ...]


def draw(name: str, kind: str) -> Recipe:
    """The recipe of the task `name`; it depends on name and kind alone."""
    rng = np.random.default_rng(seed_from(name, "recipe"))
    data = samples.draw(kind, np.random.default_rng(seed_from(name, "data")))
    recurrent = kind in ("sequence", "language")
    n_runs = round(np.exp(rng.uniform(np.log(50), np.log(100 if recurrent else 200))))
    style = _style(kind, rng)
    n_searched = int(rng.integers(0, 9))
    names = [n for n in (*SEARCHED, *CHOICES) if n != "learning_rate"]
    chosen = list(rng.permutation(names)[:n_searched])
    if n_searched and rng.random() < 0.9:
        chosen[0] = "learning_rate"
    settings = _fixed(rng, n_runs)
    for choice in CHOICES:
        if choice in chosen:
            some = rng.permutation(CHOICES[choice])[: rng.integers(2, len(CHOICES[choice]) + 1)]
            settings[choice] = rng.choice(some, n_runs)
    adaptive = np.isin(settings["optimizer"], ("adam", "rmsprop"))
    usual = RATES if adaptive.mean() > 0.5 else SEARCHED["learning_rate"][:2]
    if kind == "regression":  # squared errors have large gradients
        usual = (usual[0] / 5, usual[1] / 5)
    settings["learning_rate"] = np.full(
        n_runs, (usual[0] ** 0.4 * usual[1] ** 0.6) * np.exp(rng.normal())
    )
    on_grid, wild = rng.random() < 0.15, rng.random() < 0.25
    for setting in (s for s in SEARCHED if s in chosen):
        ends, key = SEARCHED[setting][:2], setting
        if setting == "learning_rate":
            ends, key = usual, "adam" if adaptive.mean() > 0.5 else "sgd"
        ends = WILD.get(key, ends) if wild else ends
        settings[setting] = _searched(rng, n_runs, setting, ends, on_grid)
    seconds = SECONDS * n_runs / 70 * np.exp(rng.uniform(0, np.log(8))) * (2 if recurrent else 1)
    style = _affordable(style, data, settings, seconds)
    return Recipe(name, data, style, settings, tuple(c for c in settings if c in chosen))


def _affordable(
    style: Style, data: samples.Samples, settings: dict[str, np.ndarray], seconds: float
) -> Style:
    """The style with numbers of samples that one core trains in about so many seconds.

    An estimate by constants of one machine, so that a recipe does not depend on the clock.
    """
    units, depth, sizes = settings["width"].max(), settings["depth"].max(), settings["batch_size"]
    n_in, length, runs = data.x_train.shape[-1], data.x_train.shape[1], len(sizes)
    if style.kind in ("sequence", "language"):
        gates = units * (3 if style.gated else 1)
        weights = (n_in + units) * gates
        sums, values, operations = length * weights, 2 * length * gates, 12 * length
    elif style.kind == "images":
        weights = units * (9 + (depth - 1) * units)
        sums = 16 * 9 * units + 4 * (depth - 1) * units**2
        values, operations = units * (12 + 4 * depth), 60 + 25 * depth
    else:
        weights = sums = units * (n_in + (depth - 1) * units)
        values, operations = units * depth, 50 + 25 * depth
    one = runs * (SUM * sums + VALUE * values)
    shown = one + OPERATION * operations / sizes.min() + WEIGHT * weights * (1 / sizes).sum()
    n = seconds / (shown * style.last_epoch)
    last_epoch = max(5, int(style.last_epoch * min(1, n / 64)))
    style = replace(style, last_epoch=last_epoch, every=min(style.every, max(1, last_epoch // 5)))
    n_logged = seconds / 3 / (one * len(style.epochs))
    rarely = min(np.ceil(100 / n_logged), max(1, last_epoch // 10))
    style = replace(style, every=max(style.every, int(rarely)))
    n_logged = seconds / 3 / (one * len(style.epochs))
    return replace(
        style,
        epoch_samples=int(np.clip(n, 32, len(data.y_train))),
        log_samples=int(np.clip(n_logged, 50, 500)),
    )


def _style(kind: str, rng: np.random.Generator) -> Style:
    last_epoch = round(np.exp(rng.uniform(np.log(5), np.log(500))))
    if rng.random() < 0.3:
        last_epoch = int(rng.choice([10, 20, 50, 100]))
    most = max(1, last_epoch // 8)
    every = int(rng.integers(1, most + 1)) if rng.random() < 0.3 else 1
    return Style(
        kind=kind,
        metric=str(rng.choice(METRICS[kind])),
        last_epoch=last_epoch,
        every=max(every, -(-last_epoch // 120)),
        first=bool(rng.random() < 0.5),
        activation=str(rng.choice(["relu", "relu", "gelu", "tanh", "sigmoid"])),
        gated=bool(rng.random() < 0.35),
        batch_norm=bool(rng.random() < 0.3),
        residual=bool(rng.random() < 0.2),
        drop_at=rng.uniform(0.3, 0.95),
        weighted=kind in ("classes", "images") and bool(rng.random() < 0.3),
        decoupled=bool(rng.random() < 0.3),
    )


def _fixed(rng: np.random.Generator, n_runs: int) -> dict[str, np.ndarray]:
    """Values of settings that are not searched, as people leave them; mostly those of libraries."""
    values: dict[str, float | str] = {
        "optimizer": str(rng.choice(CHOICES["optimizer"])),
        "schedule": str(rng.choice(CHOICES["schedule"])),
        "momentum": 0.9,
        "smoothing": 0.999,
        "epsilon": 1e-8,
        "weight_decay": float(rng.choice([0, 0, 1e-4, 1e-2])),
        "width": int(rng.choice([6, 12, 20])),
        "depth": int(rng.choice([1, 2, 3])),
        "dropout": float(rng.choice([0, 0, 0, 0, 0.3])),
        "batch_size": int(rng.choice([16, 32, 64])),
        "init_scale": 1.0,
        "clip": float(rng.choice([np.inf, np.inf, np.inf, 1.0])),
        "label_smoothing": 0.0,
        "input_noise": 0.0,
        "decay": float(rng.choice([0.1, 0.1, 0.3])),
    }
    return {name: np.full(n_runs, value) for name, value in values.items()}


def _searched(
    rng: np.random.Generator,
    n_runs: int,
    setting: str,
    ends: tuple[float, float],
    on_grid: bool,
) -> np.ndarray:
    """Draws from the whole range of a setting, or from a part of it; on a grid of a few values."""
    _, _, log, whole = SEARCHED[setting]
    low, high = np.log(ends) if log else ends
    if rng.random() < 0.5:
        size = (high - low) * rng.uniform(0.4, 0.9)
        low = rng.uniform(low, high - size)
        high = low + size
    share = rng.random(n_runs)
    if on_grid:
        n_values = int(rng.integers(2, 6))
        share = np.floor(share * n_values) / (n_values - 1)
    drawn = low + share * (high - low)
    drawn = np.exp(drawn) if log else drawn
    return np.round(drawn).astype(int) if whole else drawn
