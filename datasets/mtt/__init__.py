"""MagnaTagATune: 25 863 clips of 29 s with 188 tags of listeners; the 50 most frequent ones are the usual benchmark (Law et al., ISMIR 2009).

The groundtruth of the MAEST paper is musicnn's ("pons2017"): clips of three broken files are dropped, clips without any of the 50 tags are KEPT, tags
stand in alphabetical order, and the folder of a clip (first hex digit of its path) is its split: 0-b train, c validation, d-f test. Other papers drop
untagged clips: their PR-AUC is not comparable, so a result always carries its variant.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path

from models.errors import DataSetError

from ..published.dataset import DataSet, Variant
from ..published.fetch import Bundle, Remote
from ..published.label_table import LabelTable, read_rows

URL = "https://mirg.city.ac.uk/datasets/magnatagatune/"
PARTS = ("mp3.zip.001", "mp3.zip.002", "mp3.zip.003")
ANNOTATIONS = "annotations_final.csv"
N_CLIPS = 25863
_TAGS = (
    "ambient beat beats cello choir choral classic classical country dance drums electronic fast female female_vocal female_voice flute guitar harp "
    "harpsichord indian loud male male_vocal male_voice man metal new_age no_vocal no_vocals no_voice opera piano pop quiet rock singing sitar slow "
    "soft solo strings synth techno violin vocal vocals voice weird woman"
)
TAGS = tuple(
    tag.replace("_", " ") for tag in _TAGS.split()
)  # the 50 most frequent, alphabetical; ties make counting them again unsafe
BROKEN = {  # clips whose audio is missing or damaged in every copy
    35644: "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    55753: "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    57881: "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_couperin-88-117.mp3",
}
NOT_IN_JONGPILLEE = frozenset({29, 11268, 11269})
_PATH = re.compile(r"[0-9a-f]/[^/\\]+\.mp3")


def split_of(path: str) -> str:
    """Return the split by the first hex digit of the path."""
    return "train" if path[0] in "0123456789ab" else "validation" if path[0] == "c" else "test"


def artist_of(path: str) -> str:
    """Return 'f/american_bach_soloists-j_s__bach-01-aria-30-59.mp3' -> 'american_bach_soloists': the file name up to its first '-'."""
    return path.split("/", 1)[1].split("-", 1)[0]


def song_of(path: str) -> str:
    """Return 'f/american_bach_soloists-j_s__bach-01-aria-30-59.mp3' -> 'american_bach_soloists-j_s__bach-01-aria': all but the clip's seconds."""
    return path.split("/", 1)[1].removesuffix(".mp3").rsplit("-", 2)[0]


def read_annotations(path: str | Path) -> list[tuple[int, str, str]]:
    """Return (clip_id, mp3_path, 50 characters 0 and 1 in the order of TAGS) of every clip, sorted by clip_id.

    path: annotations_final.csv as published: tab-separated, clip_id, 188 tags, mp3_path.

    Raises DataSetError for absent columns, values other than 0 and 1, and paths that are none of MagnaTagATune's.
    """
    path = Path(path)
    if not path.is_file():
        raise DataSetError(f"There is no {path}. {MTT.get_it}")
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)  # four variants are made of one file
def _read(path: Path, modified: int, size: int) -> list[tuple[int, str, str]]:
    found = {}
    for row in read_rows(path, "\t", ["clip_id", *TAGS, "mp3_path"]):
        clip, where = row["clip_id"], row["mp3_path"]
        bits = "".join([row[tag] for tag in TAGS])
        if not clip.isdecimal() or not _PATH.fullmatch(where) or len(bits) != len(TAGS) or set(bits) - {"0", "1"}:
            raise DataSetError(
                f"{path}: the row of clip {clip!r} ({where!r}) is not a number, 0 or 1 for each tag, and a path like 'f/name-0-29.mp3'."
            )
        if int(clip) in found:
            raise DataSetError(f"{path}: clip {clip} stands twice.")
        found[int(clip)] = (where, bits)
    return [(clip, *found[clip]) for clip in sorted(found)]


def keep(variant: str, clip: int, bits: str) -> bool:
    """Return whether a clip belongs to a variant."""
    if variant == "marble":
        return True
    if clip in BROKEN:
        return False
    return variant == "maest" or ("1" in bits and not (variant == "jongpillee" and clip in NOT_IN_JONGPILLEE))


