from __future__ import annotations

import numpy as np
import pytest

from datasets.groundtruth.values import Values, z_scored
from models.errors import GroundtruthError


def test_a_table_of_values(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path,split,group,arousal,valence\na.mp3,train,x,1,5\nb.mp3,valid,y,2.5,-1\nc.mp3,test,z,3,0\n")
    values = Values.read(path)
    assert values.labels == ["arousal", "valence"]
    assert values.splits["val"].keys == ["b.mp3"]
    np.testing.assert_array_equal(values.splits["test"].matrix(), [[3, 0]])


def test_the_development_tracks_decide_the_scale():
    rng = np.random.default_rng(0)
    parts = {
        p: Values([f"{p}{i}" for i in range(20)], ["a", "b"], rng.standard_normal((20, 2)) * [3, 0] + 7)
        for p in ("train", "val", "test")
    }
    found = z_scored(parts)
    known = np.concatenate([found["train"].numbers, found["val"].numbers])
    np.testing.assert_allclose(known.mean(axis=0), 0, atol=1e-12)
    assert known[:, 0].std() == pytest.approx(1)
    assert not known[:, 1].any()  # a constant is shifted, not scaled
    both = np.concatenate([parts["train"].numbers, parts["val"].numbers])[:, 0]
    np.testing.assert_allclose(found["test"].numbers[:, 0], (parts["test"].numbers[:, 0] - both.mean()) / both.std())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "path,split,a\nx,train,1\nx,dev,2\ny,val,3\ny,valid,3\n",
            "2 tracks stand more than once.*'x', 'y' .1 with the same numbers, 1 with numbers that differ; 1 of them in several splits",
        ),
        ("path,a\nx,one\n", "no column of numbers: 'a' holds none"),
        (
            'path,duration\nx,"1,572"\ny,"2,5"\n',
            "line 2: the column 'duration' holds numbers with commas, such as '1,572'. Write points",
        ),
        ('path,a,b\nx,1,"1,5"\ny,2,2\n', "line 2: the column 'b' holds numbers with commas, such as '1,5'. Write points"),
        ('path,a\nx,1\ny,2\nz,"1,5"\n', "line 4: a is '1,5', which is no number. Write points"),
        ("path,a\nx,1\ny,2\nz,one\n", "line 4: a is 'one'"),
        ("path,a\nw,1\n\nx,nan\n", "line 4: a is 'nan', which is not finite"),
        ("song,a\nx,1\n", "wanted one of path"),
        ("path,split\nx,train\n", "a column per value"),
    ],
)
def test_tables_that_are_none(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(GroundtruthError, match=words):
        Values.read(tmp_path / "t.csv")
    with pytest.raises(GroundtruthError, match="no table"):
        Values.read(tmp_path / "u.csv")


def test_columns_of_words_are_left_out_and_said(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("path,tags,arousal,valence,key\nx,a|b,1,2,C major\ny,b,3,4,D minor\n")
    with caplog.at_level("INFO"):
        found = Values.read(tmp_path / "t.csv")
    assert found.labels == ["arousal", "valence"]
    assert "values: 'arousal', 'valence'; not used: 'tags', 'key'." in caplog.text


def test_a_column_can_be_chosen(tmp_path):
    (tmp_path / "t.csv").write_text("path,arousal,valence\nx,1,2\ny,3,4\n")
    found = Values.read(tmp_path / "t.csv", "valence")
    assert found.labels == ["valence"]
    assert found.matrix().ravel().tolist() == [2, 4]
    with pytest.raises(GroundtruthError, match="no column 'valance' of values; it has 'arousal', 'valence'"):
        Values.read(tmp_path / "t.csv", "valance")


def test_rows_without_a_group_are_said(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("path,artist,a\nx,p,1\ny,,2\n")
    Values.read(tmp_path / "t.csv")
    assert "1 of 2 rows have no artist: each counts as one of its own" in caplog.text
