"""Draws the data of a corpus task: scikit-learn's sets, generators, sequences made by rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sklearn import datasets

Pair = tuple[np.ndarray, np.ndarray]
Source = Callable[[int, np.random.Generator], Pair]


@dataclass(frozen=True)
class Samples:
    """Training and validation samples of one task.

    Attributes
    ----------
    x_train, x_val : float32, shape (n, features), (n, 4, 4, 9) patches of images, or
        (n, length, symbols).
    y_train, y_val : int64 labels of shape (n,) or (n, length), or float32 targets of shape (n,).
    n_classes : number of classes, 0 for a regression.
    """

    source: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    n_classes: int


def draw(kind: str, rng: np.random.Generator) -> Samples:
    """Data of a kind (a key of `SOURCES`) with its sizes and defects, all drawn from `rng`."""
    names = sorted(SOURCES[kind])
    source = names[rng.integers(len(names))]
    n = round(np.exp(rng.uniform(np.log(300), np.log(2500))))
    x, y = SOURCES[kind][source](n, rng)
    rows = rng.permutation(len(x))[:n]
    x, y = x[rows].astype(np.float32), y[rows]
    n_classes = int(y.max()) + 1 if y.dtype.kind == "i" else 0
    if n_classes > 2 and y.ndim == 1 and rng.random() < 0.25:
        classes = rng.permutation(n_classes)[: rng.integers(2, n_classes)]
        x, y = x[np.isin(y, classes)], np.searchsorted(np.sort(classes), y[np.isin(y, classes)])
        n_classes = len(classes)
    if n_classes and y.ndim == 1 and rng.random() < 0.3:
        share = rng.uniform(0.05, 1, n_classes)
        share[rng.integers(n_classes)] = 1
        chosen = rng.random(len(y)) < share[y]
        x, y = x[chosen], y[chosen]
    n_train = round(len(x) * rng.uniform(0.3, 0.75))
    samples = Samples(
        source, x[:n_train], y[:n_train], x[n_train:], y[n_train:], n_classes=n_classes
    )
    samples = _noisy_labels(samples, rng)
    return samples if kind in ("sequence", "language") else _scaled(samples, rng)


def _noisy_labels(samples: Samples, rng: np.random.Generator) -> Samples:
    """Other labels for a share of the training samples, often none, sometimes in both parts."""
    share = rng.uniform(0, 0.6) ** 2 * 1.5 if rng.random() < 0.4 else 0.0
    both = rng.random() < 0.5

    def change(y: np.ndarray) -> np.ndarray:
        if not samples.n_classes:
            return (y + 2 * share * y.std() * rng.standard_normal(y.shape)).astype(np.float32)
        other = rng.integers(samples.n_classes, size=y.shape)
        return np.where(rng.random(y.shape) < share, other, y).astype(np.int64)

    y_val = change(samples.y_val)
    return replace(samples, y_train=change(samples.y_train), y_val=y_val if both else samples.y_val)


def _scaled(samples: Samples, rng: np.random.Generator) -> Samples:
    """Standardised inputs, in one task of eight on scales that differ; targets in some unit."""
    x, n_train = np.concatenate([samples.x_train, samples.x_val]), len(samples.x_train)
    axis = None if x.ndim > 2 else 0
    x = (x - x.mean(axis=axis)) / (x.std(axis=axis) + 1e-6)
    if rng.random() < 0.3:
        x = x + rng.uniform(0, 1.5) * rng.standard_normal(x.shape)
    if rng.random() < 0.125:
        x = x * 10 ** rng.uniform(-1, 1, x.shape[1:]) + rng.uniform(-1, 1, x.shape[1:])
    x = x.astype(np.float32)
    samples = replace(samples, x_train=x[:n_train], x_val=x[n_train:])
    if samples.n_classes:
        return samples
    unit = 10 ** rng.uniform(-1, 1.5) if rng.random() < 0.3 else 1.0
    centre, spread = samples.y_train.mean(), samples.y_train.std() + 1e-6
    y_train, y_val = (
        ((y - centre) / spread * unit).astype(np.float32) for y in (samples.y_train, samples.y_val)
    )
    return replace(samples, y_train=y_train, y_val=y_val)


# --- tables -------------------------------------------------------------------------------------


def _loaded(load: Callable[..., Pair]) -> Source:
    return lambda n, rng: load(return_X_y=True)


def _generated(make: Callable[..., Pair], **ranges: tuple[float, float]) -> Source:
    """A generator of scikit-learn; its parameters are drawn, as integers where the ends are."""

    def source(n: int, rng: np.random.Generator) -> Pair:
        values = {
            name: int(rng.integers(int(a), int(b))) if isinstance(a, int) else rng.uniform(a, b)
            for name, (a, b) in ranges.items()
        }
        return make(n_samples=n, **values, random_state=int(rng.integers(2**31)))

    return source


def _clusters(n: int, rng: np.random.Generator) -> Pair:
    informative = int(rng.integers(3, 12))
    return datasets.make_classification(
        n,
        n_features=informative + int(rng.integers(0, 30)),
        n_informative=informative,
        n_redundant=0,
        n_classes=int(rng.integers(2, 5)),
        n_clusters_per_class=int(rng.integers(1, 3)) if informative > 3 else 1,
        class_sep=rng.uniform(0.3, 2),
        flip_y=0,
        random_state=int(rng.integers(2**31)),
    )


def _words(n: int, rng: np.random.Generator) -> Pair:
    """Sparse counts: each class has its own frequencies of 40 to 120 words."""
    n_classes, n_words = int(rng.integers(2, 9)), int(rng.integers(40, 120))
    rates = np.exp(rng.uniform(0.2, 1) * rng.standard_normal((n_classes, n_words)) - 2.5)
    y = rng.integers(n_classes, size=n)
    return rng.poisson(rates[y]).astype(float), y


def _parity_of_bits(n: int, rng: np.random.Generator) -> Pair:
    bits = rng.integers(0, 2, (n, int(rng.integers(6, 16))))
    return 2.0 * bits - 1, bits[:, : rng.integers(2, 5)].sum(axis=1) % 2


def _spirals(n: int, rng: np.random.Generator) -> Pair:
    n_classes, turns = int(rng.integers(2, 5)), rng.uniform(0.5, 2)
    y, radius = rng.integers(n_classes, size=n), rng.uniform(0.1, 1, n)
    angle = 2 * np.pi * (y / n_classes + turns * radius) + 0.2 * rng.standard_normal(n)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), y


def _teacher(n: int, rng: np.random.Generator) -> Pair:
    """Targets of a random network with one hidden layer."""
    d, h = int(rng.integers(4, 30)), int(rng.integers(2, 20))
    x = rng.standard_normal((n, d))
    hidden = np.tanh(rng.uniform(0.5, 3) * x @ rng.standard_normal((d, h)) / np.sqrt(d))
    return x, hidden @ rng.standard_normal(h)


def _teacher_classes(n: int, rng: np.random.Generator) -> Pair:
    x, target = _teacher(n, rng)
    inner = np.linspace(0, 1, int(rng.integers(3, 8)))[1:-1]
    return x, np.searchsorted(np.quantile(target, inner), target)


def _waves(n: int, rng: np.random.Generator) -> Pair:
    x = rng.uniform(-1, 1, (n, int(rng.integers(1, 4))))
    return x, np.sin(rng.uniform(2, 12) * x.sum(axis=1)) + 0.3 * x[:, 0]


def _heavy_tails(n: int, rng: np.random.Generator) -> Pair:
    x = rng.standard_normal((n, int(rng.integers(3, 15))))
    return x, x[:, 0] * x[:, 1] + rng.uniform(0.1, 1) * rng.standard_t(2.5, n)


# --- images and sequences -----------------------------------------------------------------------


def _patches(images: np.ndarray) -> np.ndarray:
    """The 3 x 3 patches of images (n, 6, 6), by the quarters that pooling joins: (n, 4, 4, 9)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    quarters = windows.reshape(-1, 2, 2, 2, 2, 9).transpose(0, 1, 3, 2, 4, 5)
    return quarters.reshape(-1, 4, 4, 9)


