"""The sentence that says who won, and "few tracks" where no interval can be had."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from datasets.groundtruth.groups import Groups
from helpers.evaluation.constant_guess import constant_guess
from helpers.metrics.differences import compare
from helpers.metrics.ordinal import step_names
from helpers.metrics.scores import SystemScores
from helpers.reports.tables import score_table
from helpers.reports.winner import winner


def system(name, right, n=40, task="single-label", **settings):
    """A system that is right on the first `right` of n tracks of two classes in turn."""
    y = np.eye(2, dtype=bool)[np.arange(n) % 2]
    said = np.where(np.arange(n)[:, None] < right, y, ~y)
    return SystemScores(
        name, "set test", ["a", "b"], [str(i) for i in range(n)], y, said[None] * 0.8 + 0.1, [0], task=task, settings=settings
    )


def printed(table):
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 (the console's for the test)
    console.print(table)
    return console.export_text()


def test_the_winner_is_named_with_how_much_and_the_interval():
    text = winner([system("probe", 36), system("untrained", 20), system("mel", 24)])
    assert text.startswith("Probe won: 0.300 better than mel, by accuracy on set test (95 % interval +0.")
    text = winner([system("probe", 20), system("untrained", 19), system("mel", 38)])
    assert text.startswith("Mel won: 0.450 better than probe, by accuracy")


def test_what_may_be_chance_is_said():
    assert "Probe is ahead of mel by 0.025, by accuracy on set test, which may be chance (95 % interval " in winner(
        [system("probe", 21), system("mel", 20)]
    )
    assert (
        winner([system("probe", 20), system("mel", 20)]) == "No system won: probe and mel score the same by accuracy on set test."
    )
    assert winner([system("probe", 20)]) == ""


def test_less_is_better_where_it_is():
    def of(name, off):
        y = np.linspace(0, 1, 24)[:, None] > np.array([[0.3, 0.6]])
        values = np.clip(y + off * np.array([1, -1])[None], 0.0, 1.0)
        return SystemScores(name, "s", step_names([1, 2, 3]), [str(i) for i in range(24)], y, values[None], [0], task="ordinal")

    text = winner([of("probe", 0.4), of("mel", 0.0)])
    assert text.startswith("Mel won: ")
    low, high = (float(part) for part in text.split("interval ")[1].rstrip(").").split(" to "))
    assert 0 < low <= high


@pytest.mark.parametrize(
    ("n", "groups", "why"),
    [(4, None, "too few tracks"), (5, None, ""), (40, 4, "too few groups"), (40, 5, ""), (4, 5, "too few groups")],
)
def test_why_there_is_none_stands_in_place_of_an_interval(n, groups, why):
    names = None if groups is None else Groups([str(i % groups) for i in range(n)], "artist")
    probe, mel = (replace(one, groups=names) for one in (system("probe", n - 1, n), system("mel", n // 2, n)))
    few = bool(why)
    assert probe.evidence().why == why
    assert math.isnan(probe.interval()[0]) is few
    assert math.isnan(compare(probe, mel).interval[0]) is few
    shown = printed(score_table([probe, mel]))
    assert not why or shown.count(why) == 4  # two systems, two metrics
    assert (f"{why} to tell" in winner([probe, mel])) is few
    assert probe.summary()["accuracy"]["interval_95"] is not None


@pytest.mark.parametrize(("task", "name"), [("single-label", "majority class"), ("multi-label", "label frequencies")])
def test_the_constant_guess_is_of_the_training_tracks(task, name):
    from datasets.groundtruth.groundtruth import Groundtruth

    train = Groundtruth.from_rows([f"t{i}" for i in range(10)], [[1, 0]] * 7 + [[0, 1]] * 3)
    guess = constant_guess(system("probe", 30, task=task), {"train": train})
    assert guess.name == name
    assert np.allclose(guess.predictions, [0.7, 0.3])
    assert guess.mean() == pytest.approx(0.5)  # half of the tracks are of the first class; a constant ranks nothing
