"""Read and divide images with labels: Kuzushiji, USPS, CIFAR-10, SVHN and scikit-learn's digits.

The stanza of a data set in resources/datasets.yaml gives the `format` of its files (npz, idx, h5,
libsvm, cifar or svhn) and either `validation` (how many training images are held out) or, where one
file holds all images, `split` (training, validation, test). All divisions are stratified by class,
with seeds from the name of the data set.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from sklearn.datasets import load_digits, load_svmlight_file
from sklearn.model_selection import train_test_split

from curvecast.curves import DataError
from curvecast.protocol import seed_from

DIGITS = "digits"
_IDX_UINT8 = 8
# NotImplementedError is scipy's for a file of MATLAB 7.3.
_DAMAGED = (
    *(ValueError, TypeError, KeyError, OSError, EOFError, NotImplementedError),
    *(zlib.error, zipfile.BadZipFile, tarfile.TarError, MatReadError),
)
_BATCH = re.compile(r"(data_batch_\d|test_batch)\.bin")


@dataclass(frozen=True)
class Labelled:
    """Images `x` (n, height, width) or (n, channels, height, width) and labels `y` (n,) int64.

    Pixels are uint8 0..255 or float32 0..1.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Labelled:
        """The images at these positions."""
        return Labelled(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Images:
    """A classification task, divided into three parts; `source` is its citation."""

    name: str
    source: str
    train: Labelled
    validation: Labelled
    test: Labelled
    n_classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        *channels, height, width = self.train.x.shape[1:]
        return channels[0] if channels else 1, height, width

    def class_weights(self) -> np.ndarray:
        """Weights that make every class count the same, float32 (n_classes,), 1 on average."""
        counts = np.bincount(self.train.y, minlength=self.n_classes)
        return (len(self.train) / (self.n_classes * np.maximum(counts, 1))).astype(np.float32)

    def share(self, part: float) -> Images:
        """With this share of the training images, stratified; smaller shares are within larger.

        Raises DataError where a class would be left without an image.
        """
        if not 0 < part <= 1:
            raise DataError(f"a share of {part} of the training images")
        rng = np.random.default_rng(seed_from(self.name, "share"))
        order = rng.permutation(len(self.train))
        rank = np.empty(len(order))
        for label in range(self.n_classes):
            members = order[self.train.y[order] == label]
            rank[members] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
        chosen = self.train.take(np.flatnonzero(rank < part))
        if len(np.unique(chosen.y)) < len(np.unique(self.train.y)):
            raise DataError(f"{part:g} of the training images leaves a class empty", file=self.name)
        return replace(self, train=chosen)

    def with_validation(self) -> Images:
        """With the validation images among the training images, for a last training.

        The validation part stays as it is, so scores on it mean nothing.
        """
        x, y = (
            np.concatenate([getattr(part, name) for part in (self.train, self.validation)])
            for name in ("x", "y")
        )
        return replace(self, train=Labelled(x, y))


def load(name: str, stanza: Mapping[str, Any], paths: Sequence[str | Path]) -> Images:
    """Read the raw files of a stanza of kind `task` and divide them.

    Parameters
    ----------
    paths : the files in the stanza's order: images and labels of the training part, then of the
        test part (npz, idx), the training and the test part (libsvm, svhn), or one file (h5,
        cifar).

    Raises
    ------
    DataError : a file has another format, images and labels do not belong together, or
        there are too few images for the division.
    """
    known: dict[str, Callable[[list[Path]], Any]] = {
        "npz": partial(_pairs, _npz),
        "idx": partial(_pairs, _idx),
        "h5": _h5,
        "libsvm": _libsvm,
        "cifar": _cifar,
        "svhn": _svhn,
    }
    if stanza.get("format") not in known:
        raise DataError(f"{name}: format {stanza.get('format')!r} is not one of {list(known)}")
    parts = known[stanza["format"]]([Path(path) for path in paths])
    for part, path in zip(parts, paths, strict=False):
        if len(part.x) != len(part.y) or not len(part):
            raise DataError(f"{len(part.x)} images and {len(part.y)} labels", file=path)
    if "split" in stanza:
        train, validation, test = _divide(name, parts[0], stanza["split"])
    else:
        held_out = int(stanza["validation"])
        train, validation = _divide(name, parts[0], (len(parts[0]) - held_out, held_out))
        test = parts[1]
    n_classes = int(train.y.max()) + 1
    if test.x.shape[1:] != train.x.shape[1:] or test.y.max() >= n_classes:
        raise DataError(f"{name}: the test images are of another size or have further classes")
    return Images(name, source(stanza), train, validation, test, n_classes)


def source(stanza: Mapping[str, Any]) -> str:
    """Description and citation of a stanza, as the source of curves."""
    return f"trained by curvecast on {stanza.get('description', '')} ({stanza['citation']})"


def digits() -> Images:
    """scikit-learn's 1797 digits of 8 x 8, divided into 1000, 398 and 399: no file is needed."""
    x, y = load_digits(return_X_y=True)
    whole = Labelled((x / 16).astype(np.float32).reshape(-1, 8, 8), y.astype(np.int64))
    train, validation, test = _divide(DIGITS, whole, (1000, 398, 399))
    text = "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998) as in scikit-learn"
    return Images(DIGITS, f"trained by curvecast on {text}", train, validation, test, 10)


def _divide(name: str, whole: Labelled, sizes: Sequence[int]) -> list[Labelled]:
    """Stratified parts of these sizes; the last ones are drawn first."""
    if sum(sizes) > len(whole) or min(sizes) < 1:
        raise DataError(f"{name}: {len(whole)} images cannot be divided into {list(sizes)}")
    rows, parts = np.arange(len(whole)), []
    for k, size in reversed(list(enumerate(sizes))[1:]):
        rows, drawn = train_test_split(
            rows, test_size=size, stratify=whole.y[rows], random_state=seed_from(name, "split", k)
        )
        parts.append(whole.take(np.sort(drawn)))
    return [whole.take(np.sort(rows)[: sizes[0]]), *reversed(parts)]


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Raises DataError for whatever a library says of a file that is damaged or no such file."""
    try:
        yield
    except _DAMAGED as error:
        raise DataError(f"not {kind} ({error})", file=path) from error


def _pairs(read: Callable[[Path], np.ndarray], paths: Sequence[Path]) -> list[Labelled]:
    """Files that come in pairs of images and labels."""
    arrays = [read(path) for path in paths]
    for array, path, ndim in zip(arrays, paths, [3, 1] * (len(paths) // 2), strict=True):
        if array.ndim != ndim or array.dtype != np.uint8:
            kind = "images" if ndim == 3 else "labels"
            raise DataError(f"shape {array.shape} of {array.dtype}: not {kind}", file=path)
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    return [Labelled(x, y.astype(np.int64)) for x, y in pairs]


def _npz(path: Path) -> np.ndarray:
    """The single array of a npz file of the Kuzushiji data, uint8."""
    with _reading(path, "a npz file with one array"), np.load(path, allow_pickle=False) as stored:
        (name,) = stored.files
        return stored[name]


def _idx(path: Path) -> np.ndarray:
    """An array in the idx format of MNIST (gzip): two zero bytes, type, rank, sizes, values."""
    with _reading(path, "a whole gzip file"), gzip.open(path) as stream:
        content = stream.read()
    rank = content[3] if len(content) > 4 else 0
    start = 4 + 4 * rank
    if content[:3] != bytes([0, 0, _IDX_UINT8]) or len(content) < start:
        raise DataError("not an idx file of unsigned bytes", file=path)
    shape = np.frombuffer(content[4:start], dtype=">u4").astype(int)
    if len(content) - start != shape.prod():
        raise DataError(
            f"{len(content) - start} values, the header says {shape.tolist()}", file=path
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _h5(paths: Sequence[Path]) -> list[Labelled]:
    """usps.h5: groups `train` and `test` with `data` (n, side * side) in 0..1 and `target`."""
    with _reading(paths[0], "HDF5 with groups train and test"), h5py.File(paths[0]) as file:
        parts = [(file[g]["data"][:], file[g]["target"][:]) for g in ("train", "test")]
    return [_square(x, y, paths[0]) for x, y in parts]


def _libsvm(paths: Sequence[Path]) -> list[Labelled]:
    """USPS as LIBSVM publishes it: values -1..1 and labels 1..10 for the digits 0..9."""
    parts = []
    for path in paths:
        with _reading(path, "a LIBSVM file"):
            x, y = load_svmlight_file(str(path), n_features=256, zero_based=False)
        parts.append(_square((x.toarray() + 1) / 2, y - 1, path))
    return parts


def _cifar(paths: Sequence[Path]) -> list[Labelled]:
    """cifar-10-binary.tar.gz: per image one byte of label and 3 x 32 x 32 bytes of colour."""
    batches: dict[str, np.ndarray] = {}
    with _reading(paths[0], "the binary version of CIFAR-10"), tarfile.open(paths[0]) as archive:
        for member in archive:
            name = Path(member.name).name
            stream = archive.extractfile(member) if _BATCH.fullmatch(name) else None
            if stream is not None:
                batches[name] = np.frombuffer(stream.read(), np.uint8).reshape(-1, 3073)
    test = batches.pop("test_batch.bin", None)
    if test is None or not batches:
        raise DataError("no data_batch_*.bin and test_batch.bin in it", file=paths[0])
    parts = [np.concatenate([batches[name] for name in sorted(batches)]), test]
    return [Labelled(p[:, 1:].reshape(-1, 3, 32, 32), p[:, 0].astype(np.int64)) for p in parts]


def _svhn(paths: Sequence[Path]) -> list[Labelled]:
    """SVHN's cropped digits: `X` (32, 32, 3, n) and `y` (n, 1), in which 10 stands for 0."""
    parts = []
    for path in paths:
        with _reading(path, "a file with the arrays X and y of SVHN"):
            stored = loadmat(path)
            x, y = stored["X"].transpose(3, 2, 0, 1), stored["y"].ravel() % 10
        if x.dtype != np.uint8:
            raise DataError(f"pixels of {x.dtype}, not of uint8", file=path)
        parts.append(Labelled(np.ascontiguousarray(x), y.astype(np.int64)))
    return parts


def _square(x: np.ndarray, y: np.ndarray, path: Path) -> Labelled:
    side = round(np.sqrt(x.shape[1]))
    if side**2 != x.shape[1]:
        raise DataError(f"{x.shape[1]} values are no square image", file=path)
    if not ((x >= 0) & (x <= 1)).all():
        raise DataError("values outside of 0..1", file=path)
    return Labelled(x.astype(np.float32).reshape(-1, side, side), y.astype(np.int64))
