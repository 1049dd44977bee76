"""Predict the end of learning curves from their beginning, and stop the runs that cannot win."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curvecast.curves import CurveSet, DataError
    from curvecast.data.logs import read
    from curvecast.data.readers.table import read_curves
    from curvecast.predictors import make_predictor
    from curvecast.saved import load_predictor
    from curvecast.stopper import Stopper
    from curvecast.stopping.advice import advise
    from curvecast.training.adapted import adapt

__version__ = "0.1.0"
__all__ = [
    "CurveSet",
    "DataError",
    "Stopper",
    "adapt",
    "advise",
    "load_predictor",
    "make_predictor",
    "read",
    "read_curves",
]

_HOMES = {
    "CurveSet": "curvecast.curves",
    "adapt": "curvecast.training.adapted",
    "advise": "curvecast.stopping.advice",
    "DataError": "curvecast.curves",
    "Stopper": "curvecast.stopper",
    "load_predictor": "curvecast.saved",
    "make_predictor": "curvecast.predictors",
    "read": "curvecast.data.logs",
    "read_curves": "curvecast.data.readers.table",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the command's help needs neither pandas nor scikit-learn."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def _end_with(scheduler: int) -> None:
    """Kill this process as soon as there is none with the id `scheduler`."""
    try:
        while True:
            os.kill(scheduler, 0)
            time.sleep(0.5)
    except OSError:
        os.kill(os.getpid(), signal.SIGKILL)


# A job of the workflow ends with its Snakemake, also while it still imports: when that is killed,
# the next run does the job again, and the old one must not work beside it.
if "CURVECAST_SCHEDULER" in os.environ:
    _scheduler = int(os.environ["CURVECAST_SCHEDULER"])
    if _scheduler != os.getpid():
        # Ctrl-C is for Snakemake: a job that gets it too ends without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Processes of a job end with it: one that ended before it would count as a failed training.
        del os.environ["CURVECAST_SCHEDULER"]
    threading.Thread(target=_end_with, args=[_scheduler], daemon=True).start()
