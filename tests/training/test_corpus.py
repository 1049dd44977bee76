from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from curvecast import CurveSet
from curvecast.training.corpus import __main__ as corpus
from curvecast.training.corpus import batch, recipe, samples

KINDS = sorted(set(recipe.KINDS))
FORBIDDEN = ("lcbench", "baker", "taskset", "embedded", "kmnist", "usps", "house")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(recipe, "SECONDS", 0.02)


@pytest.fixture(scope="module")
def recipes() -> list[recipe.Recipe]:
    return [recipe.draw(f"corpus/{i}", recipe.KINDS[i % len(recipe.KINDS)]) for i in range(300)]


def small(kind: str, **settings: object) -> recipe.Recipe:
    """A recipe of six runs, the settings given in place of its own."""
    drawn = recipe.draw(f"small/{kind}", kind)
    values = {name: array[:6] for name, array in drawn.settings.items()}
    for name, value in settings.items():
        values[name] = np.full(6, value) if np.ndim(value) == 0 else np.array(value)
    style = replace(drawn.style, last_epoch=6, every=1, epoch_samples=64, log_samples=60)
    return replace(drawn, settings=values, style=style)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_a_whole_set_of_curves_and_the_same_again(kind, tmp_path):
    curves, again = corpus.task(f"test/{kind}", kind), corpus.task(f"test/{kind}", kind)
    assert 50 <= len(curves) <= 200
    assert curves.metric.removeprefix("validation ").replace(" ", "_") in recipe.METRICS[kind]
    assert (curves.direction == "maximize") == ("accuracy" in curves.metric)
    assert not np.isnan(curves.values).any()
    assert curves.values.tobytes() == again.values.tobytes()
    assert {"train_mse" if kind == "regression" else "train_loss"} <= set(curves.series)
    notes = json.loads(curves.notes[0])
    assert notes["style"]["last_epoch"] == curves.last_epoch
    settings = {c[3:] for c in curves.configs if c.startswith(("hp_", "ap_"))}
    assert settings.isdisjoint(notes["fixed"])
    assert settings | set(notes["fixed"]) == {*recipe.SEARCHED, *recipe.CHOICES}
    curves.to_parquet(tmp_path / "task.parquet")
    read = CurveSet.from_parquet(tmp_path / "task.parquet")
    np.testing.assert_array_equal(read.values, curves.values)
    assert read.configs.equals(curves.configs)


def test_the_command_trains_what_is_missing_only(tmp_path):
    corpus.main([str(tmp_path), "--tasks", "2"])
    first, second = sorted(tmp_path.iterdir())
    content = first.read_bytes()
    first.write_bytes(b"another's")
    second.unlink()
    corpus.main([str(tmp_path), "--tasks", "3"])
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"task_{i:04d}.parquet" for i in range(3)
    ]
    assert first.read_bytes() == b"another's" != content


def test_recipes_differ_in_all_that_they_draw(recipes):
    styles = [r.style for r in recipes]
    assert {s.metric for s in styles} == {m for metrics in recipe.METRICS.values() for m in metrics}
    assert {len(r.searched) for r in recipes} == set(range(9))
    assert {r.data.source for r in recipes} == {
        s for names in samples.SOURCES.values() for s in names
    }
    varied = {name for r in recipes for name in r.searched}
    assert varied == {*recipe.SEARCHED, *recipe.CHOICES}
    lengths = [s.last_epoch for s in styles]
    assert min(lengths) < 10
    assert len({s.every for s in styles}) > 1
    for flag in ("first", "batch_norm", "residual", "weighted", "decoupled", "gated"):
        assert {getattr(s, flag) for s in styles} == {False, True}
    assert {np.isfinite(r.settings["clip"]).all() for r in recipes} == {False, True}
    for choice, names in recipe.CHOICES.items():
        assert {str(v) for r in recipes for v in r.settings[choice]} == set(names)


def test_long_tasks_are_drawn_when_they_are_affordable(monkeypatch):
    monkeypatch.setattr(recipe, "SECONDS", 1e9)
    lengths = [recipe.draw(f"corpus/{i}", "classes").style.last_epoch for i in range(60)]
    assert min(lengths) < 10
    assert max(lengths) > 300


