"""Names the extra of this package that brings a package which is not installed."""

from __future__ import annotations

# By the name that is imported; a test compares them with pyproject.toml.
EXTRAS = {
    "ConfigSpace": "studies",
    "docutils": "workflow",
    "hpbandster": "studies",
    "ijson": "workflow",
    "keras": "keras",
    "lightning": "lightning",
    "markdown_it": "workflow",
    "matplotlib": "plots",
    "optuna": "optuna",
    "pebble": "studies",
    "pyarrow": "parquet",
    "ray": "ray",
    "requests": "workflow",
    "scikit_posthocs": "plots",
    "syne_tune": "syne-tune",
    "tensorboard": "tensorboard",
    "torch": "networks",
    "transformers": "transformers",
}


def missing(error: ImportError) -> str:
    """One line that names the missing package, and the command that installs it."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return str(error)
    return f'the package {package} is missing: pip install "curvecast[{EXTRAS[package]}]"'
