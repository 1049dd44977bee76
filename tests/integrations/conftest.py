"""Where the tools have to be there, a skipped test is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import filelock
import pytest


@pytest.fixture(scope="module")
def one_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The only Ray of the machine: a cluster that starts refuses a node where another one runs."""
    with filelock.FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run with CURVECAST_WITHOUT_SKIPS that skipped something."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CURVECAST_WITHOUT_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
