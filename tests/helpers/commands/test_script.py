"""Commands of families: of one, of several under one name, and names that are taken."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest

import configs
from helpers.commands import script as commands
from models.errors import ConfigError


@pytest.fixture
def two_families(monkeypatch):
    """A script whose families both bring a command `hear`."""
    for family in ("maest", "clmr"):
        module = ModuleType(f"helpers.families.with_{family}")
        module.hear = lambda context, family=family: family
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(commands, "docstring", lambda module, name: module)
    families = {"with_maest": ("hear",), "with_clmr": ("hear",), "clmr": ()}
    return replace(configs.EX_SSL, families=families)


def test_a_command_that_several_families_bring_is_the_chosen_ones(two_families, monkeypatch):
    ex = commands.make_experiment(two_families, "")
    monkeypatch.setattr("helpers.families.get_family", lambda name: name)
    monkeypatch.setattr("helpers.commands.script.build", lambda schema, config: config)
    hear = ex.commands["hear"].__wrapped__
    assert [hear(None, {"family": name}, 1) for name in ("with_maest", "with_clmr")] == ["maest", "clmr"]
    with pytest.raises(ConfigError, match="hear is for family=with_maest or with_clmr; this config is of the family clmr"):
        hear(None, {"family": "clmr"}, 1)


def test_a_family_may_not_take_the_name_of_a_common_command(two_families):
    with pytest.raises(ValueError, match="The family clmr brings a command predict, which every family has"):
        commands.make_experiment(replace(two_families, families={"clmr": ("predict",)}), "")
