"""DEHB on recorded runs.

    python -m venv V && V/bin/pip install -r benchmarks/peers/dehb.txt
    V/bin/python benchmarks/peers/dehb_peer.py FOLDER

Run it after tables.py; FOLDER is the same.
"""

from __future__ import annotations

import tempfile

import recorded
import spaces
from dehb import DEHB
from loguru import logger


def dehb(search: recorded.Search, seed: int) -> None:
    """Differential evolution with Hyperband; a promoted configuration goes on."""
    space = spaces.of(search.parameters)
    with tempfile.TemporaryDirectory() as folder:
        optimizer = DEHB(
            f=None,
            cs=space,
            dimensions=len(space),
            **{"min_fidelity": 1, "max_fidelity": search.last, "eta": 3, "n_workers": 1},
            **{"seed": seed, "output_path": folder, "save_freq": "end"},
        )
        while True:
            job = optimizer.ask()
            config, epochs = dict(job["config"]), job["fidelity"]
            loss = search.evaluate(tuple(sorted(config.items())), config, epochs)
            optimizer.tell(job, {"fitness": loss, "cost": epochs})


if __name__ == "__main__":
    logger.remove()
    recorded.main({"dehb": dehb}, __doc__)
