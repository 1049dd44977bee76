"""What makes two studies the same: digests of code and of curves."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from curvecast import code_digest
from curvecast.curves import CurveSet


def of_files(paths: Iterable[str | Path]) -> str:
    """Digest of the contents of files, in the given order."""
    content = hashlib.sha256()
    for path in paths:
        content.update(Path(path).read_bytes())
    return content.hexdigest()


def of_code(*modules: str) -> str:
    """Digest of modules of this package with all that they import; others are passed over."""
    return of_files(code_digest.of(*(m for m in modules if m.startswith("curvecast."))))


def of_class(cls: type) -> str:
    """Digest of the code behind a class of this package, or of a user's own file."""
    if cls.__module__.startswith("curvecast."):
        return of_code(cls.__module__)
    return of_files([inspect.getfile(cls)])


def of_curves(curves: CurveSet) -> str:
    """Digest of the configurations and values of a collection."""
    content = hashlib.sha256(np.ascontiguousarray(curves.values).tobytes())
    content.update(curves.configs.to_csv(index=False).encode())
    return content.hexdigest()