def test_no_file_of_a_reported_collection_is_opened():
    """Data come from scikit-learn and from random numbers; the process opens no other data."""
    opened, active = [], [True]
    sys.addaudithook(lambda e, a: opened.append(str(a[0])) if active and e == "open" else None)
    for i in range(300):
        recipe.draw(f"corpus/{i}", recipe.KINDS[i % len(recipe.KINDS)])
    active.clear()
    data = {path for path in opened if path.endswith((".csv", ".gz", ".parquet", ".npz", ".json"))}
    assert {path.rsplit("/", 1)[-1] for path in data} >= {"digits.csv.gz", "iris.csv"}
    assert all("sklearn/datasets/data" in path for path in data)
    assert not [p for p in opened for word in FORBIDDEN if word in p.rsplit("site-packages")[-1]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_does_not_depend_on_the_others_of_its_batch(kind):
    """Widths, depths and batch sizes are masked: a diverging neighbour changes nothing."""
    mixed = small(
        kind, width=[3, 9, 5, 9, 2, 4], depth=[1, 3, 2, 1, 2, 3], batch_size=[4, 64, 7, 16, 5, 8],
        learning_rate=0.01, optimizer="sgd", dropout=0.0, input_noise=0.0,
    )  # fmt: skip
    wild = replace(
        mixed, settings=mixed.settings | {"learning_rate": np.array([0.01] * 5 + [1e30])}
    )
    calm_log, wild_log = batch.train(mixed), batch.train(wild)
    for name, values in calm_log.items():
        np.testing.assert_array_equal(values[:5], wild_log[name][:5])
    assert np.isfinite(calm_log["train_mae" if kind == "regression" else "train_loss"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_network_is_the_small_one(kind):
    """With the same weights, outputs do not change when the units beyond the width do."""
    generator = torch.Generator().manual_seed(0)
    networks = batch.Networks(small(kind, width=[3, 8, 8, 8, 8, 8], depth=1), generator)
    x = torch.from_numpy(networks_input(kind)).expand(6, -1, *networks_input(kind).shape[1:])
    views = networks.views(6)
    before = networks.outputs(views, x, None)
    gates = views[0].shape[-1] // networks.units
    for gate in range(gates):
        views[0][0, :, gate * networks.units + 3 : (gate + 1) * networks.units] = 9.0
    after = networks.outputs(views, x, None)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-6)


def networks_input(kind: str) -> np.ndarray:
    return small(kind).data.x_train[:20]


@pytest.mark.parametrize("name", recipe.CHOICES["optimizer"])
def test_optimisers_are_those_of_torch(name):
    drawn = small("regression", optimizer=name, momentum=0.7, smoothing=0.9, epsilon=1e-3,
                  weight_decay=0.02, clip=np.inf)  # fmt: skip
    networks = batch.Networks(drawn, torch.Generator().manual_seed(0))
    ours = batch.Optimizer(networks, drawn.settings, decoupled=False)
    theirs = networks.weights.clone().requires_grad_()
    torch_optimizer = {
        "sgd": torch.optim.SGD([theirs], 0.1, weight_decay=0.02),
        "momentum": torch.optim.SGD([theirs], 0.1, momentum=0.7, weight_decay=0.02),
        "adam": torch.optim.Adam([theirs], 0.1, (0.7, 0.9), 1e-3, 0.02),
        "rmsprop": torch.optim.RMSprop([theirs], 0.1, 0.9, 1e-3, 0.02),
    }[name]
    for _ in range(4):
        gradient = torch.sin(theirs.detach() * 3)
        theirs.grad = gradient
        ours.step(gradient.clone(), torch.full((6, 1), 0.1))
        torch_optimizer.step()
    np.testing.assert_allclose(networks.weights, theirs.detach(), rtol=2e-5, atol=1e-6)


def test_clipping_limits_the_norm_of_each_run():
    drawn = small("regression", optimizer="sgd", clip=0.5, weight_decay=0.0)
    networks = batch.Networks(drawn, torch.Generator().manual_seed(0))
    before = networks.weights.clone()
    optimizer = batch.Optimizer(networks, drawn.settings, decoupled=False)
    optimizer.step(torch.full_like(before, 7.0), torch.ones(6, 1))
    np.testing.assert_allclose((networks.weights - before).norm(dim=1), 0.5, rtol=1e-4)


def test_schedules_fall_where_they_say():
    names = np.array(recipe.CHOICES["schedule"])
    settings = {"schedule": names, "decay": np.full(len(names), 0.1)}
    factors = dict(
        zip(
            names,
            np.array([batch.rate_factors(settings, 0.8, e, 100) for e in range(1, 101)]).T,
            strict=True,
        )
    )
    assert set(factors["constant"]) == {1.0}
    np.testing.assert_allclose(factors["step"][[0, 49, 50, 74, 75]], [1, 1, 0.1, 0.1, 0.01])
    np.testing.assert_allclose(factors["late_drop"][[79, 80]], [1, 0.1])
    np.testing.assert_allclose(factors["cosine"][[0, 50]], [1, 0.5])
    np.testing.assert_allclose(factors["warmup"][[0, 9, 79, 90]], [0.1, 1, 1, 0.5])
    assert factors["restarts"][33] < 0.01 < 0.9 < factors["restarts"][35]
    assert (np.diff(factors["exponential"]) < 0).all()


def test_metrics_of_known_outputs():
    networks = batch.Networks(
        replace(small("classes"), data=replace(
            small("classes").data, y_train=np.array([0] * 9 + [1]), n_classes=2)),
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    y = torch.tensor([0, 0, 0, 1])
    outputs = torch.tensor([[[2.0, 0], [2, 0], [0, 2], [2, 0]], [[np.nan, 0]] * 4])
    log = batch._metrics(outputs, y, networks)
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    assert float(log["loss"][0]) == pytest.approx((2 * right + 2 * wrong) / 4)
    assert float(log["accuracy"][0]) == 0.5
    assert float(log["balanced_accuracy"][0]) == pytest.approx(1 / 3)
    assert float(log["weighted_loss"][0]) == pytest.approx(
        ((2 * right + wrong) / 9 + wrong) / (3 / 9 + 1)
    )
    assert float(log["loss"][1]) == np.inf
    assert float(log["accuracy"][1]) == 0.75  # outputs that are no numbers: the first class


def test_networks_learn():
    """Adam at a usual rate halves the loss of blobs, and of the digits' crops."""
    for kind in ("classes", "regression", "images"):
        drawn = small(kind, optimizer="adam", learning_rate=0.01, width=16, depth=1,
                      dropout=0.0, batch_size=16, label_smoothing=0.0, input_noise=0.0,
                      weight_decay=0.0, init_scale=1.0, epsilon=1e-8, momentum=0.9,
                      smoothing=0.999, clip=np.inf, schedule="constant")  # fmt: skip
        style = replace(drawn.style, activation="relu", batch_norm=False, weighted=False,
                        last_epoch=30, epoch_samples=300, log_samples=300, first=True)  # fmt: skip
        log = batch.train(replace(drawn, style=style))
        loss = log["train_mse" if kind == "regression" else "train_loss"]
        assert (loss[:, -1] < 0.7 * loss[:, 0]).all()
