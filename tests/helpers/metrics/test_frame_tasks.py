"""Scores of frame-level tasks: mir_eval's, on cases made by hand; targets of frames; resamples over tracks."""

from __future__ import annotations

import io
from dataclasses import replace

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from datasets.groundtruth.chords import CHORDS, chord_class
from datasets.utils.ragged import Ragged
from helpers.metrics.beat_tracking import pick_beats, track_beats
from helpers.metrics.beats import beat_f, beat_targets
from helpers.metrics.chords import chord_targets, majmin
from helpers.metrics.differences import compare
from helpers.metrics.frames import nearest_frames, segments
from helpers.metrics.metric import Draws, Predictions, score_rows
from helpers.metrics.scores import SystemScores
from helpers.metrics.structure import between, hit_rate, pick_boundaries, section_targets
from helpers.metrics.tasks import get_task
from helpers.reports.report import Report, write_report
from helpers.reports.tables import print_scores
from models.errors import ConfigError

FRAME_TASKS = ("beats", "chords", "structure")


def spans(n: int, rate: float = 25.0) -> np.ndarray:
    edges = np.arange(n + 1) / rate
    return np.stack([edges[:-1], edges[1:]], axis=1)


def events(times) -> np.ndarray:
    times = np.asarray(times, dtype=float)
    return np.stack([times, times, np.zeros(len(times))], axis=1).reshape(-1, 3)


def beat_values(times: np.ndarray, n: int, rate: float = 25.0) -> np.ndarray:
    return beat_targets(events(times), spans(n, rate), 1)[0]


# ---- beats
BEATS = np.arange(0.5, 10.0, 0.5)


@pytest.mark.parametrize(
    ("estimated", "wanted"),
    [
        (BEATS, 1.0),
        (BEATS + 0.069, 1.0),
        (BEATS + 0.071, 0.0),
        (BEATS[:-1], 2 * 18 / 37),  # one is lacking
        (np.append(BEATS, 10.5), 2 * 19 / 39),  # one too many
        (np.arange(0.5, 9.76, 0.25), 2 * 19 / (19 + 38)),  # the doubled tempo
        (BEATS[::2], 2 * 10 / 29),  # the halved tempo
        (BEATS + 0.25, 0.0),  # the off-beats
        (np.zeros(0), 0.0),
    ],
)
def test_beat_f_is_mir_eval_s(estimated, wanted):
    assert beat_f(BEATS, estimated) == pytest.approx(mir_eval.beat.f_measure(BEATS, estimated))
    assert beat_f(BEATS, estimated) == pytest.approx(wanted, abs=1e-3 if 0 < wanted < 1 else 1e-12)


def test_without_annotated_beats_the_score_is_0_as_mir_eval_has_it():
    assert beat_f(np.zeros(0), BEATS) == mir_eval.beat.f_measure(np.zeros(0), BEATS) == 0.0
    assert beat_f(np.zeros(0), np.zeros(0)) == 0.0


@pytest.mark.parametrize("read", [pick_beats, track_beats])
@pytest.mark.parametrize("period", [0.35, 0.5, 0.8, 1.05])
@pytest.mark.parametrize("rate", [6.25, 15.625, 25.0, 100.0])
@pytest.mark.parametrize("height", [0.9, 0.1])
def test_clear_beats_are_found_at_any_rate_and_height(read, period, rate, height):
    if period * rate < 3:
        return  # two beats in three frames: nothing tells them apart
    beats, n = np.arange(0.31, 12, period), int(12 * rate)
    middle = (np.arange(n) + 0.5) / rate
    activation = np.exp(-((middle[:, None] - beats) ** 2).min(axis=1) / (2 * (0.6 / rate) ** 2)) * height
    assert beat_f(beats, read(activation, middle)) > (0.85 if rate < 10 else 0.9)


def test_the_network_bridges_what_peaks_do_not():
    middle, rng = np.arange(0.02, 15, 0.04), np.random.default_rng(0)
    beats = np.arange(0.4, 15, 0.5)
    activation = 0.7 * np.exp(-((middle[:, None] - beats) ** 2).min(axis=1) / 0.001) + 0.25 * rng.random(len(middle))
    activation[(middle > 6) & (middle < 8)] = 0.01  # a break
    found = track_beats(activation, middle)
    assert beat_f(beats, found) > beat_f(beats, pick_beats(activation, middle))
    assert np.abs(np.diff(found) - 0.5).max() < 0.1


@pytest.mark.parametrize("read", [pick_beats, track_beats])
def test_nothing_to_hear_has_no_beats(read):
    for n in (0, 1, 2, 50):
        assert len(read(np.zeros(n), np.arange(n) / 25)) == 0
        assert len(read(np.full(n, 0.3), np.arange(n) / 25)) == 0


def test_beats_fall_on_the_nearest_frames():
    targets, known = beat_targets(events([0.0, 0.05, 0.19, 0.9]), spans(5), 1)  # the last is behind the end
    np.testing.assert_array_equal(targets[:, 0], [1, 1, 0, 0, 1])
    assert known.all()
    assert nearest_frames(np.array([0.1]), spans(1)).tolist() == []
    assert nearest_frames(np.array([0.05]), spans(1)).tolist() == [0]


