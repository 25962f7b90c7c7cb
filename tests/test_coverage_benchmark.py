"""The benchmark of the intervals' coverage: what it takes for true, and that its intervals hold that about as often as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.coverage import METRICS, Found, measure, shown, summary, systems, table, widths
from benchmarks.coverage_worlds import (
    WORLDS,
    Cell,
    fitted,
    group_of,
    heads,
    labels_of_heads,
    noise,
    predicted,
    tracks,
    true_of_heads,
    true_of_training,
)
from helpers.metrics.metric import Predictions, mean_of_outputs
from helpers.metrics.tasks import get_task

TASKS = (("multi-label", 2, 0.2), ("regression", 1, 0.0), ("single-label", 4, 0.0))


def scored(task, name, y, values):
    return mean_of_outputs(get_task(task).metric(name).score(Predictions(y, values)))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("task", "labels", "prevalence"), TASKS)
def test_what_heads_score_in_truth_is_what_they_score_on_many_tracks(world, task, labels, prevalence):
    cell = Cell("split", task, 40_000, prevalence, labels, False, world)
    rng = np.random.default_rng(0)
    y = labels_of_heads(cell, rng)
    for values in heads(cell, rng, y):
        for name in METRICS[task]:
            assert scored(task, name, y, values[0]) == pytest.approx(true_of_heads(cell, name), abs=0.012)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("task", "labels", "prevalence"), TASKS)
def test_what_trainings_score_in_truth_is_what_they_score_on_many_tracks(world, task, labels, prevalence, monkeypatch):
    monkeypatch.setattr("benchmarks.coverage_worlds.TRAININGS", 40)
    cell, rng = Cell("few", task, 0, prevalence, labels, False, world), np.random.default_rng(1)
    true = true_of_training.__wrapped__(cell, 200, 200)
    y, inputs = tracks(cell, rng, 10_000)
    x, found = inputs(), []
    for _ in range(10):
        own, of_own = tracks(cell, rng, 200)
        values = predicted(cell, fitted(cell, of_own(), own), x)
        found.append([scored(task, name, y, values) for name in METRICS[task]])
    np.testing.assert_allclose(np.mean(found, axis=0), list(true.values()), atol=0.035)


def test_groups_share_what_the_world_says():
    assert group_of(1, 11).tolist() == [0] * 5 + [1] * 5 + [2]
    assert np.bincount(group_of(2, 40)).tolist() == [1, 2, 3, 5, 9] * 2
    cell = Cell("split", "regression", 20_000, 0.0, 1, True)
    made = noise(cell, np.random.default_rng(0), (20_000,)).reshape(-1, 5)
    assert made.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(made[:, 0], made[:, 1])[0, 1] == pytest.approx(WORLDS[1].shared, abs=0.05)


@pytest.mark.parametrize("kind", ["split", "folds", "few"])
def test_two_systems_of_a_data_set_share_tracks_and_draws(kind):
    one, other = systems(Cell(kind, "regression", 40, grouped=True), np.random.default_rng(3))[0]
    assert (one.targets == other.targets).all()
    assert not (one.predictions == other.predictions).all()
    assert (one.group_name, one.units.n) == ("artist", 8)
    assert one.factors == ({"draw": [0, 1, 2]} if kind == "few" else {})
    assert (one.overlap > 0) == (kind == "few")
    assert (one.folds is not None) == (kind == "folds")
    assert isinstance(systems(Cell(kind, "multi-label", 40, 0.02, 2), np.random.default_rng(3)), str)


@pytest.mark.parametrize(
    "cell",
    [
        Cell("split", "multi-label", 100, 0.2, 1),
        Cell("split", "multi-label", 100, 0.2, 1, True, 2),
        Cell("few", "regression", 100, 0.0, 1),
        pytest.param(Cell("few", "multi-label", 280, 0.2, 2, True), marks=pytest.mark.slow),
        pytest.param(Cell("folds", "multi-label", 100, 0.2, 2), marks=pytest.mark.slow),
        pytest.param(Cell("folds", "single-label", 100, 0.0, 4, True, 2), marks=pytest.mark.slow),
    ],
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(cell, monkeypatch):
    monkeypatch.setattr(coverage, "RESAMPLES", 100)
    for found in measure((cell, 50)):
        assert found.given == 50
        assert found.held >= 0.86  # of 50 at .95 fewer are found in one of 1000 cases
        assert found.false <= 0.16


def test_the_tables_have_every_line_and_say_which_are_outside():
    def of(cell: Cell, metric: str, held: float, given: int = 100) -> Found:
        return Found(cell, metric, 100, given, held, 0.05, 0.25)

    ranked = Cell("split", "multi-label", 100, 0.1, 5)
    found = [
        of(Cell("split", "single-label", 100, 0.0, 4), "accuracy", 0.95),
        of(Cell("split", "regression", 100), "r2", 0.91),
        of(ranked, "macro_roc", 0.99),
        of(ranked, "macro_ap", 0.94),
        of(replace(ranked, prevalence=0.05), "macro_roc", 0.95, 40),
        of(replace(ranked, prevalence=0.02), "macro_ap", 0.0, 2),
        of(replace(ranked, n=40), "macro_ap", 0.0, 0),
    ]
    assert [shown(one) for one in found[:1] + found[2:6]] == ["95.0 5.0", "99.0 5.0*", "94.0 5.0", "(95.0 5.0)", "–"]
    made = table(found)
    assert "| R2 |  | 91.0 5.0* |" in made
    assert "| 5 | 100 |  | (95.0 5.0) | 99.0 5.0* |  | – |  | 94.0 5.0 |  |" in made
    assert "| 5 | 40 |" not in made.replace("| 5 | 40 |  |  |  |  |  |  | – |  |", "")
    assert "2 of 4 in .92-.98" in summary("split", found)
    assert "| 100 | 0.25 | 0.25 | 0.25 | 0.25 |" in widths([one for one in found if one.cell.prevalence in (0.0, 0.1)])
