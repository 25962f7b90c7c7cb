"""What tracks belong to, from a table to the score: read, split, cross-validated, saved, said."""

from __future__ import annotations

import io

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from datasets.mtt import MTT, song_of
from datasets.utils.terminal import Console
from helpers.evaluation.crossval import cross_validate, linear_fit, repeated_folds
from helpers.evaluation.few_label import subset
from helpers.metrics.scores import SystemScores
from helpers.probe.run import Split
from helpers.reports.tables import score_table
from helpers.reports.wording import intervals_are


def table(tmp_path, column: str):
    path = tmp_path / "labels.csv"
    rows = [f"{i}.wav,{'rock' if i % 2 else 'jazz'},{i // 4},{i / 7}" for i in range(40)]
    path.write_text("\n".join([f"path,tags,{column},value", *rows]) + "\n")
    return path


@pytest.mark.parametrize(("column", "noun"), [("artist_id", "artist"), ("group", "group"), ("singer", "singer")])
def test_a_table_says_what_its_groups_are(tmp_path, column, noun):
    truth = Groundtruth.read(table(tmp_path, column), group_column=column)
    assert truth.group.of == noun
    assert truth.subset([5, 9]).group.of == noun
    assert list(truth.subset([5, 9]).group) == ["1", "2"]


def test_values_have_groups_too(tmp_path):
    found = Values.read(table(tmp_path, "artist"), "value")
    assert (found.group.of, found.subset([8]).group) == ("artist", ["2"])


def test_they_reach_the_scores_of_a_cross_validation_and_its_table(tmp_path):
    rng = np.random.default_rng(0)
    truth = Groundtruth.read(table(tmp_path, "artist"))
    y = truth.matrix()
    data = Split("toy", list(truth.keys), (rng.standard_normal((40, 4)) + y[:, :1]).astype(np.float32), y, group=truth.group)
    assert subset(data, np.array([0, 39])).group == ["0", "9"]
    scores = cross_validate("a", linear_fit(truth.labels), data, truth.labels, repeated_folds(y, 5, 2, group=truth.group))
    assert scores.group_name == "artist"
    scores.save(tmp_path / "a")
    loaded = SystemScores.load(tmp_path / "a")
    assert (loaded.group_name, loaded.units.n, loaded.interval()) == ("artist", 10, scores.interval())
    assert intervals_are([loaded]).endswith("other tracks of the kind; by artist (10)")
    console = Console(width=300, file=io.StringIO())
    console.print(score_table([loaded]))
    assert "by artist (10)" in console.file.getvalue()


def test_magnatagatunes_clips_have_song_and_artist(tmp_path):
    assert song_of("f/american_bach_soloists-j_s__bach-01-aria-30-59.mp3") == "american_bach_soloists-j_s__bach-01-aria"
    assert MTT.groups == "artists"
