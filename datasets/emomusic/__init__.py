"""EmoMusic: arousal and valence of 744 excerpts of 45 s (Soleymani et al., 2013), static annotations, two values in 1..9.

The songs of MediaEval 2013's evaluation set are the test; the others are split by the artist's name.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from models.errors import DataSetError

from ..published.dataset import DataSet, Variant
from ..published.label_table import LabelTable, read_rows

VALUES = ("arousal", "valence")
SET_COLUMN = "Mediaeval 2013 set"
VARIANTS = {"emotion": Variant("mean arousal and valence of each song", 2, (None, None, 125), None, False, 744)}


def side_of(artist: str) -> str:
    """Return train or validation, 8 : 2 by the SHA-1 of the artist's name in lower-case letters and single spaces."""
    plain = " ".join(re.sub("[^a-z ]", "", artist.lower()).split())
    return "train" if int(hashlib.sha1(plain.encode()).hexdigest(), 16) % 10 < 8 else "validation"


class EmoMusic(DataSet):
    """EmoMusic, static."""

    name = "emomusic"
    title = "EmoMusic"
    task = "regression"
    about = "45 s excerpts, two values in 1..9"
    terms = "audio CC by track; handed out by a form"
    home = "https://cvml.unige.ch/databases/emoMusic/"
    licence = "Audio of the Free Music Archive under each track's Creative Commons licence; the set is handed out for research, by a form."
    citation = """@inproceedings{soleymani20131000,
  author    = {Soleymani, Mohammad and Caro, Micheal N. and Schmidt, Erik M. and Sha, Cheng-Ya and Yang, Yi-Hsuan},
  title     = {1000 Songs for Emotional Analysis of Music},
  booktitle = {Proceedings of the 2nd ACM International Workshop on Crowdsourcing for Multimedia},
  year      = {2013},
}"""
    get_it = (
        "Ask for it at its page and place clips_45seconds/<id>.mp3, songs_info.csv and static_annotations.csv (in annotations/ or beside it) in "
        "datasets/emomusic/data/."
    )
    overlap = "train/validation none, by rule; test: validate counts them"
    size = "744 mp3 of 45 s"
    variants = VARIANTS
    audio = "clips_45seconds"
    layout = ("<song id>.mp3", r"^\d+\.mp3$")

    def read(self, source: Path, variant: str) -> LabelTable:
        songs = {
            row["song_id"]: row for row in read_rows(_find(source, "songs_info.csv"), ",", ["song_id", "Artist", SET_COLUMN])
        }
        path = _find(source, "static_annotations.csv")
        keys, split, values, artists = [], [], [], []
        for row in read_rows(path, ",", ["song_id", "mean_arousal", "mean_valence"]):
            song = songs.get(row["song_id"])
            if song is None or not row["song_id"].isdecimal():
                raise DataSetError(f"{path}: song {row['song_id']!r} is not in songs_info.csv.")
            try:
                values.append((float(row["mean_arousal"]), float(row["mean_valence"])))
            except ValueError:
                raise DataSetError(f"{path}: the values of song {row['song_id']} are no numbers.") from None
            keys.append(f"{row['song_id']}.mp3")
            split.append("test" if song[SET_COLUMN].lower() == "evaluation" else side_of(song["Artist"]))
            artists.append(song["Artist"].lower())
        return LabelTable(keys, split, list(VALUES), values=values, group=artists)


def _find(source: Path, name: str) -> Path:
    found = next((path for path in (source / name, source / "annotations" / name) if path.is_file()), None)
    if found is None:
        raise DataSetError(f"There is no {name} in {source} (nor in annotations/ of it). {SET.how(source)}")
    return found


EMOMUSIC = SET = EmoMusic()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
