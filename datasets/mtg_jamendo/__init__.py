"""MTG-Jamendo: 55 000 full tracks under Creative Commons with genre, instrument and mood/theme tags (Bogdanov et al., 2019), split-0 of five.

Its tables have a column per tag, so that rows differ in length: TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION and then tags of the form
category---name. No artist stands in two splits.
"""

from __future__ import annotations

from pathlib import Path

from models.bounded_files import read_text
from models.errors import DataSetError

from ..published.dataset import DataSet, Variant
from ..published.fetch import Bundle, Remote, read_sums
from ..published.label_table import SPLITS, LabelTable

LISTS = "https://raw.githubusercontent.com/MTG/mtg-jamendo-dataset/master/data/"
AUDIO = "https://cdn.freesound.org/mtg-jamendo/raw_30s/audio-low/"
TAR_SUMS = "raw_30s_audio-low_sha256_tars.txt"
PLACES = (
    "",
    "metadata",
    "data/splits/split-0",
    "splits/split-0",
    "split-0",
)  # of the tables: here, or in a clone of the repository
HEADER = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
SHA256 = {  # of the published tables
    "autotagging_genre-train.tsv": "c1cddb195ef94a07e67e227bf38e2a79389c1820950702b8c8894a2096f21e54",
    "autotagging_genre-validation.tsv": "3e203b4c573db6ec63a06c7066cf678dcf673a68ad5694c8fed22637c270dbcf",
    "autotagging_genre-test.tsv": "cf917388eebfa7d17d363c2fca037e2379ac027e31aa6dbe92e8dbf409ac5098",
    "autotagging_instrument-train.tsv": "f844a85f0b40bb31a5d5b448ddfc10a68d7b38ecc760673d23df2bd6e7ca0f4c",
    "autotagging_instrument-validation.tsv": "a5060020013ac5ba65c6470ee83fc2a9785db1fe554b55065de08aa9b0cca70d",
    "autotagging_instrument-test.tsv": "8c1ab86f3212b6484106baf2e78f70dd5520b917607487ac98999adbd5d7ab1a",
    "autotagging_moodtheme-train.tsv": "e5e9e798364b34bd241b773e5011809b24429edf471f27cf21dd8181077ba2d4",
    "autotagging_moodtheme-validation.tsv": "ecaa279367153476884d84d686479e566234cef1814bd6892a8755ba0a550dbf",
    "autotagging_moodtheme-test.tsv": "4341b5586bb3e5a80a882ce9ef33cb8b1bdaa7df856246ecc5de188dfe1cf394",
    "autotagging_top50tags-train.tsv": "6dee445ddd1901286184c2059d3d5eef7486f083ae80de9011705f852a850dde",
    "autotagging_top50tags-validation.tsv": "4f5f0f0a7662f523b45727476f67d799d6e98151b2c585a8e94e19d980ad93c1",
    "autotagging_top50tags-test.tsv": "3ede06a35e6cb27e1dbe8cfc84708a607622e30e5cd0a7199fce6c081124bc35",
}
VARIANTS = {
    "genre": Variant(
        "autotagging_genre", 87, (32572, 11043, 11479), "fa27ca7134021ed7b8a3ad8d91ff6cfbc4c5022268db17e637d1e4aed2543d3b", True
    ),
    "instrument": Variant(
        "autotagging_instrument",
        40,
        (14395, 5466, 5115),
        "e06cb85ced0cbbc21b257ed54dd79f56c870f7acf4bba86f21e219ff2106a091",
        True,
    ),
    "moodtheme": Variant(
        "autotagging_moodtheme", 56, (9949, 3802, 4231), "edc35e68499bfbc581ab8e234c87d23cffc065069bcac43fa5393fee52c0ed85", True
    ),
    "top50tags": Variant(
        "autotagging_top50tags",
        50,
        (32136, 10888, 11356),
        "3c45c8544b23be5e112d51ff1d3626c4c1f4b81fc5755cdf333f1a4295be4702",
        True,
    ),
}


