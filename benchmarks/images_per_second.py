"""Images per second of the training loop against a plain PyTorch DataLoader loop.

    python benchmarks/images_per_second.py [--images 2000] [--repeats 3] [--device cpu]

Both train the same networks of the Kuzushiji space on random images of 28 x 28, with the same
optimiser, batch size and shifts. The plain loop is what a tutorial writes: a data set that gives
one image at a time, a DataLoader, float32; once with tensors alone, and once by way of pictures,
as torchvision's data sets and transforms do it. Printed are the images per second of the best of
`repeats` epochs each, of the processor's seconds on a CPU and of the clock on a GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from curvecast.studies.spaces.kuzushiji import DEFAULT, QUICK
from curvecast.training import cnn
from curvecast.training.image_training import (
    ImageTraining,
    Recipe,
    batch_last_pays,
    keep_freed_memory,
    precision_of,
    prepare,
)
from curvecast.training.images import Images, Labelled

SHIFT = 2
CONVOLUTIONS = {f"{k}_{i}": v for i in (1, 2, 3) for k, v in (("kernel", 3), ("padding", 1))}
NETWORKS = {
    "default": {**DEFAULT, "batch_size": 96},
    "small": {
        **QUICK, **CONVOLUTIONS, "n_conv": 2, "n_dense": 1, "units_1": 64, "batch_size": 100,
        "channels_1": 6, "channels_2": 24, "learning_rate": 1e-3,
    },
    "large": {
        **QUICK, **CONVOLUTIONS, "n_conv": 3, "n_dense": 1, "units_1": 128, "batch_size": 100,
        "channels_1": 12, "channels_2": 48, "channels_3": 64, "dropout_3": 0.2,
        "learning_rate": 1e-3,
    },
}  # fmt: skip


class Tensors(Dataset):
    """One image at a time, with nothing but tensors: as lean as such a loop gets."""

    def __init__(self, part: Labelled, shift: int) -> None:
        self.part, self.shift = part, shift

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.part.x[index]).float().div(255).sub(0.5).div(0.3)[None]
        if self.shift:
            side = image.shape[1]
            padded = torch.nn.functional.pad(image, [self.shift] * 4)
            top, left = torch.randint(0, 2 * self.shift + 1, (2,)).tolist()
            image = padded[:, top : top + side, left : left + side]
        return image, int(self.part.y[index])


class Pictures(Tensors):
    """As torchvision's KMNIST with RandomCrop(padding), ToTensor and Normalize does it."""

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.part.x[index], mode=None)
        if self.shift:
            side = picture.width
            picture = ImageOps.expand(picture, border=self.shift, fill=0)
            top, left = torch.randint(0, 2 * self.shift + 1, (2,)).tolist()
            picture = picture.crop((left, top, left + side, top + side))
        array = np.array(picture, copy=True)[:, :, None]
        tensor = torch.from_numpy(array).permute((2, 0, 1)).contiguous().float().div(255)
        return tensor.clone().sub_(torch.tensor([0.5])[:, None, None]).div_(
            torch.tensor([0.3])[:, None, None]
        ), int(self.part.y[index])


LOADERS = {"tensors": Tensors, "pictures": Pictures}


def plain_epoch(
    kind: str, images: Images, config: dict, shift: int, device: str
) -> Callable[[], None]:
    """A tutorial's loop over one epoch."""
    network = cnn.build(cnn.kuzushiji(config, 10), images.shape, 0).to(device)
    if config["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(network.parameters(), config["learning_rate"])
    else:
        optimizer = torch.optim.Adam(network.parameters(), config["learning_rate"])
    loader = DataLoader(LOADERS[kind](images.train, shift), config["batch_size"], shuffle=True)

    def epoch() -> None:
        network.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()

    return epoch


def our_epoch(images: Images, config: dict, shift: int, device: str) -> Callable[[], None]:
    """This project's loop over one epoch."""
    recipe = Recipe(
        10**6, config["batch_size"], config["learning_rate"], config["optimizer"], shift=shift
    )
    data = prepare(images, device)
    keep_freed_memory()
    network = cnn.kuzushiji(config, 10)
    module = cnn.build(network, data.image, 0)
    layout = batch_last_pays(network, data.image, recipe.batch_size)
    return ImageTraining(
        module, data, recipe, 0, precision_of(device), batch_last=layout
    ).train_epoch


def images_per_second(epoch: Callable[[], None], n_images: int, repeats: int, device: str) -> float:
    """Of the best of `repeats` epochs, after one to warm up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = np.inf
    for repeat in range(repeats + 1):
        started = clock()
        epoch()
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, clock() - started) if repeat else np.inf
    return n_images / best


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (options.images, 28, 28), dtype=np.uint8)
    part = Labelled(x, rng.integers(0, 10, options.images))
    images = Images("random", "random", part, part, part, 10)
    print(f"{options.device}, {precision_of(options.device)}, one thread")
    speeds: dict[tuple[str, int], list[float]] = {}
    # Ours last: it changes how this process keeps its memory, of which the others would gain.
    for make in (*(partial(plain_epoch, kind) for kind in LOADERS), our_epoch):
        for name, config in NETWORKS.items():
            for shift in (0, SHIFT):
                epoch = make(images, config, shift, options.device)
                found = images_per_second(epoch, options.images, options.repeats, options.device)
                speeds.setdefault((name, shift), []).append(found)
    print("network  shift  tensors pictures    ours  ours/tensors  ours/pictures")
    for (name, shift), (tensors, pictures, ours) in speeds.items():
        print(
            f"{name:<8} {shift:>5} {tensors:8.0f} {pictures:8.0f} {ours:7.0f} "
            f"{ours / tensors:13.2f} {ours / pictures:14.2f}"
        )


if __name__ == "__main__":
    main()
