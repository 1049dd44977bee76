"""Write the collections as tables for every tool: FOLDER/tables/lcbench.adult.npz and so on.

    CURVECAST_MIRROR=... python benchmarks/peers/tables.py FOLDER

These are the collections of LCBench and TaskSet; Baker's have one or two settings that vary. A
parameter is a column of settings that varies; losses stand per run and epoch, to be minimised.
Collections whose epochs have gaps, and those that no mirror has, are named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import ConfigSpace
import numpy as np

from curvecast.data.readers import read
from curvecast.data.registry import load_registry
from curvecast.studies.objectives.recorded import scaled
from curvecast.studies.spaces import of_curves


def described(space: ConfigSpace.ConfigurationSpace) -> dict[str, dict[str, object]]:
    """The parameters of a space as plain values."""
    parameters: dict[str, dict[str, object]] = {}
    for name, parameter in space.items():
        if isinstance(parameter, ConfigSpace.CategoricalHyperparameter):
            parameters[name] = {"choices": list(parameter.choices)}
            continue
        whole = isinstance(parameter, ConfigSpace.UniformIntegerHyperparameter)
        parameters[name] = {
            **{"low": parameter.lower, "high": parameter.upper},
            **{"log": parameter.log, "integer": whole},
        }
    return parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(os.environ["CURVECAST_MIRROR"])
    for name, stanza in load_registry().items():
        if not name.startswith(("lcbench/", "taskset/")):
            continue
        files = [root / file["path"] for file in stanza["files"]]
        if not all(file.exists() for file in files):
            print(f"{name}: left out, not in the mirror")
            continue
        curves = read(name, stanza, files)
        losses = -curves.sign * curves.values[:, curves.epochs > 0]
        if list(curves.epochs[curves.epochs > 0]) != list(range(1, losses.shape[1] + 1)):
            print(f"{name}: left out, its epochs have gaps")
            continue
        space = of_curves(curves)
        np.savez_compressed(
            folder / f"{name.replace('/', '.')}.npz",
            losses=losses,
            points=scaled(space, curves.configs),
            description=json.dumps({"parameters": described(space)}),
        )


if __name__ == "__main__":
    main()
