"""What every job of the workflow does around its work: write its log, and fail in clear words."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from curvecast.curves import DataError

# Process id of the Snakemake that started the job, on the same machine.
SCHEDULER_VARIABLE = "CURVECAST_SCHEDULER"


@contextmanager
def logged(log: str | Path) -> Iterator[None]:
    """Send stdout and stderr to the file `log`; an error ends there and exits with status 1.

    Bad data gives one line, anything else its traceback. The job ends with its Snakemake: when that
    is killed, the next run does the job again, and the old one must not work beside it.
    """
    if SCHEDULER_VARIABLE in os.environ:
        threading.Thread(
            target=_end_with, args=[int(os.environ[SCHEDULER_VARIABLE])], daemon=True
        ).start()
    with (
        open(log, "w", encoding="utf-8", buffering=1) as stream,
        redirect_stdout(stream),
        redirect_stderr(stream),
    ):
        try:
            yield
        except DataError as error:
            print(f"Error: {error}")
            raise SystemExit(1) from None
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None


def _end_with(scheduler: int, every: float = 0.5) -> None:
    """Kill this process as soon as there is none with the id `scheduler`."""
    while True:
        try:
            os.kill(scheduler, 0)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(every)
