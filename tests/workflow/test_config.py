"""The typed configuration: what it refuses, its defaults, and the schema made of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from curvecast import DataError
from curvecast.workflow import config

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
OTHERS = sorted((ROOT / "config").glob("*.yaml"))

TUNING: dict[str, Any] = {
    "study_definitions": {
        "s": {
            "objective": "prediction",
            "model": "cnn",
            "space": "predictors.cnn",
            "dataset": "mine",
            "parts": {"n_train": 10, "n_validation": 10, "n_test": 10, "tau": 2},
        }
    }
}


def with_keys(**keys: Any) -> dict[str, Any]:
    """The default configuration with other values, merged as Snakemake merges config files."""
    given = copy.deepcopy(DEFAULT)
    update_config(given, keys)
    return given


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_is_accepted(path: Path) -> None:
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    loaded = config.load(with_keys(**keys))
    assert loaded.results == keys["results"]
    assert loaded.models == keys.get("models", DEFAULT["models"])


def test_a_small_configuration_gets_the_defaults() -> None:
    needed = {key: DEFAULT[key] for key in ("datasets", "models", "stopping")}
    loaded = config.load({**needed, "protocol": {"fractions": [0.5]}})
    assert (loaded.protocol.n_train, loaded.protocol.repeats, loaded.parts) == (100, 10, 1)
    assert loaded.data.on_missing == "fail"
    assert loaded.studies == []
    assert loaded.depth.thresholds == []


def test_a_section_without_a_value_is_the_section_with_its_defaults() -> None:
    assert config.load(with_keys(depth=None)).depth == config.Depth()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"modles": ["ols"]}, "unknown key 'modles', the nearest known key is 'models'"),
        ({"protocol": {"repeat": 3}}, "protocol: unknown key 'repeat'.*nearest.*'repeats'"),
        ({"protocol": {"repeats": 2.5}}, "protocol.repeats: input should be a valid integer"),
        ({"protocol": {"repeats": "3"}}, "protocol.repeats: input should be a valid integer"),
        ({"protocol": {"fractions": [0.5, 1.5]}}, "protocol.fractions.1: .* not 1.5"),
        ({"protocol": {"fractions": [0.5, 0.5]}}, "protocol.fractions: 0.5 stands twice"),
        ({"data": {"offline": "no"}}, "data.offline: input should be a valid boolean"),
        ({"data": {"on_missing": "no"}}, "data.on_missing: input should be 'skip' or 'fail'"),
        ({"models": ["olz"]}, "unknown model 'olz'"),
        ({"stopping": {"predictors": ["olz"]}}, "unknown model 'olz'"),
        ({"stopping": {"settings": [{"offset": 0}, {"top_n": 1}]}}, "settings: .* stands twice"),
        (
            {"stopping": {"hyperband": {"settings": [{"kappa": 1}, {"kappa": 1.0}]}}},
            "stopping.hyperband.settings: .* stands twice",
        ),
        ({"depth": {"thresholds": [3, 3]}}, "depth.thresholds: 3 stands twice"),
        (
            {"task_a": {"variants": [{"name": "x", "train": 20}, {"name": "x", "train": 30}]}},
            "task_a.variants: 'x' stands twice",
        ),
        ({"stopping": {"settings": [{"topn": 1}]}}, "settings.0: unknown key 'topn'.*'top_n'"),
        (
            {"stopping": {"overrides": {"a/*": {"online": {"ru": 1}}}}},
            "stopping.overrides.a/\\*: online: unknown key 'ru', the nearest known key is 'run'",
        ),
        ({"model_options": {"nusvr_rbf": {"drows": 3}}}, "nusvr_rbf: unknown key 'drows'.*'draws'"),
        ({"model_options": {"nusvr_rbf": {"draws": "3"}}}, "nusvr_rbf: draws: .*valid integer"),
        ({"model_options": {"nusvr_rbf": {"kernel": "x"}}}, "unknown key 'kernel'"),
        ({"model_options": {"cnn": {"lr": "3"}}}, "model_options.cnn: lr: .*valid number"),
        ({"protocol": {"fractions": []}}, "protocol.fractions: list should have at least 1 item"),
        ({"ablation": {"features": []}}, "ablation.features: list should have at least 1 item"),
        (
            {"model_options": {"mine": {"lrr": 3}}, "tuned_models": {"mine": "s"}} | TUNING,
            "model_options.mine: unknown key 'lrr', the nearest known key is 'lr'",
        ),
        (
            {
                "study_definitions": {
                    "s": {**TUNING["study_definitions"]["s"], "fixed": {"memb": 3}}
                }
            },
            "study_definitions.s.fixed: unknown key 'memb', the nearest known key is 'members'",
        ),
        (
            {
                "task_a": {
                    "models": ["cnn"],
                    "variants": [{"name": "x", "options": {"causl": True}}],
                }
            },
            "task_a.variants.x.options: unknown key 'causl', the nearest known key is 'causal'",
        ),
        ({"parts": 11}, "parts is 11, there are only 10 repeats"),
        ({"ablation": {"fractions": [0.3]}}, "ablation.fractions has 0.3"),
        ({"training_size": {"n_train": [5, 200]}}, "has 200, more than protocol.n_train \\(100\\)"),
        ({"study_definitions": {"s": {"objective": "trainin"}}}, "trainin"),
        (
            {"study_definitions": {"s": {"objective": "recorded", "dataset": ["a/b"]}}},
            "unknown key 'dataset', the nearest known key is 'datasets'",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        config.load(with_keys(**keys))
    assert "\n" not in str(error.value)


def test_the_later_override_that_fits_a_data_set_counts() -> None:
    overrides = {
        "baker/*": {"n_full": 50, "online": {"run": False}},
        "baker/lstm_ptb": {"n_full": 20},
    }
    stopping = config.load(with_keys(stopping={"overrides": overrides})).stopping
    assert stopping.of("baker/lstm_ptb").n_full == 20
    assert stopping.of("baker/metaqnn_svhn").n_full == 50
    assert stopping.of("baker/metaqnn_svhn").online.run is False
    assert stopping.of("baker/metaqnn_svhn").online.deltas == [0.8, 0.95]
    assert stopping.of("taskset/a").n_full == DEFAULT["stopping"]["n_full"]


def test_the_schema_in_the_repository_is_made_of_the_description() -> None:
    """`python -m curvecast.workflow.config` writes it again."""
    assert (ROOT / config.SCHEMA).read_text(encoding="utf-8") == config.schema()
