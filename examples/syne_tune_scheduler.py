"""A scheduler for syne-tune: local processes train trials whose error falls to a limit."""

import argparse
import logging
import math
import os
import tempfile
import time

from syne_tune import Reporter, StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import loguniform

from curvecast.integrations.syne_tune import CurveScheduler

EPOCHS = 20


def train(lr):
    far, report = abs(math.log10(lr) + 2), Reporter()
    for epoch in range(1, EPOCHS + 1):
        report(epoch=epoch, error=0.1 + 0.1 * far + 0.6 * math.exp(-0.3 * epoch))
        time.sleep(0.1)


def tune(folder):
    os.environ["SYNETUNE_FOLDER"] = folder
    logging.getLogger("syne_tune").setLevel(logging.ERROR)
    space = {"lr": loguniform(1e-4, 1)}
    scheduler = CurveScheduler(space, "error", max_t=EPOCHS, random_seed=0)
    stop = StoppingCriterion(max_num_trials_started=6)
    Tuner(LocalBackend(__file__), scheduler, stop, n_workers=2, sleep_time=0.1).run()
    stopped = [advice for advice in scheduler.runs.history if advice.stop]
    print(f"{len(stopped)} of 6 trials stopped early")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    options, _ = parser.parse_known_args()
    if options.lr is not None:
        train(options.lr)
    else:
        with tempfile.TemporaryDirectory() as folder:
            tune(folder)
