from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from helpers.reports.charts import Dots, Series, dot_plot, line_chart, ticks
from helpers.reports.images import spectrogram
from helpers.reports.report import Example, Report, verdict, write_report
from helpers.reports.tables import print_scores
from models.errors import ConfigError
from tests.helpers.metrics.test_scores import system

CURVES = [
    {"epoch": e, "train_loss": 0.7 - 0.01 * e, "val_loss": 0.6, "val_roc": 0.5 + 0.02 * e, "val_ap": None} for e in range(10)
]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The page's text, attributes and whether its elements nest."""

    def __init__(self, text: str):
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not self.stack or self.stack[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def example(labels=tuple("wxyz")) -> Example:
    rng = np.random.default_rng(0)
    return Example(
        "a/b.flac",
        rng.random((300, 96)),
        4.8,
        labels,
        np.array([0.9, 0.2, 0.6, 0.05]),
        np.array([1, 0, 0, 1], bool),
        "probe",
        top=2,
    )


@pytest.fixture
def page(tmp_path):
    systems = [replace(system("pre-trained", strength=2.0), history={"val_roc": np.linspace(0.5, 0.9, 12)[None].repeat(3, 0)})]
    systems += [system("untrained", strength=0.3), replace(system("mel statistics", seeds=1), settings={"deterministic": True})]
    (tmp_path / "history.json").write_text(json.dumps(CURVES))
    path = write_report(
        tmp_path / "out" / "report.html",
        Report(
            title="Does it help?",
            systems=systems,
            curves=tmp_path / "history.json",
            examples=[example()],
            class_counts={"train": [50, 30, 20, 5], "test": systems[0].targets.sum(0)},
            about={"Configuration": {"trainer": {"max_epochs": 30}, "tail": None}},
            notes=["Only a toy."],
        ),
    )
    return path, Page(path.read_text()), systems


def test_it_stands_alone(page):
    path, parsed, _ = page
    text = path.read_text()
    assert path.stat().st_size < 2_000_000
    for tag, attrs in parsed.tags:
        assert tag not in ("script", "link", "iframe")
        assert not attrs.get("href")
        assert attrs.get("src", "data:").startswith("data:")
    assert "url(" not in text
    assert "@import" not in text
    assert 'name="viewport"' in text
    assert "prefers-color-scheme:dark" in text


def test_it_says_what_was_scored_and_how_surely(page):
    _, parsed, systems = page
    for s in systems:
        assert f"{s.mean():.3f}" in parsed.text
        low, high = s.interval("macro_ap")
        assert f"{low:.3f} to {high:.3f}" in parsed.text
    assert f"{systems[0].mean():.3f} ± {systems[0].sd():.3f}" in parsed.text
    difference = systems[0].mean() - systems[1].mean()
    assert f"pre-trained − untrained {difference:+.3f}" in parsed.text
    for words in ("toy test", "90 tracks", "4 of 4 enter ROC-AUC", "trainer.max_epochs", "Only a toy.", "exact", "torch"):
        assert words in parsed.text
    for i, label in enumerate("wxyz"):
        counts = (
            f"{label} {[50, 30, 20, 5][i]} {int(systems[0].targets[:, i].sum())} {systems[0].scores('class_roc').mean(0)[i]:.3f}"
        )
        assert counts in parsed.text


def test_pictures_have_words(page):
    _, parsed, _ = page
    charts = [attrs for tag, attrs in parsed.tags if tag == "svg" and attrs.get("class") == "chart"]
    assert len(charts) == 7  # two of scores, two per label, loss, validation score, probes
    assert all(len(attrs["aria-label"]) > 20 for attrs in charts)
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    assert all("4.8 seconds" in attrs["alt"] for attrs in images)
    assert base64.b64decode(images[0]["src"].split(",")[1]).startswith(b"\x89PNG")


def test_the_example_marks_true_labels_and_lists_missed_ones(page):
    path, parsed, _ = page
    items = re.findall(r'<li class="(true|other)"><span class="name">(\w)</span>', path.read_text())
    assert items == [("true", "w"), ("other", "y"), ("true", "z")]  # the two most probable, then the true one beyond them
    assert "True labels: w, z." in parsed.text


def test_names_cannot_break_the_page(tmp_path):
    evil = "<script>alert(1)</script>&\"'$title [bold]"
    s = replace(system(evil), labels=[evil + str(i) for i in range(4)], split=evil)
    path = write_report(
        tmp_path / "r.html",
        Report(
            title=evil,
            intro=evil,
            systems=[s, replace(s, name="b")],
            curves=[{"epoch": 0, "train_loss": 1.0}],
            examples=[replace(example(tuple(s.labels)), name=evil, system=evil)],
            about={evil: {evil: evil}},
            notes=[evil],
            class_counts={evil: [1, 2, 3, 4]},
        ),
    )
    parsed = Page(path.read_text())
    assert not any(tag == "script" for tag, _ in parsed.tags)
    assert parsed.text.count("<script>alert(1)</script>&\"'$title [bold]") > 10


def test_undefined_scores_and_missing_curves(tmp_path):
    s = system()
    s = replace(s, targets=np.concatenate([s.targets[:, :3], np.zeros((90, 1), bool)], axis=1))
    text = Page(write_report(tmp_path / "r.html", Report(title="t", systems=[s])).read_text()).text
    assert "3 of 4 enter ROC-AUC" in text
    assert "–" in text
    assert "nan" not in text.lower().split()
    for section in ("Training curves", "A closer look", "Paired differences"):
        assert section not in text


def test_cross_validation_is_described_as_what_it_is(tmp_path):
    text = Page(
        write_report(tmp_path / "r.html", Report(title="t", systems=[system(folds=True), system("b", folds=True)])).read_text()
    ).text
    assert "In each repetition every track is tested once" in text
    assert "Repetitions" in text
    assert "over seeds" not in text


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match="at least one system"):
        write_report(tmp_path / "r.html", Report(title="t", systems=[]))
    with pytest.raises(ConfigError, match="cannot share a table"):
        write_report(tmp_path / "r.html", Report(title="t", systems=[system(), replace(system("b"), split="other")]))
    with pytest.raises(ConfigError, match="3 counts of the train split for 4 labels"):
        write_report(tmp_path / "r.html", Report(title="t", systems=[system()], class_counts={"train": [1, 2, 3]}))
    assert list(tmp_path.iterdir()) == []


