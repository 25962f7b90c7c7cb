"""report.html of every task: what it scores, how its predictions look, without a name of another task's metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.metrics.classes import confusion
from helpers.metrics.tasks import TASKS, get_task
from helpers.reports.charts import confusion_chart, scatter_chart
from helpers.reports.report import Report, write_report
from models.errors import ConfigError
from tests.helpers.metrics.test_new_metric import OF_TRACKS, system
from tests.helpers.reports.test_report import Page


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("task", OF_TRACKS)
def test_the_page_of_every_task(tmp_path, task, folds):
    systems = [system(task, "pre-trained", folds=folds), system(task, "untrained", seed=1, folds=folds)]
    path = write_report(tmp_path / "report.html", Report("Does it help?", systems))
    page, spec = Page(path.read_text()), get_task(task)
    for metric in spec.metrics:
        assert metric.title[1:] in page.text
    for metric in spec.headline:
        assert f"{systems[0].mean(metric):.3f} ± {systems[0].sd(metric):.3f}" in page.text
        low, high = systems[1].interval(metric)
        assert f"{low:.3f} to {high:.3f}" in page.text
    foreign = {m.title for other in TASKS.values() for m in other.headline} - {m.title for m in spec.metrics}
    assert not [title for title in foreign if title in page.text]
    labels = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "chart"]
    assert sum(label.startswith("Confusion matrix") for label in labels) == (2 if spec.one_class else 0)
    assert sum("over the true ones" in label for label in labels) == (4 if spec.numeric else 0)
    assert ("Repetitions" in page.text) == folds


def test_lower_is_better_where_the_metric_says_so(tmp_path):
    good, bad = system("regression", "good"), system("regression", "bad", seed=1)
    bad = replace(bad, predictions=bad.predictions + 1)
    text = write_report(tmp_path / "r.html", Report("t", [bad, good])).read_text()
    assert text.partition('<tr class="best"><td>')[2].startswith("good")
    assert "lower is better" in text


def test_systems_of_different_tasks_share_no_page():
    with pytest.raises(ConfigError, match="'a' is key, 'b' single-label"):
        Report("t", [system("key"), system("single-label", "b")])


def test_a_confusion_matrix_counts_what_is_taken_for_what():
    targets, predictions = np.eye(3, dtype=bool)[[0, 0, 0, 1, 2]], np.eye(3)[[0, 1, 1, 1, 0]]
    counts = confusion(targets, predictions)
    assert counts.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]
    chart = confusion_chart(counts, ["a", "<b>", "c"], "s").__html__()
    assert "a, taken for &lt;b&gt;: 2 of 3 (67%)" in chart
    assert chart.count('class="cell') == 9


def test_a_scatter_plot_has_a_point_per_track_up_to_a_limit():
    values = np.random.default_rng(0).standard_normal(2500)
    assert scatter_chart(values[:40], values[:40], "x", "y", "s").__html__().count('class="dot') == 40
    assert scatter_chart(values, values, "x", "y", "s").__html__().count('class="dot') == 1000
    assert scatter_chart(np.ones(3), np.ones(3), "x", "y", "s").parts  # no spread


def test_labels_without_room_are_left_to_the_table(tmp_path):
    rng = np.random.default_rng(0)
    y = np.eye(60, dtype=bool)[rng.integers(0, 60, 120)]
    labels, keys = [f"c{i}" for i in range(60)], [str(i) for i in range(120)]
    many = replace(system("single-label"), labels=labels, keys=keys, targets=y, predictions=y[None] + 0.0, seeds=[0])
    text = write_report(tmp_path / "r.html", Report("t", [many])).read_text()
    assert "Confusion" not in text