def derive_table(annotations_csv: str | Path, variant: str = "maest") -> str:
    """Return the groundtruth in its canonical form: a line `clip_id TAB mp3_path TAB split TAB 50 x 0/1` per clip, sorted by clip_id.

    variant: maest (= musicnn), tagged, jongpillee (= minzwon) or marble.

    Raises DataSetError for an unknown variant, and as `read_annotations`.
    """
    return MTT.text(MTT.groundtruth(variant=variant, annotations=annotations_csv))


VARIANTS = {
    "maest": Variant(
        "musicnn's rule (pons2017): without the 3 broken clips, untagged clips kept", 50, (18706, 1825, 5329),
        "b53cb6a1b3e1c46fa9d8298c27e875873235b8deaf5857902170126a551a5846", True,
    ),
    "tagged": Variant(
        "maest without untagged clips", 50, (15247, 1529, 4332), "1c05461bbd4c62c48535592f8bf25184639a11c9bdc967713410f656dd026bf5", True
    ),
    "jongpillee": Variant(
        "tagged without train clips 29, 11268, 11269 (= minzwon's lists)", 50, (15244, 1529, 4332),
        "e3e1aa8e5ffa8225861745a46d1937036263a3cb728705274e81df4ee7752851", True,
    ),
    "marble": Variant("all clips, the broken ones too", 50, (18709, 1825, 5329), None, True),
}  # fmt: skip


@cache  # 25 863 clips have few thousand sets of tags
def _tags(bits: str) -> tuple[str, ...]:
    return tuple(tag for tag, bit in zip(TAGS, bits) if bit == "1")


@cache
def _bits(tags: tuple[str, ...]) -> str:
    return "".join("01"[tag in tags] for tag in TAGS)


class MagnaTagATune(DataSet):
    """MagnaTagATune with the variants of its groundtruth."""

    name = "mtt"
    title = "MagnaTagATune"
    task = "multi-label"
    about = "29 s clips, tags of listeners"
    terms = "CC BY-NC-SA (audio)"
    home = "https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset"
    licence = (
        "Audio of Magnatune under CC BY-NC-SA (no commercial use); the tags were collected by the game TagATune and are published with it. "
        "Nothing of either is part of this project."
    )
    citation = """@inproceedings{law2009evaluation,
  title     = {Evaluation of Algorithms Using Games: The Case of Music Tagging},
  author    = {Law, Edith and West, Kris and Mandel, Michael and Bay, Mert and Downie, J. Stephen},
  booktitle = {Proceedings of the 10th International Society for Music Information Retrieval Conference (ISMIR)},
  year      = {2009},
}"""
    get_it = (
        "`python -m datasets.mtt download` gets the three parts and annotations_final.csv; with a copy of your own give --audio_dir, "
        "the folder that holds 0/ ... f/."
    )
    overlap = "train/test 45 (3284 of 5329 test clips), train/validation 13, validation/test 8 (maest, measured by file names); no track is in two"
    size = "about 3 GB"
    variants = VARIANTS
    audio = "mp3"
    layout = ("<0 to f>/<name>.mp3", r"^[0-9a-f]/[^/]+\.mp3$")
    broken = frozenset(BROKEN.values())
    melspec = "mtt/melspec"  # where the published configs look

    def bundles(self, audio: bool = True) -> list[Bundle]:
        files = [Bundle((Remote(ANNOTATIONS, URL + ANNOTATIONS),))]
        zips = Bundle(tuple(Remote(name, URL + name) for name in PARTS), into=self.audio, max_bytes=12 * 10**9)
        return [*files, zips] if audio else files

    def read(self, source: Path, variant: str) -> LabelTable:
        path = source / ANNOTATIONS if source.is_dir() else source
        rows = [row for row in read_annotations(path) if keep(variant, row[0], row[2])]
        return LabelTable(
            [path for _, path, _ in rows],
            [split_of(path) for _, path, _ in rows],
            list(TAGS),
            labels=[_tags(bits) for _, _, bits in rows],
            group=[artist_of(path) for _, path, _ in rows],
            ids=[str(clip) for clip, _, _ in rows],
            others={"song": [song_of(path) for _, path, _ in rows]},
        )

    def text(self, table: LabelTable) -> str:
        """Return derive_table's form, which is the one with a published hash."""
        assert table.ids is not None
        assert table.labels is not None
        rows = sorted(zip(map(int, table.ids), table.keys, table.split, table.labels), key=lambda row: row[0])
        return "".join(f"{clip}\t{path}\t{split}\t{_bits(tags)}\n" for clip, path, split, tags in rows)


MTT = SET = MagnaTagATune()
download, validate, groundtruth, cite, license = MTT.download, MTT.validate, MTT.groundtruth, MTT.cite, MTT.license
