"""The command `curvecast demo`: a search on scikit-learn's digits, interrupted, and the advice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.data.logs import read
from curvecast.files import write_csv
from curvecast.stopping.advice import advise

SEED, RUNS, UNDER_WAY, EPOCHS = 7, 30, 12, 40
_UNITS, _TRAINED, _BATCH, _VALIDATED = 32, 600, 50, 400


def show(path: str | Path) -> None:
    """Train 30 small networks, write their log as of the middle of the search, and advise on it.

    The log has a row per run and epoch. It holds 18 runs to their end and 12 up to a random epoch;
    their ends, which the advice does not see, are printed beside it.

    Parameters
    ----------
    path : of the log, CSV.
    """
    settings, loss = train()
    last = np.full(RUNS, EPOCHS)
    last[-UNDER_WAY:] = np.random.default_rng(2).integers(4, 30, UNDER_WAY)
    log = settings.join(pd.DataFrame(loss, columns=np.arange(1, EPOCHS + 1)))
    log = log.melt(list(settings), var_name="epoch", value_name="val_loss")
    seen = log["epoch"] <= log["run"].map(dict(zip(settings["run"], last, strict=True)))
    write_csv(log[seen].sort_values(["run", "epoch"]), path)
    print(
        f"{RUNS} small networks train on scikit-learn's digits; {path} is their log.\n"
        f"{RUNS - UNDER_WAY} of them have finished their {EPOCHS} epochs, the best with a loss of "
        f"{loss[:-UNDER_WAY, -1].min():.3g}; {UNDER_WAY} are under way:\n"
    )
    advice = advise(read(path, "val_loss", "minimize", epochs=EPOCHS))
    advice["end"] = advice["run"].map(dict(zip(settings["run"], loss[:, -1], strict=True)))
    print("run     epoch  loss now  predicted end (80 %)     advice   | later: the true end")
    for row in advice.itertuples():
        interval = f"{row.predicted:.3g} ({row.low:.3g} to {row.high:.3g})"
        print(
            f"{row.run}  {row.epoch:5d}  {row.value:8.3g}  {interval:23s}  {row.advice:7s}  "
            f"| {row.end:.3g}"
        )
    stopped = advice[advice["advice"] == "stop"]
    best, inside = loss[:, -1].min(), advice["end"].between(advice["low"], advice["high"])
    print(
        f"\nTo stop these {len(stopped)} saves {stopped['epochs_left'].sum()} of the "
        f"{advice['epochs_left'].sum()} epochs that are left. Trained on to check it:\n"
        f"{inside.sum()} of {UNDER_WAY} ends lie in their interval, and the best run of all "
        f"{'is stopped' if (stopped['end'] == best).any() else 'goes on'}.\n\nNow your own log:\n\n"
        "    curvecast inspect LOG                  what it holds, and the next command\n"
        "    curvecast report LOG --metric NAME     a page; the runs to stop first\n"
        "    curvecast watch LOG --metric NAME      the same whenever it grows"
    )


def train() -> tuple[pd.DataFrame, np.ndarray]:
    """The runs of a random search: their settings, and their validation losses.

    Networks of one hidden layer, all trained as one batch by gradient descent with momentum.

    Returns
    -------
    A row per run with `run, learning_rate, momentum, units`; losses, shape (n_runs, n_epochs).
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(SEED)
    x, label = load_digits(return_X_y=True)
    order = rng.permutation(len(x))[: _TRAINED + _VALIDATED]
    x, label = x[order] / 16, label[order]
    rate, momentum = 10 ** rng.uniform(-3, 0, RUNS), rng.uniform(0, 0.9, RUNS)
    units = np.round(2 ** rng.uniform(2, np.log2(_UNITS), RUNS)).astype(int)
    used = (np.arange(_UNITS) < units[:, None])[:, None, :]
    weights = [rng.normal(0, 0.18, (RUNS, 64, _UNITS)), rng.normal(0, 0.25, (RUNS, _UNITS, 10))]
    speed = [np.zeros_like(w) for w in weights]
    losses = np.empty((RUNS, EPOCHS))
    for epoch in range(EPOCHS):
        for batch in rng.permutation(_TRAINED).reshape(-1, _BATCH):
            hidden, p = _forward(x[batch], weights, used)
            p[:, np.arange(_BATCH), label[batch]] -= 1
            back = (p @ weights[1].transpose(0, 2, 1)) * (hidden > 0)
            slopes = [x[batch].T @ back, hidden.transpose(0, 2, 1) @ p]
            for w, v, slope in zip(weights, speed, slopes, strict=True):
                v *= momentum[:, None, None]
                v -= rate[:, None, None] / _BATCH * slope
                w += v
        p = _forward(x[_TRAINED:], weights, used)[1]
        losses[:, epoch] = -np.log(p[:, np.arange(_VALIDATED), label[_TRAINED:]]).mean(1)
    names = [f"run-{n + 1:02d}" for n in range(RUNS)]
    settings = {"run": names, "learning_rate": rate, "momentum": momentum, "units": units}
    return pd.DataFrame(settings), losses


def _forward(
    x: np.ndarray, weights: list[np.ndarray], used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hidden values (n_runs, n, n_units) and probabilities of the classes (n_runs, n, 10)."""
    hidden = np.maximum(x @ weights[0], 0) * used
    logits = hidden @ weights[1]
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return hidden, p / p.sum(-1, keepdims=True)
