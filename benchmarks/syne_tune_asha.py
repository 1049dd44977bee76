"""CurveScheduler against syne-tune's ASHA and random search, on syne-tune's simulator.

    python benchmarks/syne_tune_asha.py

Each of 50 trials replays a recorded run; all schedulers are given the same runs in the same order,
to four workers, and an epoch takes a minute of the simulated clock. `regret` is the distance of
the best completed run from the best one, where the median run is at 1. Needs the extra `syne-tune`
and a mirror of LCBench (CURVECAST_MIRROR). What stands in results/syne_tune/rows.csv already is not
measured again. Prints Markdown, with 95 % intervals over five seeds.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np
import pandas as pd
from prior import present
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular
from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend
from syne_tune.config_space import randint, uniform
from syne_tune.optimizer.baselines import ASHA, RandomSearch
from syne_tune.optimizer.schedulers.searchers.random_searcher import RandomSearcher

from curvecast.curves import CurveSet
from curvecast.files import write_csv
from curvecast.integrations.syne_tune import CurveScheduler
from curvecast.protocol import seed_from
from curvecast.studies.summary import interval

ROWS = Path(__file__).resolve().parents[1] / "results/syne_tune/rows.csv"
LCBENCH = ["lcbench/Fashion-MNIST", "lcbench/adult", "lcbench/higgs"]
KEY, TRIALS = ["dataset", "scheduler", "seed"], 50
SCHEDULERS = {
    "random search": lambda space, last, given: RandomSearch(space, ["loss"], **given),
    "ASHA": lambda space, last, given: ASHA(space, "loss", time_attr="epoch", max_t=last, **given),
    "CurveScheduler": lambda space, last, given: CurveScheduler(
        space, "loss", max_t=last, searcher=RandomSearcher(space, **given)
    ),
}


def table_of(curves: CurveSet) -> BlackboxTabular:
    """The recorded runs as a table of syne-tune; the metric is a loss."""
    settings = curves.configs.filter(regex="^(hp|ap)_").astype(float)
    settings = settings.loc[:, settings.nunique() > 1]
    bounds = zip(settings, settings.min(), settings.max(), strict=True)
    epochs = curves.epochs[curves.epochs > 0]
    loss = -curves.sign * curves.values[:, curves.epochs > 0]
    seconds = np.broadcast_to(60.0 * epochs, loss.shape)
    return BlackboxTabular(
        settings,
        {str(name): uniform(low, high) for name, low, high in bounds},
        fidelity_space={"epoch": randint(1, int(epochs[-1]))},
        objectives_evaluations=np.stack([loss, seconds], axis=-1)[:, None],
        fidelity_values=epochs,
        objectives_names=["loss", "seconds"],
    )


def experiment(curves: CurveSet, name: str, seed: int) -> dict[str, float]:
    """Epochs used, as a share of training all trials, and regret."""
    rng = np.random.default_rng(seed_from(curves.name, "syne-tune", seed))
    curves = curves.take(rng.permutation(len(curves)))
    table, last, callback = table_of(curves), int(curves.last_epoch), SimulatorCallback()
    given = {"random_seed": seed, "points_to_evaluate": table.hyperparameters.to_dict("records")}
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.environ["SYNETUNE_FOLDER"] = folder
        Tuner(
            UserBlackboxBackend(table, elapsed_time_attr="seconds"),
            SCHEDULERS[name](table.configuration_space, last, given),
            StoppingCriterion(max_num_trials_started=TRIALS),
            n_workers=4,
            sleep_time=0,
            callbacks=[callback],
            save_tuner=False,
            wait_trial_completion_when_stopping=True,
        ).run()
    # workers that are free at the last start begin one more
    results = callback.dataframe().query(f"trial_id < {TRIALS}")
    losses = -curves.sign * curves.final[:TRIALS]
    done = results.loc[results["epoch"] == last, "loss"].min()
    return {
        "epochs": len(results) / (last * TRIALS),
        "regret": (done - np.nanmin(losses)) / (np.nanmedian(losses) - np.nanmin(losses)),
        "seconds": time.process_time() - start,
    }


def main() -> None:
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    sets = present(LCBENCH) or sys.exit("no mirror has LCBench: set CURVECAST_MIRROR")
    known = pd.read_csv(ROWS).to_dict("records") if ROWS.exists() else []
    rows = {(row["dataset"], row["scheduler"], row["seed"]): row for row in known}
    for seed, curves, name in product(range(5), sets, SCHEDULERS):
        if (key := (curves.name, name, seed)) not in rows:
            rows[key] = dict(zip(KEY, key, strict=True)) | experiment(curves, name, seed)
            write_csv(pd.DataFrame(list(rows.values())), ROWS)
    print("| data set | scheduler | epochs used, % | regret | s |\n|---|---|---|---|---|")
    table = pd.DataFrame(list(rows.values()))
    for names, part in table.groupby(["dataset", "scheduler"], sort=False):
        cells = [*names]
        for numbers, digits in ((100 * part["epochs"], 1), (part["regret"], 3)):
            low, high = interval(numbers.to_numpy())
            cells.append(f"{numbers.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        print(f"| {' | '.join(cells)} | {part['seconds'].mean():.0f} |")


if __name__ == "__main__":
    main()
