"""What every job of the workflow does around its work: write its log, and fail in clear words."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from curvecast.curves import DataError
from curvecast.studies.evaluation import StudyError


@contextmanager
def logged(log: str | Path) -> Iterator[None]:
    """Send stdout and stderr to the file `log`; an error ends there and exits with status 1.

    Bad data or a study that cannot go on gives one line, anything else its traceback.
    """
    with (
        open(log, "w", encoding="utf-8", buffering=1) as stream,
        redirect_stdout(stream),
        redirect_stderr(stream),
    ):
        try:
            yield
        except (DataError, StudyError) as error:
            print(f"Error: {error}")
            raise SystemExit(1) from None
        except BaseException:
            traceback.print_exc()
            raise SystemExit(1) from None
