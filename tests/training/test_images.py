"""Image files of every format, their divisions, and what is said about broken ones."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from sklearn.datasets import dump_svmlight_file

from curvecast import DataError
from curvecast.data import registry as datasets
from curvecast.training import cnn, images
from curvecast.training.image_training import ImageTraining, Recipe, prepare

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (120, 4, 4), dtype=np.uint8)
Y = np.repeat(np.arange(3, dtype=np.uint8), 40)
STANZA = {"format": "npz", "validation": 30, "description": "made for a test", "citation": "none"}


Writer = Callable[..., list[Path]]


@pytest.mark.parametrize("format", ["npz", "idx"])
def test_pairs_of_files_are_divided_by_class(
    tmp_path: Path, write_images: Writer, format: str
) -> None:
    paths = write_images(tmp_path, format, X, Y, "train")
    paths += write_images(tmp_path, format, X[::4], Y[::4], "test")
    data = images.load("task/toy", {**STANZA, "format": format}, paths)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 30, 30)
    assert (data.n_classes, data.shape) == (3, (1, 4, 4))
    assert np.bincount(data.validation.y).tolist() == [10, 10, 10]
    # Every image is in one of the two parts, with its own label.
    both = np.concatenate([data.train.x, data.validation.x])
    labels = np.concatenate([data.train.y, data.validation.y])
    known = {x.tobytes(): int(y) for x, y in zip(X, Y, strict=True)}
    assert sorted(x.tobytes() for x in both) == sorted(known)
    assert [known[x.tobytes()] for x in both] == labels.tolist()
    np.testing.assert_array_equal(data.test.x, X[::4])
    again = images.load("task/toy", {**STANZA, "format": format}, paths)
    np.testing.assert_array_equal(again.validation.x, data.validation.x)
    other = images.load("task/other", {**STANZA, "format": format}, paths)
    assert (other.validation.x != data.validation.x).any()


def test_one_file_is_divided_into_three(tmp_path: Path, write_images: Writer) -> None:
    stanza = {**STANZA, "format": "idx", "split": [60, 30, 30]}
    data = images.load("task/toy", stanza, write_images(tmp_path, "idx", X, Y, "t10k"))
    parts = (data.train, data.validation, data.test)
    assert [np.bincount(part.y).tolist() for part in parts] == [[20] * 3, [10] * 3, [10] * 3]
    together = np.concatenate([part.x for part in parts])
    assert sorted(x.tobytes() for x in together) == sorted(x.tobytes() for x in X)


def test_usps_as_hdf5_and_as_text_is_the_same(tmp_path: Path) -> None:
    x = np.round(RNG.uniform(0, 1, (40, 256)), 3).astype(np.float32)
    y = np.tile(np.arange(10), 4)
    with h5py.File(tmp_path / "usps.h5", "w") as file:
        for part in ("train", "test"):
            file[f"{part}/data"], file[f"{part}/target"] = x, y.astype(np.int32)
        del file["test/data"]
        file["test/data"] = x[::-1]
    for name, values in (("usps", x), ("usps.t", x[::-1])):
        dump_svmlight_file(2 * values - 1, y + 1, str(tmp_path / name), zero_based=False)
    stanza = {**STANZA, "validation": 10}
    one = images.load("usps", {**stanza, "format": "h5"}, [tmp_path / "usps.h5"])
    paths = [tmp_path / "usps", tmp_path / "usps.t"]
    two = images.load("usps", {**stanza, "format": "libsvm"}, paths)
    assert one.shape == (1, 16, 16)
    for part in ("train", "validation", "test"):
        a, b = getattr(one, part), getattr(two, part)
        np.testing.assert_allclose(a.x, b.x, atol=1e-6)
        np.testing.assert_array_equal(a.y, b.y)


COLOUR = RNG.integers(0, 256, (30, 3, 32, 32), dtype=np.uint8)
DIGITS = np.tile(np.arange(10), 3)


def cifar(path: Path, batches: dict[str, slice]) -> list[Path]:
    """The layout of cifar-10-binary.tar.gz."""
    with tarfile.open(path, "w:gz") as archive:
        for name, rows in batches.items():
            records = [
                bytes([y]) + x.tobytes() for x, y in zip(COLOUR[rows], DIGITS[rows], strict=True)
            ]
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = sum(map(len, records))
            archive.addfile(member, io.BytesIO(b"".join(records)))
    return [path]


def svhn(folder: Path) -> list[Path]:
    """The layout of train_32x32.mat and test_32x32.mat: images last, 10 for the digit 0."""
    paths = [folder / "train_32x32.mat", folder / "test_32x32.mat"]
    for path, rows in zip(paths, (slice(20), slice(20, 30)), strict=True):
        y = np.where(DIGITS[rows] == 0, 10, DIGITS[rows])
        savemat(path, {"X": COLOUR[rows].transpose(2, 3, 1, 0), "y": y[:, None].astype(np.uint8)})
    return paths


@pytest.mark.parametrize("format", ["cifar", "svhn"])
def test_colour_images_in_their_official_files(tmp_path: Path, format: str) -> None:
    batches = {"batches.meta.txt": slice(0), "data_batch_1.bin": slice(10)}
    batches |= {"data_batch_2.bin": slice(10, 20), "test_batch.bin": slice(20, 30)}
    paths = cifar(tmp_path / "c.tar.gz", batches) if format == "cifar" else svhn(tmp_path)
    data = images.load("task/toy", {**STANZA, "format": format, "validation": 10}, paths)
    assert (data.shape, data.n_classes) == ((3, 32, 32), 10)
    both = np.concatenate([data.train.x, data.validation.x])
    labels = np.concatenate([data.train.y, data.validation.y])
    known = {x.tobytes(): int(y) for x, y in zip(COLOUR[:20], DIGITS, strict=False)}
    assert [known[x.tobytes()] for x in both] == labels.tolist()
    np.testing.assert_array_equal(data.test.x, COLOUR[20:])
    np.testing.assert_array_equal(data.test.y, DIGITS[20:])


def test_a_network_trains_on_colour_images(tmp_path: Path) -> None:
    stanza = {**STANZA, "format": "svhn", "validation": 10}
    prepared = prepare(images.load("task/toy", stanza, svhn(tmp_path)))
    network = cnn.listed(
        {"n_layers": 1, "layer_1": "C(4,3,1)", "end": "SM(10)"}, 10, prepared.image
    )
    recipe = Recipe(n_epochs=1, batch_size=4, learning_rate=0.01, shift=1)
    training = ImageTraining(network, prepared, recipe, seed=0)
    before = training.evaluate()["train_loss"]
    training.train_epoch()
    assert network.n_multiplications == 4 * 3 * 9 * 32 * 32 + 4 * 32 * 32 * 10
    assert training.evaluate()["train_loss"] != before


def test_the_embedded_default_needs_no_file() -> None:
    data = images.digits()
    assert (len(data.train), len(data.validation), len(data.test)) == (1000, 398, 399)
    assert 0 <= data.train.x.min() < data.train.x.max() == 1


def test_shares_are_nested_and_stratified() -> None:
    data = images.digits()
    small, large = data.share(0.1), data.share(0.5)
    assert len(small.train) == pytest.approx(100, abs=10)
    counts = np.bincount(small.train.y)
    assert counts.min() >= 9
    rows = {x.tobytes() for x in large.train.x}
    assert all(x.tobytes() in rows for x in small.train.x)
    assert len(data.share(1.0).train) == 1000
    with pytest.raises(DataError, match="leaves a class empty"):
        data.share(0.001)
    assert len(data.with_validation().train) == 1398


def test_class_weights_make_classes_equal() -> None:
    y = np.array([0] * 30 + [1] * 10)
    part = images.Labelled(np.zeros((40, 2, 2), dtype=np.uint8), y)
    weights = images.Images("a", "b", part, part, part, 2).class_weights()
    np.testing.assert_allclose(weights, [40 / 60, 2.0])
    assert np.sum(weights[y]) == pytest.approx(40)


def broken(tmp_path: Path, pair: Writer, kind: str) -> tuple[dict[str, object], list[Path]]:
    good = pair(tmp_path, "idx", X, Y, "train") + pair(tmp_path, "idx", X, Y, "test")
    idx = {**STANZA, "format": "idx"}
    match kind:
        case "labels":
            return idx, [good[0], pair(tmp_path, "idx", X, Y[:-1], "short")[1], *good[2:]]
        case "header":
            path = tmp_path / "h.gz"
            path.write_bytes(gzip.compress(gzip.decompress(good[0].read_bytes())[:-1]))
            return idx, [path, *good[1:]]
        case "magic":
            path = tmp_path / "m.gz"
            path.write_bytes(gzip.compress(b"no images here"))
            return idx, [path, *good[1:]]
        case "torn":
            path = tmp_path / "t.gz"
            path.write_bytes(good[0].read_bytes()[:-20])
            return idx, [path, *good[1:]]
        case "npz":
            return STANZA, good
        case "swapped":
            return idx, [good[1], good[0], *good[2:]]
        case "cifar":
            return {**STANZA, "format": "cifar"}, [good[0]]
        case "batches":
            path = tmp_path / "c.tar.gz"
            return {**STANZA, "format": "cifar"}, cifar(path, {"data_batch_1.bin": slice(9)})
        case "svhn":
            return {**STANZA, "format": "svhn"}, good[:2]
        case "large":
            return {**idx, "validation": 121}, good
    return {**STANZA, "format": "h5"}, [good[0]]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("labels", "120 images and 119 labels"),
        ("header", "1919 values, the header says"),
        ("magic", "not an idx file"),
        ("torn", "not a whole gzip file"),
        ("npz", "not a npz file"),
        ("swapped", "not images"),
        ("large", "cannot be divided"),
        ("cifar", "not the binary version of CIFAR-10"),
        ("batches", "no data_batch"),
        ("svhn", "not a file with the arrays X and y of SVHN"),
        ("h5", "not HDF5 with groups train and test"),
    ],
)
def test_a_broken_file_is_named(
    tmp_path: Path, write_images: Writer, kind: str, message: str
) -> None:
    stanza, paths = broken(tmp_path, write_images, kind)
    with pytest.raises(DataError, match=message):
        images.load("task/toy", stanza, paths)


def _damaged_npz() -> bytes:
    """An array whose compressed stream is broken in its middle; the directory is whole."""
    stream = io.BytesIO()
    np.savez_compressed(stream, np.random.default_rng(0).integers(0, 9, (99, 4, 4)).astype("u1"))
    whole = stream.getvalue()
    return whole[:60] + bytes(255 - byte for byte in whole[60:80]) + whole[80:]


@pytest.mark.parametrize(
    "content",
    [b"", b"no data", _damaged_npz(), gzip.compress(b"x" * 99)[:20]],
    # not the bytes, which hold the time: processes that collect a second apart would disagree
    ids=["empty", "text", "npz", "gzip"],
)
@pytest.mark.parametrize("form", ["npz", "idx", "h5", "libsvm", "cifar", "svhn"])
def test_a_damaged_file_of_any_format_is_named(form: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"file .*damaged: "):
        images.load("task/toy", {**STANZA, "format": form}, [path] * 4)


@pytest.mark.real_data
def test_the_published_files(mirror: Path) -> None:
    registry = datasets.load_registry()
    sizes = {"task/usps": (6000, 1291, 2007), "task/kmnist10k": (6000, 2000, 2000)}
    for name, expected in sizes.items():
        paths = [mirror / file.path for file in datasets.files_of(registry[name])]
        data = images.load(name, registry[name], paths)
        assert (len(data.train), len(data.validation), len(data.test)) == expected
        assert data.n_classes == 10
