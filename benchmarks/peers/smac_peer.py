"""SMAC's multi-fidelity facade on recorded runs.

    python -m venv V && V/bin/pip install -r benchmarks/peers/smac.txt
    V/bin/python benchmarks/peers/smac_peer.py FOLDER

Run it after tables.py; FOLDER is the same.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import recorded
import spaces
from smac import MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue


def multi_fidelity(search: recorded.Search, seed: int) -> None:
    """A random forest with Hyperband; promoted trials go on."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            spaces.of(search.parameters),
            **{"n_trials": 10**6, "min_budget": 1, "max_budget": search.last},
            **{"deterministic": True, "seed": seed, "output_directory": Path(folder)},
        )
        smac = MultiFidelityFacade(scenario, lambda config, seed, budget: 0.0, logging_level=False)
        while True:
            trial = smac.ask()
            loss = search.evaluate(trial.config, dict(trial.config), trial.budget)
            smac.tell(trial, TrialValue(loss), save=False)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    recorded.main({"smac_multi_fidelity": multi_fidelity}, __doc__)
