"""The epoch loop: it learns, resumes exactly, shifts, weights classes, and tells divergence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from curvecast.training import cnn, image_training, images
from curvecast.training.image_training import ImageTraining, Recipe
from curvecast.training.torch_session import seeded


def network(image: tuple[int, int, int], seed: int, n_classes: int = 10) -> cnn.Network:
    built = cnn.Network(image)
    with seeded(seed):
        built.convolution(8, 3, padding=1)
        built.batch_norm()
        built.activation("relu")
        built.max_pool(2)
        built.flatten()
        built.dropout(0.1)
        built.dense(n_classes)
    return built


RECIPE = Recipe(3, 64, 0.01, "adam", schedule="cosine", shift=1)


@pytest.fixture(scope="module")
def data() -> image_training.Prepared:
    torch.set_num_threads(1)
    return image_training.prepare(images.digits())


def start(data: image_training.Prepared, recipe: Recipe = RECIPE, seed: int = 1) -> ImageTraining:
    return ImageTraining(network(data.image, seed), data, recipe, seed)


@pytest.mark.parametrize("optimizer", image_training.OPTIMIZERS)
def test_resuming_gives_what_one_training_gives(
    data: image_training.Prepared, optimizer: str
) -> None:
    rates = {"sgd": 0.05, "adam": 0.01, "adadelta": 1.0}
    recipe = replace(
        RECIPE, optimizer=optimizer, momentum=0.9, amsgrad=True, learning_rate=rates[optimizer]
    )
    whole, first = start(data, recipe), start(data, recipe)
    untrained = whole.evaluate()
    for _ in range(3):
        whole.train_epoch()
    for _ in range(2):
        first.train_epoch()
    second = start(data, recipe, seed=1)
    second.resume(2, first.state())
    assert second.evaluate() == first.evaluate()
    second.train_epoch()
    assert second.evaluate() == whole.evaluate()
    assert second.scores() == whole.scores()
    assert whole.evaluate()["val_loss"] < 0.8 * untrained["val_loss"]
    assert whole.scores()["test"] > 0.6


def test_other_random_numbers_change_nothing(data: image_training.Prepared) -> None:
    one, two = start(data), start(data)
    one.train_epoch()
    torch.manual_seed(99)
    two.train_epoch()
    assert one.evaluate() == two.evaluate()
    other = start(data, seed=2)
    other.train_epoch()
    assert other.evaluate() != one.evaluate()


def test_shifts_move_every_image_by_its_own_amount() -> None:
    x = torch.arange(2 * 9, dtype=torch.float32).reshape(2, 1, 3, 3)
    windows = image_training._windows(x, 1, background=-1.0)
    assert torch.equal(windows[:, 0, 1, 1], x[:, 0])
    moved = windows[torch.tensor([0, 1]), 0, torch.tensor([0, 2]), torch.tensor([1, 1])]
    down = torch.tensor([[-1.0, -1, -1], [0, 1, 2], [3, 4, 5]])
    up = torch.tensor([[12.0, 13, 14], [15, 16, 17], [-1, -1, -1]])
    assert torch.equal(moved, torch.stack([down, up]))


def test_images_are_standardised_by_the_training_part(data: image_training.Prepared) -> None:
    x = data.train[0].double()
    assert float(x.mean()) == pytest.approx(0, abs=1e-6)
    assert float(x.std()) == pytest.approx(1, abs=1e-6)
    assert float(data.test[0].min()) == pytest.approx(data.background)
    larger = image_training.prepare(images.digits(), size=12)
    assert larger.image == (1, 12, 12)


def test_schedules() -> None:
    rates = [image_training.rate_at(replace(RECIPE, learning_rate=1), p) for p in (0, 0.5, 1)]
    np.testing.assert_allclose(rates, [1, 0.5, 0], atol=1e-12)
    step = replace(RECIPE, schedule="step", learning_rate=1)
    rates = [image_training.rate_at(step, p) for p in (0, 0.49, 0.5, 0.75)]
    np.testing.assert_allclose(rates, [1, 1, 0.1, 0.01])
    assert image_training.rate_at(replace(RECIPE, schedule="constant"), 0.9) == 0.01
    with pytest.raises(ValueError, match="optimizer 'lion' is not one of"):
        Recipe(1, 1, 1, "lion")


def test_losses_by_hand(data: image_training.Prepared) -> None:
    logits = torch.tensor([[2.0] + [0.0] * 9, [0.0] * 10])
    y = torch.tensor([0, 1])
    p = math.exp(2) / (math.exp(2) + 9)
    rest = (1 - p) / 9
    squares = [((1 - p) ** 2 + 9 * rest**2) / 10, (0.9**2 + 9 * 0.1**2) / 10]
    mse = start(data, replace(RECIPE, loss="mse"))
    assert float(mse._loss(logits, y, weighted=False)) == pytest.approx(np.mean(squares))
    weights = data.weights[:2].numpy()
    expected = np.average(squares, weights=weights)
    assert float(mse._loss(logits, y, weighted=True)) == pytest.approx(expected)
    cross = start(data)
    expected = np.average([-math.log(p), math.log(10)], weights=weights)
    assert float(cross._loss(logits, y, weighted=True)) == pytest.approx(expected, rel=1e-5)


def test_balanced_accuracy_is_the_mean_recall(data: image_training.Prepared) -> None:
    y = data.test[1]
    run = start(data)
    scored = run._scored(*data.test)
    logits = run._logits(data.test[0])
    hits = (logits.argmax(dim=1) == y).numpy()
    recalls = [hits[y.numpy() == k].mean() for k in range(10)]
    assert scored["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert scored["accuracy"] == pytest.approx(hits.mean())


def test_a_diverged_training_is_nan(data: image_training.Prepared) -> None:
    run = start(data, Recipe(1, 64, 1e30, "sgd"))
    run.train_epoch()
    assert set(map(math.isnan, run.evaluate().values())) == {True}


def test_weights_that_fit_are_transferred(data: image_training.Prepared) -> None:
    source = start(data, seed=3)
    source.train_epoch()
    weights = source.weights()
    other = network(data.image, 4, n_classes=7)
    target = ImageTraining(other, replace(data, n_classes=7), RECIPE, 4)
    transferred = target.transfer(weights)
    assert "0.weight" in transferred
    assert not [name for name in transferred if name.startswith("6.")]
    np.testing.assert_array_equal(target.weights()["0.weight"], weights["0.weight"])


def test_lower_precision_ends_near_the_full_one(data: image_training.Prepared) -> None:
    losses = []
    for precision in (torch.float32, torch.bfloat16):
        run = ImageTraining(network(data.image, 1), data, RECIPE, 1, precision)
        for _ in range(3):
            run.train_epoch()
        losses.append(run.evaluate()["val_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert image_training.precision_of("cpu") in (torch.float32, torch.bfloat16)


def test_grey_images_lie_channels_last_from_the_first_layer_on(
    data: image_training.Prepared,
) -> None:
    # A kernel of one pixel on one channel says nothing of the layout: the images have to.
    built = cnn.Network(data.image)
    built.convolution(8, 1)
    built.average_pool()
    built.dense(10)
    laid = []
    built[0].register_forward_hook(
        lambda module, given, result: laid.append(
            result.is_contiguous(memory_format=torch.channels_last)
        )
    )
    ImageTraining(built, data, RECIPE, 1).train_epoch()
    assert laid
    assert all(laid)