class MtgJamendo(DataSet):
    """MTG-Jamendo, split-0, by category of tags."""

    name = "mtg_jamendo"
    title = "MTG-Jamendo"
    task = "multi-label"
    about = "55 000 full tracks, tags of their makers"
    terms = "metadata CC BY-NC-SA 4.0, audio CC by track"
    home = "https://github.com/MTG/mtg-jamendo-dataset"
    licence = (
        "Metadata CC BY-NC-SA 4.0 (no commercial use): nothing of it is part of this project. Audio under the Creative Commons licence of each track "
        "(audio_licenses.txt of the data set)."
    )
    citation = """@conference{bogdanov2019mtg,
  author    = {Bogdanov, Dmitry and Won, Minz and Tovstogan, Philip and Porter, Alastair and Serra, Xavier},
  title     = {The MTG-Jamendo Dataset for Automatic Music Tagging},
  booktitle = {Machine Learning for Music Discovery Workshop, International Conference on Machine Learning (ICML)},
  year      = {2019},
}"""
    get_it = (
        "`python -m datasets.mtg_jamendo download` gets the tables and the mono low-quality audio (100 archives; --remove_archives keeps only the "
        "audio). With a copy of your own give --audio_dir, the folder that holds 00/ ... 99/, and --annotations, a clone of the repository."
    )
    overlap = "none (measured)"
    size = "156 GB"
    variants = VARIANTS
    endings = (".mp3", ".low.mp3")
    layout = ("<00 to 99>/<id>.mp3 (or .low.mp3)", r"^\d\d/\d+(\.low)?\.mp3$")

    def bundles(self, audio: bool = True) -> list[Bundle]:
        tables = [Bundle((Remote(name, f"{LISTS}splits/split-0/{name}", sha256),)) for name, sha256 in SHA256.items()]
        if not audio:
            return tables
        sums = Bundle((Remote(TAR_SUMS, f"{LISTS}download/{TAR_SUMS}", size=9000),))
        tars = [f"raw_30s_audio-low-{k:02d}.tar" for k in range(100)]
        return [*tables, sums, *(Bundle((Remote(name, AUDIO + name),), into=self.audio, max_bytes=10 * 10**9) for name in tars)]

    def checksums(self, folder: Path) -> dict[str, str]:
        """Return those of the archives, by the publisher's list."""
        return read_sums(folder / TAR_SUMS) if (folder / TAR_SUMS).is_file() else {}

    def read(self, source: Path, variant: str) -> LabelTable:
        keys, split, labels, artists, ids = [], [], [], [], []
        for name in SPLITS:
            for track, artist, _album, path, _seconds, *tags in _rows(_table(source, f"autotagging_{variant}-{name}.tsv")):
                keys.append(path)
                split.append(name)
                labels.append(tuple(tags))
                artists.append(artist)
                ids.append(track)
        names = sorted({tag for row in labels for tag in row})
        return LabelTable(keys, split, names, labels=labels, group=artists, ids=ids)


def _table(source: Path, name: str) -> Path:
    if source.is_file():
        raise DataSetError(f"{source} is a file; the folder with {name} and its like is wanted.")
    found = next((source / place / name for place in PLACES if (source / place / name).is_file()), None)
    if found is None:
        raise DataSetError(f"There is no {name} in {source} (nor in {', '.join(PLACES[1:])} of it). {SET.get_it}")
    return found


def _rows(path: Path) -> list[list[str]]:
    """Rows of one table: five cells and one or more tags. Raises DataSetError naming the line."""
    try:
        lines = read_text(path, error=DataSetError).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} cannot be read: {error}.") from None
    if not lines or lines[0].split("\t") != HEADER:
        raise DataSetError(f"{path} is no table of MTG-Jamendo: its first line is not {' '.join(HEADER)}.")
    rows = [line.split("\t") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) < 6 or any(tag.count("---") != 1 for tag in row[5:]):
            raise DataSetError(f"{path}, line {number}: five cells and tags of the form category---name are wanted.")
        if ".." in row[3] or row[3].startswith("/"):
            raise DataSetError(f"{path}, line {number}: {row[3]!r} is no path of this data set.")
    return rows


MTG_JAMENDO = SET = MtgJamendo()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
