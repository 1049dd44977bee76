"""Networks that are trained to the end: references, incumbents of studies, and transfer.

network_definitions:
  kmnist10k_best:
    study: kmnist10k               # the incumbent's configuration; task and data as in the study
    task_options: {n_epochs: 20}   # replaces single options of the study's
    repeats: 3                     # trainings with other seeds, a job each
  kmnist10k_from_usps:
    study: usps28                  # configuration, and ...
    data: task/kmnist10k
    weights: usps28_best           # ... weights of another network (transfer of the model)
  usps_reference:
    task: images
    data: task/usps
    configuration: usps.REFERENCE  # a constant of a module in studies/spaces, or a mapping
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.protocol import seed_from
from curvecast.studies.definitions import task_of
from curvecast.studies.evaluation import Evaluation
from curvecast.studies.objectives.training import Training
from curvecast.studies.spaces import load_configuration


@dataclass(frozen=True)
class TrainedNetwork:
    """One training to the end.

    Attributes
    ----------
    curves : its learning curve, one row.
    scores : one row: `network, repeat, seed, epochs, num_params, depth, taken_over` (tensors whose
        weights came from another network), `diverged`, and what the task scores (`train,
        validation, test`, ...).
    weights : by name.
    seconds : of the training, evaluation after every epoch included.
    """

    curves: CurveSet
    scores: pd.DataFrame
    weights: dict[str, np.ndarray]
    seconds: float


def train(
    name: str,
    definition: Mapping[str, Any],
    repeat: int,
    raw: Sequence[str | Path] = (),
    configuration: Mapping[str, Any] | None = None,
    taken: Mapping[str, Any] | None = None,
    start: Mapping[str, np.ndarray] | None = None,
) -> TrainedNetwork:
    """Train one repeat of a network for the task's `n_epochs`; divergence ends it.

    Parameters
    ----------
    raw : the raw files of the stanza under `data`.
    configuration : what the study under `study` found; default: the definition's own.
    taken : what the study found whose configuration that one took over.
    start : weights of the network under `weights`; what does not fit is drawn anew.
    """
    config = load_configuration(configuration or definition["configuration"])
    task = task_of(definition, raw, taken)
    if not task.possible(config):
        raise DataError(f"network {name!r}: its configuration is impossible for the task's data")
    seed = seed_from("network", name, repeat)
    began = time.perf_counter()
    session = task.start(config, seed)
    transferred = session.transfer(start) if start else []
    logs = {key: [value] for key, value in session.evaluate().items()}
    while len(logs[task.target]) <= task.n_epochs and math.isfinite(logs[task.target][-1]):
        session.train_epoch()
        for key, value in session.evaluate().items():
            logs[key].append(value)
    epochs = len(logs[task.target]) - 1
    diverged = not math.isfinite(logs[task.target][-1])
    seconds = time.perf_counter() - began
    scores = session.scores()
    if task.all_training:  # scores on data that were trained on mean nothing
        scores |= dict.fromkeys((k for k in scores if k.startswith("validation")), math.nan)
    run = Evaluation(
        id=(0, 0, repeat),
        config=config,
        budget=task.n_epochs,
        loss=math.nan,
        info={
            "curve": logs[task.target],
            "series": {key: log for key, log in logs.items() if key != task.target},
            "trained": epochs,
        },
        reason=None,
        seconds={},
        model_based=False,
    )
    row = {
        "network": name,
        "repeat": repeat,
        "seed": seed,
        "epochs": epochs,
        **task.describe(config),
        "taken_over": len(transferred),
        "diverged": diverged,
        **scores,
    }
    curves = Training(task).collect([run])
    return TrainedNetwork(curves, pd.DataFrame([row]), session.weights(), seconds)


def write_weights(weights: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write weights by name as npz, under a temporary name first."""
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    np.savez(temporary, **weights)  # type: ignore[arg-type]
    temporary.replace(path)


def read_weights(path: str | Path | None) -> dict[str, np.ndarray] | None:
    """What `write_weights` wrote; None for no path."""
    if not path:
        return None
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)