# ---- chords
def chord_rows(*parts) -> np.ndarray:
    return np.array([[a, b, chord_class(label)] for a, b, label in parts])


REFERENCE = [(0.0, 2.0, "C:maj"), (2.0, 3.0, "X"), (3.0, 5.0, "A:min7"), (5.0, 6.0, "N"), (6.0, 7.0, "G:sus4"), (7.0, 9.0, "G:7")]
ESTIMATES = {
    "the same": [(0.0, 2.5, "C:maj"), (2.5, 5.0, "A:min"), (5.0, 6.5, "N"), (6.5, 9.0, "G:maj")],
    "late by half a second": [(0.0, 2.5, "C:maj"), (2.5, 5.5, "A:min"), (5.5, 6.5, "N"), (6.5, 9.0, "G:maj")],
    "minor for major": [(0.0, 9.0, "C:min")],
    "short": [(0.0, 4.0, "C:maj")],
    "starts late, ends later": [(1.0, 5.0, "A:min"), (5.0, 12.0, "G:maj")],
    "no chord": [(0.0, 9.0, "N")],
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_chord_accuracy_is_mir_eval_s_on_the_labels_themselves(name):
    estimate = ESTIMATES[name]
    right, counted = majmin(chord_rows(*REFERENCE), chord_rows(*estimate))
    split = lambda parts: (np.array([part[:2] for part in parts]), [part[2] for part in parts])  # noqa: E731
    wanted = mir_eval.chord.evaluate(*split(REFERENCE), *split(estimate))["majmin"]
    assert right / counted == pytest.approx(wanted)
    assert counted == pytest.approx(7.0)  # without the time of X and sus4
    assert (wanted == pytest.approx(1.0)) == (name == "the same")


def test_chords_that_are_never_comparable_count_for_nothing():
    assert majmin(chord_rows((0, 3, "X")), chord_rows((0, 3, "N"))) == (0.0, 0.0)


def test_frames_learn_the_chord_at_their_middle_and_not_unknown_ones():
    targets, known = chord_targets(chord_rows((0.0, 0.1, "C"), (0.1, 0.14, "X"), (0.14, 0.2, "N")), spans(5), len(CHORDS))
    assert [CHORDS[i] if k else None for i, k in zip(targets.argmax(axis=1), known)] == ["C:maj", "C:maj", None, "N", "N"]


def test_segments_meet_between_their_frames():
    np.testing.assert_allclose(segments(np.array([3, 3, 1, 1, 1]), spans(5), 0.25), [[0, 0.08, 3], [0.08, 0.25, 1]])


# ---- structure
def section_rows(*parts) -> np.ndarray:
    inner = [[a, a, 2] for a, _, _ in parts[1:]]
    return np.array([[a, b, k] for a, b, k in parts] + inner, dtype=float)


@pytest.mark.parametrize(
    ("estimated", "hits_05", "hits_3"),
    [
        ([20.0, 40.0], 1.0, 1.0),
        ([20.49, 40.0], 1.0, 1.0),
        ([20.51, 40.0], 0.75, 1.0),
        ([20.0], 6 / 7, 6 / 7),
        ([20.0, 30.0, 40.0], 8 / 9, 8 / 9),
        ([10.0, 20.0, 30.0, 40.0, 50.0], 8 / 11, 8 / 11),  # twice as many
        ([], 2 / 3, 2 / 3),
    ],
)
def test_hit_rates_are_mir_eval_s(estimated, hits_05, hits_3):
    reference, found = between(np.array([20.0, 40.0]), 60.0), between(np.array(estimated), 60.0)
    for window, wanted in ((0.5, hits_05), (3.0, hits_3)):
        assert hit_rate(reference, found, window) == pytest.approx(mir_eval.segment.detection(reference, found, window=window)[2])
        assert hit_rate(reference, found, window) == pytest.approx(wanted)


def test_targets_of_sections_and_boundaries():
    rows = section_rows((0.0, 4.0, 0), (4.0, 8.0, 1))
    targets, known = section_targets(rows, spans(80, 10.0), 3)
    assert known.all()
    at = int(np.argmax(targets[:, 2]))
    np.testing.assert_allclose(targets[at - 3 : at + 4, 2], [0, 0.3, 0.7, 1, 0.7, 0.3, 0])
    assert abs(at - 39.5) <= 0.5
    assert targets[:30, 0].min() == pytest.approx(1)
    assert targets[50:, 1].min() == pytest.approx(1)
    np.testing.assert_allclose(targets[:, :2].sum(axis=1), 1, atol=1e-6)
    assert not section_targets(rows, spans(100, 10.0), 3)[1][81:].any()  # behind the annotation


def test_boundaries_are_picked_where_they_stand_out():
    middle = (np.arange(600) + 0.5) / 10
    activation = np.full(600, 0.05)
    activation[[200, 203, 400]] = 0.8, 0.5, 0.7
    np.testing.assert_allclose(pick_boundaries(activation, middle, 60.0), middle[[200, 400]])
    assert len(pick_boundaries(np.full(600, 0.4), middle, 60.0)) == 0
    assert len(pick_boundaries(0.05 + 0.01 * np.random.default_rng(0).random(600), middle, 60.0)) == 0


# ---- as metrics
def predictions(task: str, seed: int = 0, n_tracks: int = 7) -> Predictions:
    """Random predictions beside random annotations."""
    rng = np.random.default_rng(seed)
    lengths, rows, width = rng.integers(150, 250, n_tracks), [], {"beats": 1, "chords": 25, "structure": 3}[task]
    for n in lengths:
        if task == "beats":
            rows.append(events(np.cumsum(rng.uniform(0.47, 0.53, int(n / 25 / 0.53)))))
        else:
            edges = np.append(np.sort(rng.uniform(0, n / 25, 3)), n / 25)
            starts = np.append(0, edges[:-1])
            labels = rng.integers(0, 2 if task == "structure" else 25, 4)
            parts = list(zip(starts, edges, labels))
            rows.append(section_rows(*parts) if task == "structure" else np.array(parts, dtype=float))
    times = np.concatenate([spans(n) for n in lengths])
    values = Ragged(rng.random((int(lengths.sum()), width)), lengths, times=times)
    return Predictions(Ragged(np.concatenate(rows), [len(r) for r in rows], width), values)


@pytest.mark.parametrize("task", FRAME_TASKS)
def test_resamples_are_scores_of_the_drawn_tracks(task):
    data, draws = predictions(task), Draws.of(7, 5, 0)
    for metric in get_task(task).metrics:
        fast = metric.resampled(data, draws)
        slow = score_rows(metric.score, data, draws)
        slow = np.nanmean(slow, axis=1) if slow.ndim == 2 else slow
        np.testing.assert_allclose(fast, slow, rtol=1e-9)
        low, high = metric.bounds
        assert low <= fast.min() <= fast.max() <= high


@pytest.mark.parametrize("task", FRAME_TASKS)
def test_every_headline_says_what_a_guess_scores_and_what_it_means(task):
    data = predictions(task)
    for metric in get_task(task).headline:
        assert 0 <= float(np.mean(metric.chance_of(data))) <= 1
        assert metric.definition
    assert get_task(task).monitor("auto") in get_task(task).curves


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_annotation_itself_scores_best(seed):
    for task in FRAME_TASKS:
        data, rules = predictions(task, seed, 3), get_task(task).frames
        made = [rules.targets(data.targets.track(i), data.values.spans(i), data.targets.width)[0] for i in range(3)]
        perfect = Predictions(data.targets, Ragged(np.concatenate(made), data.values.lengths, times=data.values.times))
        main = get_task(task).main
        assert float(np.nanmean(main.score(perfect))) >= float(np.nanmean(main.score(data)))
        assert float(np.nanmean(main.score(perfect))) > 0.8


@pytest.mark.parametrize("task", FRAME_TASKS)
def test_the_page_the_tables_and_the_comparison_of_systems(task, tmp_path):
    data, spec = predictions(task), get_task(task)
    labels = {"beats": ["beat"], "chords": list(CHORDS), "structure": ["intro", "verse", "boundary"]}[task]
    curve = spec.monitor("auto")
    systems = []
    for k, name in enumerate(("pre-trained", "untrained")):
        sets = np.random.default_rng(k).random((2, *data.values.values.shape)).astype(np.float32)
        values = Ragged(sets, data.values.lengths, times=data.values.times)
        about = {"validation": {curve: [0.1, 0.2], "best_epoch": [0, 1]}, "settings": {"chosen_by": curve}, "task": task}
        systems.append(
            SystemScores(name, "toy test", labels, [f"{i}.wav" for i in range(7)], data.targets, values, [0, 1], **about)
        )
    page = write_report(tmp_path / "report.html", Report("In time", systems)).read_text()
    for metric in spec.headline:
        assert metric.title in page.replace("&quot;", '"') or metric.title.capitalize() in page
        assert f"{systems[0].mean(metric):.3f} ± {systems[0].sd(metric):.3f}" in page
    systems[0].save(tmp_path / "a")
    again = SystemScores.load(tmp_path / "a")
    assert again.mean() == systems[0].mean()
    assert compare(again, systems[1]).mean == pytest.approx(systems[0].mean() - systems[1].mean())
    console = Console(width=150, file=io.StringIO())
    print_scores(systems, console)
    assert spec.main.title in console.file.getvalue()
    shorter = replace(
        systems[1], targets=data.targets[np.arange(6)], predictions=data_rows(systems[1].predictions, 6), keys=again.keys[:6]
    )
    with pytest.raises(ConfigError, match="not scored on the same tracks"):
        compare(systems[0], shorter)


def data_rows(sets: Ragged, n: int) -> Ragged:
    """The first tracks of several sets."""
    rows = slice(0, int(sets.lengths[:n].sum()))
    return Ragged(sets.values[:, rows], sets.lengths[:n], times=sets.times[rows])
