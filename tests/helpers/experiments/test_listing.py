"""What print_named_configs, print_config and help show, on a terminal and elsewhere."""

from __future__ import annotations

import pytest

from configs.naming import Catalogue
from helpers.experiments.experiment import Experiment
from helpers.experiments.listing import format_named_configs
from tests.helpers.experiments.conftest import Outer


def test_named_configs_are_listed_in_groups_with_their_twins_folded_in(make, capsys):
    catalogue = Catalogue()

    @catalogue.add("published", smoke={"epochs": 1})
    def first():
        """Trains at 2.5 Hz, long. More of it."""
        return {"epochs": 9}

    @catalogue.add(group="Inference")
    def second_with_a_name_that_is_longer_than_its_column():
        """Extracts."""
        return {}

    assert format_named_configs(catalogue) == (
        "Experiments:\n"
        "  first  Trains at 2.5 Hz, long. [published] +\n\n"
        "Inference:\n"
        "  second_with_a_name_that_is_longer_than_its_column  Extracts.\n\n"
        "In brackets: other names of the same config. +: there is a small twin of it, NAME_smoke. "
        "`help NAME` shows a config's whole text."
    )
    narrow = format_named_configs(catalogue, 60).splitlines()
    assert max(map(len, narrow)) <= 60
    assert narrow[4:6] == ["  second_with_a_name_that_is_longer_than_its_column", f"{'':38}Extracts."]
    Experiment("toy", Outer, named=catalogue, root="root").run_commandline(["toy.py", "print_named_configs"])
    assert "  first  Trains at 2.5 Hz" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        Experiment("toy", Outer, named=catalogue, root="root").run_commandline(["toy.py", "help", "first"])
    assert capsys.readouterr().out == "first: Trains at 2.5 Hz, long. More of it.\n"


def test_no_escape_codes_where_they_do_not_belong(make, capsys, monkeypatch):
    ex = make()
    ex.run_commandline(["toy.py", "print_config", "with", "epochs=5"])
    out = capsys.readouterr().out
    assert "epochs = 5" in out
    assert "# epochs" in out
    assert "\x1b" not in out
    monkeypatch.setattr("helpers.experiments.listing.on_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ex.run_commandline(["toy.py", "print_config", "with", "epochs=5"])
    assert "\x1b" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    ex.run_commandline(["toy.py", "print_config"])
    assert "\x1b" not in capsys.readouterr().out


def test_help_ends_with_the_other_spellings_of_keys(make, capsys):
    with pytest.raises(SystemExit):
        make().run_commandline(["toy.py", "help"])
    assert capsys.readouterr().out.rstrip().endswith("this script's own:\n  core       inner\n  inner.knd  inner.kind")