class TestCharts:
    @pytest.mark.parametrize(
        ("low", "high", "want"),
        [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.52, 0.97, [0.6, 0.7, 0.8, 0.9]), (0, 59, [0, 20, 40]), (3, 3, [3])],
    )
    def test_ticks_are_round_and_inside(self, low, high, want):
        assert ticks(low, high) == want

    def test_points_stand_where_their_values_are(self):
        chart = line_chart(
            [Series("a", range(3), [0.0, 0.5, 1.0]), Series("b", range(3), [None, float("nan"), 0.5], 1)], "x", "y", "s"
        ).__html__()
        path = re.search(r'class="line s0" d="([^"]+)"', chart)[1]
        points = np.array([[float(v) for v in p.split()] for p in re.split("[ML]", path) if p.strip()])
        assert points[0, 1] - points[1, 1] == pytest.approx(points[1, 1] - points[2, 1], abs=0.11)  # equal steps up
        assert np.diff(points[:, 0]) == pytest.approx([152, 152], abs=0.2)
        assert re.search(r'class="line s1" d="M\d+\.\d \d+\.\d"', chart)  # one point: the others are gaps

    def test_dots_grow_to_the_right_and_undefined_ones_are_absent(self):
        chart = dot_plot(
            ["a", "b", "c"], [Dots("s", [0.6, None, 0.9], 0, [(0.5, 0.7), (float("nan"),) * 2, (0.8, 1.0)])], "x", "s", chance=0.5
        ).__html__()
        xs = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', chart)]
        assert len(xs) == 2
        assert xs[0] < xs[1]
        assert chart.count('class="line s0"') == 2
        assert 'class="chance"' in chart

    def test_nothing_to_draw_is_said(self):
        assert "Nothing was recorded" in line_chart([Series("a", [0], [None])], "x", "y", "s").__html__()
        assert "No score" in dot_plot(["a"], [Dots("s", [None])], "x", "s").__html__()

    def test_the_spectrogram_shows_time_to_the_right_and_low_bands_below(self):
        from matplotlib import image

        mel = np.zeros((2000, 96))
        mel[1500:, :20] = 5.0
        picture = spectrogram(mel, "s")
        data = base64.b64decode(re.search(r"base64,([^\"]+)", picture)[1])
        pixels = image.imread(io.BytesIO(data))[..., :3].sum(-1)
        assert pixels.shape == (96, 900)
        bright = pixels > pixels.max() / 2
        assert bright[80:, 680:].all()
        assert not bright[:70].any()
        assert not bright[:, :670].any()


def test_terminal_tables(capsys):
    systems = [system("pre-trained [x]", strength=2.0), replace(system("mel", seeds=1), settings={"deterministic": True})]
    console = Console(width=80, record=True, file=io.StringIO())
    print_scores(systems, console, per_label=True)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    low, high = systems[0].interval()
    for words in (
        "toy test: 90 tracks, 4 labels",
        "pre-trained [x]",
        "exact",
        f"{low:.3f}-{high:.3f}",
        "4 (ROC-AUC) and 4 (AP) of 4",
        "sd over seeds",
    ):
        assert words in " ".join(text.split())
    assert f"{systems[0].mean():.3f} ± {systems[0].sd():.3f}" in text
    assert "Learning rate of the grid" not in text
    n = len(systems[0].seeds)
    tuned = replace(systems[0], validation={**systems[0].validation, "max_lr": [1e-3] * (n - 1) + [5e-4]})
    print_scores([tuned], Console(width=300, record=True, file=(out := io.StringIO())))
    assert f"each seed kept: pre-trained [x] {'0.001, ' * (n - 1)}0.0005." in " ".join(out.getvalue().split())
    assert f"{systems[1].scores('class_roc').mean(0)[1]:.3f}" in text


def test_it_begins_with_one_sentence_of_verdict(page):
    _, parsed, systems = page
    text = parsed.text
    found = verdict([(systems[0], other) for other in systems[1:]])
    assert text.index("Does it help?") < text.index(found) < text.index("Scores")
    assert found.startswith("Pre-trained beats untrained")
    assert found.count(". ") == 0
    assert "of these networks alone" in found
    back = verdict([(systems[1], systems[0]), (systems[1], systems[1])])
    assert "loses to pre-trained and cannot be told from untrained" in back


def test_on_a_phone_rows_of_wide_tables_are_blocks_whose_cells_name_their_columns(page):
    path, parsed, _ = page
    text = path.read_text()
    assert '<table class="cards">' in text
    assert 'data-label="95 % interval"' in text
    assert not [attrs for tag, attrs in parsed.tags if tag == "td" and attrs.get("data-label") == "None"]
