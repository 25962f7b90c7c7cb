"""Adding a metric takes one registration: it is in scores, files, sweeps, folds, pages and tables without anything else changed."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from helpers.evaluation.sweep import Cell, write_tables
from helpers.evaluation.sweep_report import print_sweep, report_sweep
from helpers.metrics.differences import compare
from helpers.metrics.metric import Draws, Metric, Predictions
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import TASKS, get_task
from helpers.reports.report import Report, write_report
from helpers.reports.tables import difference_table, label_table, print_differences, print_scores, score_table, write_differences

KEYS = ["C major", "G major", "A minor", "C minor"]
GRADES = ["0 to 1", "1 to 2", "2 to 4", "4 to 5"]
OF_TRACKS = sorted(name for name, task in TASKS.items() if task.frames is None)  # those in time: test_frame_tasks.py


def system(task: str, name: str = "a", seed: int = 0, folds: bool = False, n: int = 60) -> SystemScores:
    """Three seeds' predictions of four outputs, better than chance."""
    rng, noise = np.random.default_rng(3), np.random.default_rng(seed)
    if task == "regression":
        y = rng.standard_normal((n, 4))
    elif get_task(task).one_class:
        y = np.eye(4, dtype=bool)[rng.integers(0, 4, n)]
    else:
        y = rng.random((n, 4)) < 0.4
    p = y + 0.4 * noise.standard_normal((3, n, 4))
    ids = np.stack([np.random.default_rng(i).permutation(np.arange(n) % 4) for i in range(3)]) if folds else None
    curve = get_task(task).monitor("auto")
    validation = {curve: [0.5, 0.6, 0.7], "best_epoch": [1, 2, 3]}
    settings = {"chosen_by": curve}
    keys = [f"{i}.wav" for i in range(n)]
    labels = GRADES if task == "ordinal" else KEYS
    return SystemScores(name, "toy test", labels, keys, y, p, [0, 1, 2], validation, {}, settings, ids, task)


def per_output(data: Predictions) -> np.ndarray:
    """Share of tracks above the middle, by output; the last one has no score."""
    share = (data.values > 0.5).mean(axis=0)
    return np.where(np.arange(len(share)) < len(share) - 1, share, np.nan)


@pytest.fixture(params=[t if t in ("multi-label", "regression") else pytest.param(t, marks=pytest.mark.slow) for t in OF_TRACKS])
def toy(request):
    task = get_task(request.param)
    kept = dict(task._metrics)
    metric = Metric(
        "toy_score", "toy score", per_output, "toy", outputs="class_toy", curve="val_toy", headline=True, definition="Toy: shares.",
        chance=lambda data: 0.25,
    )  # fmt: skip
    yield task, task.register(metric)
    task._metrics.clear()
    task._metrics.update(kept)


@pytest.mark.parametrize("folds", [False, True])
def test_it_is_scored_resampled_and_saved(toy, tmp_path, folds):
    task, metric = toy
    one = system(task.name, folds=folds)
    if not folds:
        want = [(p > 0.5).mean(axis=0)[:3].mean() for p in one.predictions]
        np.testing.assert_allclose(one.scores("toy_score"), want)
        drawn = np.flatnonzero(Draws.of(60, 1, 0).weights[0])
        by_hand = [(p[drawn] > 0.5).mean(axis=0)[:3].mean() for p in one.predictions]
        assert one.resampled("toy_score", 1)[0] == pytest.approx(np.mean(by_hand))
    assert one.n_classes(metric) == 3
    low, high = one.interval(metric)
    assert 0 <= low < one.mean(metric) < high <= 1
    one.save(tmp_path)
    about = json.loads((tmp_path / "scores.json").read_text())
    assert about["toy_score"]["mean"] == pytest.approx(one.mean("toy_score"))
    assert about["class_toy"][one.labels[2]] == pytest.approx(one.scores("class_toy")[:, 2].mean())
    assert "toy" in next(csv.reader((tmp_path / "labels.csv").open()))
    assert SystemScores.load(tmp_path).mean("toy_score") == one.mean("toy_score")


def test_it_is_in_every_table_and_comparison(toy, tmp_path):
    task, metric = toy
    one, other = system(task.name), system(task.name, "b", seed=1)
    for table in (score_table([one, other]), difference_table([one, other]), label_table([one], metric)):
        console = Console(width=200, file=io.StringIO())
        console.print(table)
        assert "toy" in console.file.getvalue().lower()
    rows = list(csv.DictReader(write_differences([one, other], tmp_path / "d.csv").open()))
    found = next(row for row in rows if row["score"] == "toy_score")
    assert float(found["difference"]) == pytest.approx(compare(one, other, "toy_score").mean)


def test_it_is_on_the_report_page_and_in_a_sweep(toy, tmp_path):
    task, metric = toy
    one, other = system(task.name), system(task.name, "b", seed=1)
    page = write_report(tmp_path / "report.html", Report("Toy", [one, other])).read_text()
    for words in ("Toy score", "Toy: shares.", f"{one.mean(metric):.3f} ± {one.sd(metric):.3f}", "3 of 4 enter toy"):
        assert words in page
    cells = [Cell(block, "c", system(task.name, seed=block)) for block in range(3)]
    table, _ = write_tables(cells, tmp_path)
    assert "test_toy_score" in table.read_text()
    report_sweep(cells, tmp_path, "A sweep", "toy_score")
    assert f"CLS: toy score {cells[0].scores.mean(metric):.3f}" in (tmp_path / "sweep.html").read_text()
    console = Console(width=120, file=io.StringIO())
    print_sweep(cells, "toy_score", console)
    assert "toy score on toy test" in console.file.getvalue()


def test_an_epoch_can_be_chosen_by_it(toy):
    task, metric = toy
    assert task.monitor("val_toy") == "val_toy"
    assert task.sign("val_toy") == 1
    data = system(task.name)
    assert task.validate(Predictions(data.targets, data.predictions[0], data.labels))["val_toy"] == pytest.approx(
        data.scores("toy_score")[0]
    )
    with pytest.raises(ValueError, match="toy_score.* already"):
        task.register(metric)


@pytest.mark.parametrize("width", [36, 50, 57, 58, 59, 60, 64, 80, 100])
def test_a_terminal_too_narrow_for_all_metrics_shows_them_below_one_another(toy, width):
    task, _ = toy
    systems = [replace(system(task.name), name=name) for name in ("a probe of a network with a long name", "mel")]
    narrow, wide = (Console(width=width, file=io.StringIO()) for width in (width, 200))
    for console in (narrow, wide):
        print_scores(systems, console)
        print_differences(systems, console)
    shown, whole = narrow.file.getvalue(), wide.file.getvalue()
    assert max(map(len, shown.splitlines())) <= max(width, 64)
    assert "…" not in shown
    assert "95 % intervals: of the score on" in " ".join(shown.split())
    for metric in task.headline:
        low, high = systems[0].interval(metric)
        cells = (f"{systems[0].mean(metric):.3f} ± {systems[0].sd(metric):.3f}", f"{low:.3f}-{high:.3f}")
        for text in (shown, whole):
            assert any(all(cell in line for cell in cells) for line in text.splitlines()), metric.name
    assert next(line for line in whole.splitlines() if "system" in line).count("95 %") == 3
    assert next(line for line in shown.splitlines() if "system" in line).count("95 %") == 1
