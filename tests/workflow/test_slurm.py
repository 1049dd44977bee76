"""The SLURM profile knows every rule."""

from __future__ import annotations

import re

import yaml

from .conftest import ROOT

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text(encoding="utf-8"))


def test_every_rule_that_is_submitted_has_its_place_in_the_profile() -> None:
    """A rule that the profile does not know is a submission per file: right for long jobs only."""
    long_jobs = {"study", "tuning", "tuned_and_untuned", "task_a", "network"}
    text = "\n".join(p.read_text(encoding="utf-8") for p in ROOT.glob("workflow/rules/*.smk"))
    rules = re.split(r"^ *rule (?=\w+:)", text, flags=re.MULTILINE)[1:]
    submitted = {rule.split(":")[0] for rule in rules if "localrule: True" not in rule}
    no_place = sorted(submitted - long_jobs - set(PROFILE["groups"]))
    assert not no_place, (
        f"add to `groups` in profiles/slurm/profile.yaml (tables: report) {no_place}"
    )
    assert set(PROFILE["groups"]) <= submitted
    assert set(PROFILE["groups"].values()) == set(PROFILE["group-components"])
