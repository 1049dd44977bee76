"""CurveScheduler against syne-tune's ASHA and random search, on syne-tune's simulator.

    python benchmarks/syne_tune_asha.py [--seeds 5] [--trials 50] [--full 10] [--embedded]

A trial replays a recorded run, and all schedulers are given the same runs in the same order, to
four workers; an epoch takes a minute of the simulated clock. Twice: until the first `--trials` runs
are over, and until as many epochs are trained as `--full` complete runs have. `regret` is the
distance of the best completed run from the best one (of those, or of all), where the median is at
1. Needs the extra `syne-tune`, and for LCBench a mirror (CURVECAST_MIRROR). What stands in `--rows`
already is not measured again. Prints Markdown, with 95 % intervals over the seeds.
"""

from __future__ import annotations

import argparse
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
from syne_tune.config_space import loguniform, uniform
from syne_tune.optimizer.baselines import ASHA, RandomSearch
from syne_tune.optimizer.schedulers.searchers.random_searcher import RandomSearcher

from curvecast.curves import CurveSet
from curvecast.files import write_csv
from curvecast.integrations.syne_tune import CurveScheduler
from curvecast.protocol import seed_from
from curvecast.studies.summary import interval

ROOT = Path(__file__).resolve().parents[1]
LCBENCH = ["lcbench/Fashion-MNIST", "lcbench/adult", "lcbench/higgs"]
WORKERS, MINUTE = 4, 60.0
KEY = ["dataset", "scheduler", "trials_given", "seed"]
SCHEDULERS = {
    "random search": lambda space, last, given: RandomSearch(space, ["loss"], **given),
    "ASHA": lambda space, last, given: ASHA(space, "loss", time_attr="epoch", max_t=last, **given),
    "CurveScheduler": lambda space, last, given: CurveScheduler(
        space, "loss", max_t=last, searcher=RandomSearcher(space, **given)
    ),
}


def table_of(curves: CurveSet) -> tuple[BlackboxTabular, list[dict[str, float]]]:
    """The recorded runs as a table of syne-tune, and its rows; the metric is a loss."""
    settings = curves.configs.filter(regex="^(hp|ap)_")
    settings = settings.loc[:, settings.nunique() > 1].astype(float)
    space = {
        str(name): (loguniform if name in curves.log_columns else uniform)(low, high)
        for name, low, high in zip(settings, settings.min(), settings.max(), strict=True)
    }
    trained = curves.epochs > 0
    loss = -curves.sign * curves.values[:, trained]
    epochs = curves.epochs[trained]
    time = np.broadcast_to(MINUTE * epochs, loss.shape)
    table = BlackboxTabular(
        hyperparameters=settings,
        configuration_space=space,
        fidelity_space={"epoch": loguniform(1, int(epochs[-1]))},
        objectives_evaluations=np.stack([loss, time], axis=-1)[:, None],
        fidelity_values=epochs,
        objectives_names=["loss", "seconds"],
    )
    return table, settings.to_dict("records")


def experiment(curves: CurveSet, name: str, seed: int, trials: int, full: int) -> dict[str, float]:
    """Epochs used, in complete runs, and regret; `trials` 0 means as many as the epochs allow."""
    seed_of_order = seed_from(curves.name, "syne-tune", seed)
    curves = curves.take(np.random.default_rng(seed_of_order).permutation(len(curves)))
    table, points = table_of(curves)
    last = int(curves.last_epoch)
    given = {"random_seed": seed, "points_to_evaluate": points}
    seconds = full * last * MINUTE / WORKERS
    enough = {"max_num_trials_started": trials} if trials else {"max_wallclock_time": seconds}
    callback = SimulatorCallback()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.environ["SYNETUNE_FOLDER"] = folder
        Tuner(
            UserBlackboxBackend(table, elapsed_time_attr="seconds"),
            SCHEDULERS[name](table.configuration_space, last, given),
            StoppingCriterion(**enough),
            n_workers=WORKERS,
            sleep_time=0,
            callbacks=[callback],
            save_tuner=False,
            wait_trial_completion_when_stopping=bool(trials),
        ).run()
    n = trials or len(curves)  # workers that are free at the last start begin one more
    results = callback.dataframe().query("trial_id < @n")
    losses = -curves.sign * curves.final[:n]
    done = results.loc[results["epoch"] == last, "loss"].min()
    return {
        "epochs": len(results) / last,
        "trials": results["trial_id"].nunique(),
        "regret": (done - np.nanmin(losses)) / (np.nanmedian(losses) - np.nanmin(losses)),
        "seconds": time.process_time() - start,
    }


def measure(sets: list[CurveSet], options: argparse.Namespace) -> pd.DataFrame:
    """A row per data set, scheduler, number of trials and seed."""
    known = pd.read_csv(options.rows) if options.rows.exists() else pd.DataFrame(columns=KEY)
    rows = {tuple(row[key] for key in KEY): row for row in known.to_dict("records")}
    ends = (options.trials, 0)
    for seed, curves, name, trials in product(range(options.seeds), sets, SCHEDULERS, ends):
        key = curves.name, name, trials, seed
        if key not in rows:
            outcome = experiment(curves, name, seed, trials, options.full)
            rows[key] = dict(zip(KEY, key, strict=True)) | outcome
            write_csv(pd.DataFrame(list(rows.values())), options.rows)
    return pd.DataFrame(list(rows.values()))


def cell(rows: pd.DataFrame, column: str, digits: int) -> str:
    """Mean and interval over the seeds."""
    low, high = interval(rows[column].to_numpy())
    return f"{rows[column].mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--full", type=int, default=10)
    parser.add_argument("--embedded", action="store_true", help="the embedded collections instead")
    parser.add_argument("--rows", type=Path, default=ROOT / "results/syne_tune/rows.csv")
    options = parser.parse_args()
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    files = sorted(ROOT.glob("resources/embedded/*_mlp.parquet"))
    sets = [CurveSet.from_parquet(f) for f in files] if options.embedded else present(LCBENCH)
    if not sets:
        sys.exit("no mirror has the files of LCBench: set CURVECAST_MIRROR, or use --embedded")
    rows = measure(sets, options)
    print(
        f"| data set | scheduler | {options.trials} runs: epochs used, in runs | regret |", end=""
    )
    print(f" epochs of {options.full} runs: runs begun | regret | s |")
    print("|---" * 7 + "|")
    for (dataset, name), part in rows.groupby(["dataset", "scheduler"], sort=False):
        all_runs, budget = part[part["trials_given"] > 0], part[part["trials_given"] == 0]
        cells = [cell(all_runs, "epochs", 1), cell(all_runs, "regret", 3)]
        cells += [cell(budget, "trials", 0), cell(budget, "regret", 3)]
        print(f"| {dataset} | {name} | {' | '.join(cells)} | {part['seconds'].mean():.0f} |")


if __name__ == "__main__":
    main()
