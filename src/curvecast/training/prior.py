"""Train the network of the predictor `pfn` on a corpus of recorded trainings and invented curves.

`python -m curvecast.training.prior CORPUS OUT` reads the curve files below CORPUS and
writes weights, with the recipe and the losses of the training in their metadata. Every step draws
tasks, a context size, a decision epoch and runs. The loss joins three: the cross-entropy of the
bin that holds the end of a run; of the point predictions the logarithm of the absolute error over
the last value's, and how they rank the runs of a task. docs/prior.md describes the method.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from curvecast.curves import DataError
from curvecast.files import write_arrays
from curvecast.predictors._prior_features import (
    FALL,
    RISE,
    SETTINGS,
    SHARP,
    Context,
    Runs,
    View,
    is_log,
)
from curvecast.predictors._prior_network import Network, Sizes, initial, middles_of
from curvecast.training.prior_tasks import Task, invent, read_corpus


class TorchOps:
    """`Ops` of torch."""

    def silu(self, x: Tensor) -> Tensor:
        return functional.silu(x)

    def softmax(self, x: Tensor) -> Tensor:
        return torch.softmax(x, -1)

    def norm(self, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], gain, shift, 1e-5)

    def join(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=-2)


@dataclass(frozen=True)
class Recipe:
    """Everything that a training depends on beside the corpus.

    Attributes
    ----------
    invented : share of invented tasks. pool : how many of them are ready to be drawn from.
    contexts : context sizes. queries : runs asked about per task. batch : tasks per step.
    reuse : steps that a batch serves in the mean. rate : highest learning rate.
    point : weight of the losses of the point prediction. seed : of everything.
    steps : the training ends at so many.
    """

    sizes: Sizes = field(default_factory=Sizes)
    invented: float = 0.3
    pool: int = 400
    contexts: tuple[int, ...] = (0, 0, 0, 1, 3, 5, 10, 10, 20, 20, 40, 60, 85, 100)
    queries: int = 32
    batch: int = 12
    reuse: float = 3.0
    rate: float = 2e-3
    point: float = 0.3
    seed: int = 0
    steps: int = 94_200


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]
_BANK = 300
LOG_EVERY = 200


class Draws:
    """Draws batches out of recorded and invented tasks."""

    def __init__(self, recipe: Recipe, recorded: Sequence[Task], rng: np.random.Generator) -> None:
        self._recipe, self._recorded, self._rng = recipe, recorded, rng
        self._share = recipe.invented if recorded else 1.0
        self._invented = [self._invent() for _ in range(recipe.pool if self._share else 0)]
        self._bank: list[Batch] = []

    def _invent(self) -> Task:
        return invent(max(self._recipe.contexts) + self._recipe.queries, self._rng)

    def batch(self) -> Batch:
        """A batch out of a bank of them, of which each serves about `reuse` times."""
        if len(self._bank) < _BANK:
            self._bank.append(self._fresh())
            return self._bank[-1]
        i = int(self._rng.integers(_BANK))
        if self._rng.random() * self._recipe.reuse < 1:
            self._bank[i] = self._fresh()
        return self._bank[i]

    def _fresh(self) -> Batch:
        """Contexts (batch, n, F), queries (batch, m, F), what is asked (batch, m, 5)."""
        n = int(self._rng.choice(self._recipe.contexts))
        drawn: list[Batch] = []
        while len(drawn) < self._recipe.batch:
            one = draw(self._task(), n, self._recipe.queries, self._rng)
            if one is not None:
                drawn.append(one)
        context, queries, target = (
            np.stack(part).astype(np.float32) for part in zip(*drawn, strict=True)
        )
        return context, queries, target

    def _task(self) -> Task:
        if self._rng.random() >= self._share:
            return self._recorded[int(self._rng.integers(len(self._recorded)))]
        i = int(self._rng.integers(len(self._invented)))
        if self._rng.random() < 0.05:
            self._invented[i] = self._invent()
        return self._invented[i]


def draw(task: Task, n: int, m: int, rng: np.random.Generator) -> Batch | None:
    """Context vectors (n, F), query vectors (m, F), what is asked; None where runs are too few.

    What is asked has shape (m, 5): target, last value, end, scale (as the network sees values, in
    a unit of the task) and whether these are logarithms. The task's epochs may be cut short or
    thinned; settings are permuted, and left out at times; some context runs have no end yet.
    """
    values, epochs = _shortened(task, rng)
    share = rng.uniform(0.01, 0.95) ** 1.3
    k = max(1, int(np.searchsorted(epochs, share * epochs[-1], "right")))
    k = min(k, len(epochs) - 1)
    rows = np.flatnonzero(np.isfinite(values[:, -1]) & np.isfinite(values[:, :k]).any(axis=1))
    if len(rows) < n + min(m, 8) or k < 1:
        return None
    rows = rng.permutation(rows)[: n + m]
    if len(rows) < n + m:
        rows = np.r_[rows, rng.choice(rows[n:], n + m - len(rows))]
    seen, ends = values[rows, :k], values[rows, -1]
    if rng.random() < 0.15:  # a loss may have any unit
        factor = np.exp(rng.uniform(-12, 12))
        seen, ends = factor * seen, factor * ends
    log = bool(is_log(-task.sign * np.column_stack([seen, ends[:, None]])).all())
    view = View(task.sign, log)
    runs, end = Runs.of(view, seen, epochs[:k], int(epochs[-1])), view(ends)
    known = np.ones(n, dtype=bool)
    if n and rng.random() < 0.2:
        known = rng.random(n) < rng.random()
    first, rest = np.arange(n), np.arange(n, n + m)
    context = Context.of(runs.take(first[known]), end[first[known]])
    vectors = context.vectors(runs, _settings(task, rows, first[known], rng))
    shown = context.shown(vectors[:n], runs.take(first), end[:n], known)
    asked = runs.take(rest)
    middle, scale = np.median(end[n:]), context.scale(asked)
    spread = np.ptp(np.quantile([asked.last, end[n:]], [0.1, 0.9]))
    unit = 1.0 if log else max(spread, np.median(scale))
    target = context.target(asked, end[n:])
    facts = ((asked.last - middle) / unit, (end[n:] - middle) / unit, scale / unit)
    return shown, vectors[n:], np.column_stack([target, *facts, np.full(m, log)])


def _shortened(task: Task, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values and epochs of a task, at times cut or thinned."""
    values, epochs = task.values, task.epochs
    if len(epochs) > 6 and rng.random() < 0.25:
        stop = rng.integers(5, len(epochs) + 1)
        values, epochs = values[:, :stop], epochs[:stop]
    if len(epochs) > 12 and rng.random() < 0.2:
        each = rng.integers(2, 1 + len(epochs) // 6)
        offset = (len(epochs) - 1) % each
        values, epochs = values[:, offset::each], epochs[offset::each]
    return values, epochs


def _settings(
    task: Task, rows: np.ndarray, finished: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Settings of the rows: those that are known by name, or others in an order of no meaning,
    scaled by the finished ones."""
    if task.known and task.settings.shape[1]:
        return None if rng.random() < 0.1 else task.settings[rows]
    if len(finished) < 3 or not task.settings.shape[1] or rng.random() < 0.2:
        return None
    x = task.settings[rows]
    order = rng.permutation(x.shape[1])[:SETTINGS]
    if len(order) > 2 and rng.random() < 0.2:
        order = order[: rng.integers(1, len(order))]
    x = x[:, order]
    scale = x[finished].std(axis=0)
    varies = scale > 1e-9
    return (x[:, varies] - x[finished][:, varies].mean(axis=0)) / scale[varies]


def edges_of(draws: Draws, bins: int) -> np.ndarray:
    """Edges of bins, shape (bins + 1,): equal shares of the targets, less in the outermost ones."""
    targets = np.concatenate([draws.batch()[2][..., 0].ravel() for _ in range(_BANK)])
    outer = np.array([0.0002, 0.0005, 0.002, 0.005])
    levels = np.r_[outer, np.linspace(0.01, 0.99, bins - 7), 1 - outer[::-1]]
    return np.maximum.accumulate(np.quantile(targets, levels) + 1e-3 * np.arange(bins + 1))


def train(
    recipe: Recipe,
    recorded: Sequence[Task],
    start: Mapping[str, np.ndarray] | None = None,
    show: Callable[[str], None] = print,
    compiled: bool = False,
) -> tuple[dict[str, np.ndarray], list[tuple[float, ...]]]:
    """Train for `recipe.steps` steps; the rate falls to 0 at the end.

    `start` : weights and edges of an earlier training of the same sizes. `show` gets a line every
    LOG_EVERY steps. `compiled` : steps take about .6 of the time; needs g++.

    Returns the weights by name with the `edges`, averaged over the last steps, and tuples of step
    and mean losses (see `losses_of`).

    Raises
    ------
    DataError : fewer than one step.
    """
    if recipe.steps < 1:
        raise DataError(f"{recipe.steps} steps, at least 1 is needed")
    rng = np.random.default_rng(recipe.seed)
    draws = Draws(recipe, recorded, rng)
    begin = initial(recipe.sizes, rng) if start is None else dict(start)
    edges = begin.pop("edges", None)
    edges = edges_of(draws, recipe.sizes.bins) if edges is None else edges
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in begin.items()}
    loss_of = _loss_of(recipe, weights, edges)
    loss_of = torch.compile(loss_of, dynamic=True) if compiled else loss_of
    mean = {name: tensor.detach().clone() for name, tensor in weights.items()}
    optimizer = _optimizer(weights, recipe.rate)
    began, step, running, losses = time.monotonic(), 0, np.zeros(3), []
    while (done := step / recipe.steps) < 1:
        warm = min(1.0, (step + 1) / 200)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * warm * (0.5 * (1 + np.cos(np.pi * done)) + 0.01)
        loss, parts = loss_of(*(torch.from_numpy(part) for part in draws.batch()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        step += 1
        _follow(mean, weights, step)
        running += (parts.numpy() - running) / min(step, 300)
        if step % LOG_EVERY == 0:
            losses.append((step, *running.round(4).tolist()))
            means = " ".join(map(str, losses[-1][1:]))
            show(f"{step} steps, {time.monotonic() - began:.0f} s, losses {means}")
    losses.append((step, *running.round(4).tolist()))
    return {**{n: t.numpy() for n, t in mean.items()}, "edges": edges}, losses


def _loss_of(
    recipe: Recipe, weights: Mapping[str, Tensor], edges: np.ndarray
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A function of a batch: what is to be minimised, and its three parts without a gradient."""
    inner, middles = (torch.from_numpy(x).float() for x in (edges[1:-1], middles_of(edges)))
    network = Network(weights, recipe.sizes, TorchOps())

    def loss_of(context: Tensor, queries: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        logits = network.answer(queries, network.remember(context))
        parts = torch.stack(losses_of(logits, asked, inner, middles))
        return parts[0] + recipe.point * (parts[1] + parts[2]), parts.detach()

    return loss_of


def _follow(mean: dict[str, Tensor], weights: Mapping[str, Tensor], step: int) -> None:
    """Move the mean over about the last thousand steps, at most a tenth of all."""
    keep = min(0.999, 1 - 1 / (1 + 0.1 * step))
    with torch.no_grad():
        for name, tensor in weights.items():
            mean[name].lerp_(tensor, 1 - keep)


def losses_of(
    logits: Tensor, asked: Tensor, inner: Tensor, middles: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy in nats, log error ratio and disorder, each a mean over the batch.

    `logits` has shape (batch, m, 2 bins), `asked` is that of `draw`. The second is log(0.1 + r), r
    the absolute error of the point predictions over that of the last values, in the metric's own
    values; the third is the logistic loss of pairs of runs whose ends differ.
    """
    n_bins = len(middles)
    target, last, end, scale, log = asked.unbind(-1)
    bins = torch.bucketize(target.reshape(-1).contiguous(), inner)
    surprise = functional.cross_entropy(logits[..., :n_bins].reshape(-1, n_bins), bins)
    point = torch.softmax(logits[..., n_bins:], -1) @ middles
    gain = scale / SHARP * torch.sinh(point.clamp(-12, 12))
    seen = last + torch.where(log > 0, gain.clamp(FALL, RISE), gain)

    def value(x: Tensor) -> Tensor:
        return torch.where(log > 0, torch.exp(x.clamp(-15, 15)), x)

    naive = (value(last) - value(end)).abs().mean(-1)
    floor = 1e-2 * (value(end) - value(end).median(-1, keepdim=True).values).abs().mean(-1) + 1e-6
    ratio = (value(seen) - value(end)).abs().mean(-1) / (naive + floor)
    error = torch.log(0.1 + ratio).mean()
    unit = 0.3 * (end - end.median(-1, keepdim=True).values).abs().median(-1).values + 1e-6
    apart = (end[:, :, None] - end[:, None, :]) / unit[:, None, None]
    predicted = (seen[:, :, None] - seen[:, None, :]) / unit[:, None, None]
    weight = apart.abs().clamp(max=1)
    wrong = functional.softplus((-apart.sign() * predicted).clamp(max=20)) * weight
    disorder = (wrong.sum((1, 2)) / (weight.sum((1, 2)) + 1e-6)).mean()
    return surprise, error, disorder


def _optimizer(weights: Mapping[str, Tensor], rate: float) -> torch.optim.Optimizer:
    """AdamW; only matrices decay."""
    groups = [
        {"params": [t for n, t in weights.items() if n.endswith(".w") == matrix], "weight_decay": d}
        for matrix, d in ((True, 1e-2), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.98), fused=True)


def write(weights: dict[str, np.ndarray], path: str | Path, recipe: Recipe, **facts: Any) -> None:
    """Write weights with the recipe and facts about the training in their metadata."""
    write_arrays(weights, path, {"recipe": asdict(recipe), **facts})


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("corpus", help="folder of curve files; empty text: invented curves alone")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="in about .6 of the time; needs g++")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    recorded, held_out = read_corpus(options.corpus) if options.corpus else ([], [])
    share = Recipe.invented if recorded else 1.0
    recipe = Recipe(invented=share, seed=options.seed, steps=options.steps)
    weights, losses = train(recipe, recorded, compiled=options.compile)
    write(
        weights,
        options.out,
        recipe,
        losses=losses,
        tasks=sorted({task.name for task in recorded}),
        held_out=sorted({task.name for task in held_out}),
    )


if __name__ == "__main__":
    main()
