"""The commands give what they gave when tests/fixtures/equal_results.json was recorded (tests/equal_results.py says what is compared, and how)."""

from __future__ import annotations

import json

import pytest

from tests.equal_results import STORED, differences, fingerprints, machine
from tests.equal_results_commands import COMMANDS, run_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All commands, run once: the working folder, and seconds and problem of each."""
    folder = tmp_path_factory.mktemp("equal_results")
    return folder, run_all(folder)


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
def test_a_command_gives_what_it_gave(done, command):
    folder, outcomes = done
    assert not outcomes[command.name][1]
    stored = json.loads(STORED.read_text())
    found = fingerprints(command, folder)
    assert differences(command.name, stored["commands"][command.name], found, machine() == stored["machine"]) == []
