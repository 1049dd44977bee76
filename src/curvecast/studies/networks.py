"""Networks that are trained to the end: references, incumbents of studies, and transfer.

network_definitions:
  kmnist10k_best:
    study: kmnist10k               # the incumbent's configuration; task and data as in the study
    task_options: {n_epochs: 20}   # replaces single options of the study's
    repeats: 3                     # trainings of every study seed's incumbent, a job each
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
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.files import read_arrays
from curvecast.protocol import seed_from
from curvecast.studies.definitions import task_of
from curvecast.studies.objectives.training import Logs, curves_of, epochs_of
from curvecast.studies.spaces import load_configuration


@dataclass(frozen=True)
class TrainedNetwork:
    """One training to the end.

    Attributes
    ----------
    curves : its learning curve, one row.
    scores : one row: `network, repeat, seed, epochs, num_params, depth, taken_over` (number of
        tensors that came from another network), `diverged`, the task's scores (`train,
        validation, test`, ...) and `score`, what these measure.
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
    base: Mapping[str, Any] | None = None,
    start: str | Path | None = None,
) -> TrainedNetwork:
    """Train one repeat of a network for the task's `n_epochs`; divergence ends it.

    `configuration` is the incumbent of the study under `study` (default: the definition's own),
    `base` that of the study that this one started from (`configuration_of`), and `start` the
    weights of the network under `weights`; tensors that do not fit are drawn. Raises DataError
    where the configuration is impossible for the task's data, of which `raw` are the files.
    """
    config = load_configuration(configuration or definition["configuration"])
    task = task_of(definition, raw, base)
    if not task.possible(config):
        raise DataError(f"network {name!r}: its configuration is impossible for the task's data")
    seed = seed_from("network", name, repeat)
    began = time.perf_counter()
    session = task.start(config, seed)
    transferred = session.transfer(read_arrays(start)[0]) if start else []
    logs: Logs = {}
    for _ in epochs_of(session, logs, task.target, task.n_epochs):
        pass
    seconds = time.perf_counter() - began
    curve, scores = logs[task.target], session.scores()
    row = {
        **{"network": name, "repeat": repeat, "seed": seed, "epochs": len(curve) - 1},
        **task.describe(config),
        **{"taken_over": len(transferred), "diverged": not math.isfinite(curve[-1])},
        **scores,
        "score": task.score,
    }
    if task.all_training:  # scores on data that were trained on mean nothing
        row |= dict.fromkeys((k for k in scores if k.startswith("validation")), math.nan)
    curves = curves_of(task, task.space(), [(f"0-0-{repeat}", config, logs)])
    return TrainedNetwork(curves, pd.DataFrame([row]), session.weights(), seconds)
