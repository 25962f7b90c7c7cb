"""GiantSteps key: two-minute previews of electronic dance music, one key each (Knees et al., ISMIR 2015; Faraldo et al., 2017).

Training and validation are MTG's set (giantsteps-mtg-key-dataset): tracks whose annotator was certain (C = 2) and heard one key, split by artist.
Test is giantsteps-key-dataset, 604 tracks. Keys are 24 classes, sharps written as flats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from models.bounded_files import read_text
from models.errors import DataSetError

from ..published.dataset import DataSet, Variant
from ..published.fetch import Bundle, Remote
from ..published.label_table import LabelTable, read_rows

TONICS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)
_FLATS = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb"}
TRAIN, TEST = "giantsteps-mtg-key-dataset", "giantsteps-key-dataset"
COMMITS = {TRAIN: "fd7b8c584f7bd6d720d170c325a6d42c9bf75a6b", TEST: "c8cb8aad2cb53f165be51ea099d0dc75c64a844f"}
VARIANTS = {
    "key": Variant(
        "MTG's tracks of certain key by artist; 604 tracks to test",
        24,
        (923, 236, 604),
        "3730b1944217ad3bf437e3774e02610653b9c5c64acc0e7d1d667647022b5f14",
        True,
    )
}


def key_name(text: str) -> str:
    """Return 'f# minor' -> 'Gb minor': one of KEYS. Raises DataSetError."""
    tonic, _, mode = " ".join(text.split()).partition(" ")
    tonic = tonic[:1].upper() + tonic[1:].lower()
    name = f"{_FLATS.get(tonic, tonic)} {mode.lower()}"
    if name not in KEYS:
        raise DataSetError(f"{text!r} is not a key; keys are a tonic (C, C#, Db, ...) and major or minor.")
    return name


def split_artists(rows: Iterable[list[str]]) -> dict[str, str]:
    """Return artist (lower case) -> train or validation, from the artists of each track.

    By the SHA-1 of the name, 100 : 16; then artists who share a track with one of validation go there too (two passes over all tracks).
    """
    tracks = [[artist.lower() for artist in row] for row in rows]
    side = {}
    for artist in (artist for row in tracks for artist in row):
        number = int(hashlib.sha1(artist.encode()).hexdigest(), 16) % 116
        side[artist] = "train" if number < 100 else "validation"
    for _ in range(2):
        for row in tracks:
            if any(side[artist] == "validation" for artist in row):
                side.update(dict.fromkeys(row, "validation"))
    return side


def _without(top: str, name: str) -> str:
    return name.removeprefix(top)


class GiantStepsKey(DataSet):
    """GiantSteps key, with MTG's set to train on."""

    name = "giantsteps_key"
    title = "GiantSteps key"
    task = "key"
    about = "two-minute previews of dance music, 24 keys"
    terms = "none stated; audio is Beatport's"
    home = "https://github.com/GiantSteps/giantsteps-key-dataset"
    licence = (
        "Annotations without a stated licence (research); none of them is part of this project. The audio is Beatport's previews: it is not "
        "downloaded by this command."
    )
    citation = r"""@inproceedings{knees2015two,
  author    = {Knees, Peter and Faraldo, {\'A}ngel and Herrera, Perfecto and Vogl, Richard and B{\"o}ck, Sebastian and others},
  title     = {Two Data Sets for Tempo Estimation and Key Detection in Electronic Dance Music Annotated from User Corrections},
  booktitle = {Proceedings of the 16th International Society for Music Information Retrieval Conference (ISMIR)},
  year      = {2015},
}
@inproceedings{faraldo2017multi,
  author    = {Faraldo, {\'A}ngel and Jord{\`a}, Sergi and Herrera, Perfecto},
  title     = {A Multi-Profile Method for Key Estimation in {EDM}},
  booktitle = {AES International Conference on Semantic Audio},
  year      = {2017},
}"""
    get_it = (
        "`python -m datasets.giantsteps_key download` gets the two repositories of annotations; their audio_dl.sh gets the audio, to be placed at "
        f"{TRAIN}/audio/<id>.LOFI.mp3 and {TEST}/audio/<id>.LOFI.mp3 of the set's folder (or of --audio_dir)."
    )
    overlap = "train/validation none, by rule; the test's annotations name none (none of its tracks is in train or validation, measured)"
    size = "5 MB, audio apart"
    variants = VARIANTS
    audio = "."
    layout = (f"{TRAIN}/audio/<id>.LOFI.mp3 or {TEST}/audio/<id>.LOFI.mp3", rf"^({TRAIN}|{TEST})/audio/[^/]+\.LOFI\.mp3$")

    def bundles(self, audio: bool = True) -> list[Bundle]:
        found = []
        for repo, commit in COMMITS.items():
            top = f"{repo}-{commit}/"
            remote = Remote(f"{repo}.zip", f"https://github.com/GiantSteps/{repo}/archive/{commit}.zip")
            found.append(Bundle((remote,), into=repo, max_bytes=10**9, rename=partial(_without, top)))
        return found

    def read(self, source: Path, variant: str) -> LabelTable:
        keys, split, labels, groups = [], [], [], []
        train = source / TRAIN / "annotations"
        artists = {}
        for row in read_rows(train / "beatport_metadata.txt", "\t", ["ID", "ARTIST"]):
            artists[row["ID"]] = [artist.strip() for artist in row["ARTIST"].split(",")]
        side = split_artists(artists.values())
        for row in read_rows(train / "annotations.txt", "\t", ["ID", "MANUAL KEY", "C"]):
            if row["C"] != "2" or "/" in row["MANUAL KEY"]:
                continue
            of = artists.get(row["ID"])
            if of is None:
                raise DataSetError(f"{train}: track {row['ID']} is not in beatport_metadata.txt.")
            keys.append(f"{TRAIN}/audio/{row['ID']}.LOFI.mp3")
            split.append(side[of[0].lower()])
            labels.append((key_name(row["MANUAL KEY"]),))
            groups.append("|".join(artist.lower() for artist in of))
        for path in sorted((source / TEST / "annotations" / "key").glob("*.LOFI.key")):
            keys.append(f"{TEST}/audio/{path.stem}.mp3")
            split.append("test")
            labels.append((key_name(_text(path)),))
            groups.append("")
        return LabelTable(keys, split, list(KEYS), labels=labels, group=groups)


def _text(path: Path) -> str:
    try:
        return read_text(path, 1 << 16, error=DataSetError)
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} cannot be read: {error}.") from None


GIANTSTEPS_KEY = SET = GiantStepsKey()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
