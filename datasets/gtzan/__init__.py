"""GTZAN: 1000 excerpts of 30 s in ten genres (Tzanetakis and Cook, 2002), by the fault-filtered lists.

The set has repetitions, artists in several places and distorted files (Sturm, 2013). The fault-filtered lists leave 930 excerpts and keep artists
apart; random or stratified splits of all 1000 score far higher and are not comparable.
"""

from __future__ import annotations

from pathlib import Path

from models.bounded_files import read_text

from ..published.dataset import DataSet, Variant
from ..published.label_table import LabelTable

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
LIST = Path(__file__).with_name("filtered.txt")
BROKEN = "jazz/jazz.00054.wav"  # in the copy that Kaggle serves
VARIANTS = {
    "filtered": Variant(
        "fault-filtered lists", 10, (443, 197, 290), "72987d28175394f878e3968e2640ca015345c0ef567bfb3d53604a6b00c06f03", True
    ),
    "marble": Variant(
        f"the same without {BROKEN}, which is broken in a common copy",
        10,
        (442, 197, 290),
        "9a08b41d165f157aba0a4e9d0e8d45fd8b59829a4df31be9bcb84126fa09900e",
        True,
    ),
}


def filtered() -> list[tuple[str, str]]:
    """Return (split, path) of the fault-filtered excerpts: filtered.txt."""
    lines = [line.split() for line in read_text(LIST).splitlines() if line and not line.startswith("#")]
    return [(split, f"{genre}/{genre}.{number}.wav") for split, genre, *numbers in lines for number in numbers]


class Gtzan(DataSet):
    """GTZAN genres."""

    name = "gtzan"
    title = "GTZAN"
    task = "single-label"
    about = "30 s excerpts, ten genres"
    terms = "audio: none stated; list MIT"
    home = "http://marsyas.info/downloads/datasets.html"
    licence = (
        "The audio has no licence (commercial recordings, collected without names): it is not downloaded by this command. The list of files "
        "(filtered.txt) is from jongpillee/music_dataset_split, MIT."
    )
    citation = """@article{tzanetakis2002musical,
  author  = {Tzanetakis, George and Cook, Perry},
  title   = {Musical Genre Classification of Audio Signals},
  journal = {IEEE Transactions on Speech and Audio Processing},
  year    = {2002},
}
@article{kereliuk2015deep,
  author  = {Kereliuk, Corey and Sturm, Bob L. and Larsen, Jan},
  title   = {Deep Learning and Music Adversaries},
  journal = {IEEE Transactions on Multimedia},
  year    = {2015},
}"""
    get_it = (
        "Place a copy of your own at datasets/gtzan/data/genres/ (or name it with --audio_dir): <genre>/<genre>.NNNNN.wav, or .au as published. "
        "Kaggle's copy has them in Data/genres_original."
    )
    overlap = "none, as the lists' authors say (the files name no artist)"
    size = "about 1.2 GB"
    variants = VARIANTS
    audio = "genres"
    layout = ("<genre>/<genre>.NNNNN.wav (or .au, .mp3, .flac)", r"^([a-z]+)/\1\.\d{5}\.(wav|au|mp3|flac)$")
    broken = frozenset({BROKEN})
    endings = (".wav", ".au", ".mp3", ".flac")

    def read(self, source: Path, variant: str) -> LabelTable:
        rows = [(split, path) for split, path in filtered() if variant == "filtered" or path != BROKEN]
        labels = [(path.split("/")[0],) for _, path in rows]
        return LabelTable([path for _, path in rows], [split for split, _ in rows], list(GENRES), labels=labels)


GTZAN = SET = Gtzan()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