def _digit_crops(n: int, rng: np.random.Generator) -> Pair:
    x, y = datasets.load_digits(return_X_y=True)
    top, left = rng.integers(0, 3, 2)
    return _patches(x.reshape(-1, 8, 8)[:, top : top + 6, left : left + 6]), y


def _gratings(n: int, rng: np.random.Generator) -> Pair:
    """Waves of 6 x 6 pixels; the class is their direction."""
    n_classes = int(rng.integers(2, 7))
    y = rng.integers(n_classes, size=n)
    angle = np.pi * y / n_classes + 0.1 * rng.standard_normal(n)
    i, j = np.meshgrid(np.arange(6), np.arange(6))
    along = np.multiply.outer(np.cos(angle), i) + np.multiply.outer(np.sin(angle), j)
    wave = np.sin(rng.uniform(0.7, 2) * along + rng.uniform(0, 6, (n, 1, 1)))
    return _patches(wave + rng.uniform(0, 1) * rng.standard_normal(wave.shape)), y


def _spots(n: int, rng: np.random.Generator) -> Pair:
    """A bright spot in noise; the class is the quarter of the image that it lies in."""
    x = rng.uniform(0.2, 1) * rng.standard_normal((n, 6, 6))
    row, column = rng.integers(0, 6, (2, n))
    x[np.arange(n), row, column] += 2
    return _patches(x), (row > 2) * 2 + (column > 2)


