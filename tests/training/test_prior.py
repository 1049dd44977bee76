"""Training of the prior: what it may learn from, its draws, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from curvecast import CurveSet, DataError, make_predictor
from curvecast.files import read_arrays
from curvecast.predictors import pfn
from curvecast.predictors._prior_features import N_FEATURES
from curvecast.predictors._prior_network import Network, NumpyOps, Sizes, initial, middles_of
from curvecast.testing import saturating_curves
from curvecast.training import prior
from curvecast.training.prior_tasks import REPORTED, invent, read_corpus, standardised, tasks_of

SMALL = prior.Recipe(
    sizes=Sizes(width=16, heads=2, layers=2, bins=20),
    pool=5,
    contexts=(0, 5),
    queries=8,
    batch=2,
    steps=150,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twelve tasks of saturating curves."""
    for i in range(12):
        curves = saturating_curves(40, last_epoch=12 + i)
        series = {"val_loss": 1.2 - curves.values, "seconds": curves.values}
        replace(curves, name=f"corpus/{i}", series=series).to_parquet(tmp_path / f"{i}.parquet")
    return tmp_path


@pytest.mark.parametrize("recorded", [True, False])
def test_the_command_trains_on_a_corpus_or_on_invented_curves_alone(
    recorded: bool, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)  # an empty text is no folder
    monkeypatch.setattr(prior.Recipe, "invented", 0.25)
    trained = []

    def train(recipe: prior.Recipe, tasks: list, compiled: bool) -> tuple[dict, list]:
        trained.append((recipe.steps, recipe.seed, recipe.invented, len(tasks) > 0, compiled))
        return {"in.w": np.zeros(2, np.float32)}, []

    monkeypatch.setattr(prior, "train", train)
    folder = str(corpus) if recorded else ""
    prior.main([folder, "out.safetensors", "--steps", "7", "--seed", "3", "--compile"])
    assert trained == [(7, 3, 0.25 if recorded else 1.0, recorded, True)]
    _, facts = read_arrays(corpus / "out.safetensors")
    assert bool(facts["tasks"]) == recorded


@pytest.mark.parametrize("collection", REPORTED)
def test_nothing_is_learnt_from_what_results_are_reported_on(collection: str, corpus: Path) -> None:
    replace(saturating_curves(), name=f"{collection}/x").to_parquet(corpus / "x.parquet")
    with pytest.raises(DataError, match="results are reported on this collection"):
        read_corpus(corpus)


def test_shipped_weights_learnt_from_no_collection_that_results_are_reported_on() -> None:
    _, facts = read_arrays(pfn.WEIGHTS)
    names = facts["tasks"] + facts["held_out"]
    assert not [name for name in names if name.split("/")[0] in REPORTED]
    assert facts["losses"]
    assert {"sizes", "invented", "seed"} <= set(facts["recipe"])


def test_a_tenth_of_the_tasks_is_held_out_by_name(corpus: Path) -> None:
    train, held_out = read_corpus(corpus)
    assert len(train) + len(held_out) == 24
    assert not {t.name for t in train} & {t.name for t in held_out}
    assert {t.sign for t in train} == {1.0, -1.0}
    with pytest.raises(DataError, match="no Parquet file"):
        read_corpus(corpus / "none")


@pytest.mark.parametrize("n", [0, 1, 5, 20])
def test_draws_are_finite(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(60):
        drawn = prior.draw(invent(40, rng), n, 8, rng)
        if drawn is not None:
            context, queries, _ = drawn
            assert context.shape == (n, N_FEATURES)
            assert queries.shape == (8, N_FEATURES)
            assert all(np.isfinite(part).all() for part in drawn)
            assert not queries[:, -3:].any()  # what a query's end would show


def test_a_task_holds_the_curves_and_scaled_settings() -> None:
    curves = saturating_curves(60)
    task = next(iter(tasks_of(curves)))
    assert task.sign == 1.0
    np.testing.assert_allclose(standardised(task.settings), task.settings)
    np.testing.assert_array_equal(task.values, curves.values)


def test_numpy_and_torch_compute_the_same_network() -> None:
    rng = np.random.default_rng(0)
    weights = initial(SMALL.sizes, rng)
    context, queries = rng.standard_normal((2, 2, 7, N_FEATURES))
    doubles = {name: array.astype(np.float64) for name, array in weights.items()}
    mine = Network(doubles, SMALL.sizes, NumpyOps())
    tensors = {name: torch.from_numpy(array) for name, array in doubles.items()}
    other = Network(tensors, SMALL.sizes, prior.TorchOps())
    for n in (0, 7):
        one = mine.answer(queries, mine.remember(context[:, :n]))
        two = other.answer(
            torch.from_numpy(queries), other.remember(torch.from_numpy(context[:, :n]))
        )
        np.testing.assert_allclose(one, two.numpy(), atol=1e-10)


@pytest.mark.parametrize("log", [0.0, 1.0])
def test_the_losses_of_point_predictions_fall_with_error_and_disorder(log: float) -> None:
    edges = torch.linspace(-3, 3, 41)
    inner, middles = edges[1:-1], torch.from_numpy(middles_of(edges.numpy())).float()
    target = torch.tensor([[-2.0, -1.0, 0.5, 1.5]])
    last, scale = torch.tensor([[0.1, 0.4, -0.3, 0.2]]), torch.full((1, 4), 0.3)
    end = last + 0.1 * torch.sinh(target)
    asked = torch.stack([target, last, end, scale, torch.full((1, 4), log)], -1)

    def of(point: torch.Tensor) -> list[float]:
        logits = -((middles - point[..., None]) ** 2) / 0.01
        return [
            float(x) for x in prior.losses_of(torch.cat([logits] * 2, -1), asked, inner, middles)
        ]

    right, still, wrong = of(target), of(torch.zeros(1, 4)), of(-target)
    assert all(a < b < c for a, b, c in zip(right, still, wrong, strict=True))
    assert still[1] == pytest.approx(np.log(0.1 + 1), abs=0.03)  # the last value's own error
    assert right[1] < np.log(0.1 + 0.1)


def test_compiled_steps_are_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the code generator, which needs a C++ compiler.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    recipe = replace(SMALL, contexts=(0, 1, 5), steps=10)
    plain, compiled = (prior.train(recipe, [], compiled=c) for c in (False, True))
    for name, array in plain[0].items():
        np.testing.assert_allclose(compiled[0][name], array, atol=1e-6)
    assert compiled[1] == plain[1]


def test_training_learns_and_writes_what_the_predictor_reads(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior, "_BANK", 20)
    recorded, _ = read_corpus(corpus)
    weights, losses = prior.train(SMALL, recorded)
    again, _ = prior.train(SMALL, recorded)
    assert all((weights[name] == again[name]).all() for name in weights)
    assert losses[-1][1] < np.log(SMALL.sizes.bins)
    _, later = prior.train(SMALL, recorded, weights)
    assert later[-1][1] < losses[-1][1]
    path = tmp_path / "out" / "weights.safetensors"
    prior.write(weights, path, SMALL, losses=losses)
    curves: CurveSet = saturating_curves()
    model = make_predictor("pfn", weights=str(path)).fit(curves.take(np.arange(30)), [6])
    p = model.predict(curves.take(np.arange(60, 100)), 6)
    assert np.isfinite(p.quantile([0.1, 0.9])).all()
