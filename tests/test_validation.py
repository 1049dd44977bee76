"""Wrong input becomes one line that names the key."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import create_model

from curvecast import DataError
from curvecast.studies.definitions import NetworkDefinition, StudyDefinition
from curvecast.validation import validated

CONFIG: Any = create_model(
    "CONFIG", studies=(dict[str, StudyDefinition], {}), networks=(dict[str, NetworkDefinition], {})
)
STUDY = {"objective": "training", "task": "digits_mlp"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"studys": {}}, "c.yaml: unknown key 'studys', the nearest known key is 'studies'"),
        (
            {"studies": {"s": {**STUDY, "max_bugdet": 1}}},
            "c.yaml: studies.s: unknown key 'max_bugdet', the nearest known key is 'max_budget'",
        ),
        ({"studies": {"s": {}}}, "c.yaml: studies.s: key 'objective' is missing"),
        ({"studies": {"s": {"objective": "training"}}}, "c.yaml: studies.s: key 'task' is missing"),
        (
            {"studies": {"s": {**STUDY, "eta": "3"}}},
            "c.yaml: studies.s.eta: input should be a valid integer or a valid number, not '3'",
        ),
        (
            {"studies": {"s": {**STUDY, "stopping": {"delta": 1}}}},
            "c.yaml: studies.s.stopping: unknown key 'delta', the nearest known key is 'Delta'",
        ),
        (
            {"studies": {"s": {**STUDY, "optimizers": ["bohb", "tpe"]}}},
            "c.yaml: studies.s.optimizers.1: input should be 'bohb', ",
        ),
        (
            {"networks": {"n": {"task": "images"}}},
            "c.yaml: networks.n: give it either a study or a configuration",
        ),
    ],
)
def test_an_error_is_one_line_with_key_and_nearest_key(config: Any, message: str) -> None:
    model = create_model("Config", __base__=CONFIG, __cls_kwargs__={"extra": "forbid"})
    with pytest.raises(DataError) as caught:
        validated(model, config, "c.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_right_keeps_its_numbers_and_gets_no_defaults() -> None:
    given = {"studies": {"s": {**STUDY, "eta": 3, "min_budget": 0.5, "stopping": {"Delta": 1}}}}
    dumped = validated(CONFIG, given, "").model_dump(exclude_unset=True)
    assert repr(dumped["studies"]["s"]["eta"]) == "3"
    assert dumped == given
