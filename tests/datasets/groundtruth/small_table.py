"""A table of three tracks, how it is read, and what it says."""

from __future__ import annotations

import numpy as np

from datasets.groundtruth.groundtruth import Groundtruth

TABLE = "path,labels\na/1.mp3,rock|loud\na/2.mp3,jazz\nb/3.mp3,\n"


def rows_of(truth):
    return {key: [truth.labels[c] for c in np.flatnonzero(truth.row(i))] for i, key in enumerate(truth.keys)}


EXPECTED = {"a/1.mp3": ["loud", "rock"], "a/2.mp3": ["jazz"], "b/3.mp3": []}


def read(tmp_path, text, name="labels.csv", **options):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Groundtruth.read(tmp_path / name, **options)