def _one_hot(symbols: np.ndarray, n_symbols: int) -> np.ndarray:
    return np.eye(n_symbols)[symbols]


Rule = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def _labelled(rule: Rule) -> Source:
    """Random symbols (n, length); the class of a row follows from them by a rule."""

    def source(n: int, rng: np.random.Generator) -> Pair:
        k = int(rng.integers(2, 8))
        s = rng.integers(k, size=(n, int(rng.integers(3, 9))))
        return _one_hot(s, k), rule(s, k, rng)

    return source


def _sentiment(s: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Symbols have weights, and one symbol turns the sign of those that follow."""
    sign = np.cumprod(np.where(s == 0, -1, 1), axis=1)
    return ((sign * rng.standard_normal(k)[s]).sum(axis=1) > 0).astype(int)


def _markov(n: int, rng: np.random.Generator) -> Pair:
    """The next symbol, which depends on the last two."""
    k, length = int(rng.integers(3, 9)), int(rng.integers(4, 9))
    table = rng.dirichlet(np.full(k, rng.uniform(0.05, 0.5)), size=(k, k)).cumsum(axis=2)
    s = rng.integers(k, size=(n, length + 1))
    for t in range(2, length + 1):
        chance = rng.random((n, 1))
        s[:, t] = (table[s[:, t - 2], s[:, t - 1]] < chance).sum(axis=1).clip(max=k - 1)
    return _one_hot(s[:, :-1], k), s[:, 1:]


def _periodic(n: int, rng: np.random.Generator) -> Pair:
    """The next symbol of a word that repeats."""
    k, length, period = (int(rng.integers(*r)) for r in ((3, 9), (5, 9), (2, 5)))
    s = rng.integers(k, size=(n, period))[:, np.arange(length + 1) % period]
    s = np.where(rng.random(s.shape) < rng.uniform(0, 0.2), rng.integers(k, size=s.shape), s)
    return _one_hot(s[:, :-1], k), s[:, 1:]


def _sums(n: int, rng: np.random.Generator) -> Pair:
    """The next symbol, which is the sum of the last two; some symbols are wrong."""
    k, length = int(rng.integers(2, 6)), int(rng.integers(4, 9))
    s, wrong = rng.integers(k, size=(n, length + 1)), rng.uniform(0, 0.2)
    for t in range(2, length + 1):
        right = (s[:, t - 1] + s[:, t - 2]) % k
        s[:, t] = np.where(rng.random(n) < wrong, s[:, t], right)
    return _one_hot(s[:, :-1], k), s[:, 1:]


SOURCES: dict[str, dict[str, Source]] = {
    "classes": {
        "digits": _loaded(datasets.load_digits),
        "breast_cancer": _loaded(datasets.load_breast_cancer),
        "wine": _loaded(datasets.load_wine),
        "iris": _loaded(datasets.load_iris),
        "clusters": _clusters,
        "blobs": _generated(
            datasets.make_blobs, n_features=(2, 20), centers=(3, 15), cluster_std=(1.0, 8.0)
        ),
        "words": _words,
        "shells": _generated(datasets.make_gaussian_quantiles, n_classes=(2, 5), n_features=(2, 8)),
        "parity_of_bits": _parity_of_bits,
        "spirals": _spirals,
        "teacher_classes": _teacher_classes,
    },
    "regression": {
        "diabetes": _loaded(datasets.load_diabetes),
        "friedman": _generated(datasets.make_friedman1, n_features=(5, 20)),
        "sparse_linear": _generated(
            partial(datasets.make_regression, n_informative=5), n_features=(10, 60)
        ),
        "teacher": _teacher,
        "waves": _waves,
        "heavy_tails": _heavy_tails,
    },
    "images": {"digit_crops": _digit_crops, "gratings": _gratings, "spots": _spots},
    "sequence": {
        "recall": _labelled(lambda s, k, rng: s[:, rng.integers(s.shape[1] // 2)]),
        "most_frequent": _labelled(lambda s, k, rng: _one_hot(s, k).sum(axis=1).argmax(axis=1)),
        "sum_modulo": _labelled(
            lambda s, k, rng: s[:, : rng.integers(2, s.shape[1] + 1)].sum(1) % rng.integers(2, 4)
        ),
        "order": _labelled(  # which of two symbols comes first
            lambda s, k, rng: ((s == 0).argmax(axis=1) < (s == 1).argmax(axis=1)).astype(int)
        ),
        "sentiment": _labelled(_sentiment),
    },
    "language": {"markov": _markov, "periodic": _periodic, "sums": _sums},
}
