"""VocalSet: 20 singers, 17 techniques, 10 hours (Wilkins et al., ISMIR 2018). Labels are the folders: <singer>/<exercise>/<technique>/<file>.wav.

technique: ten of them; five singers are the test, the recordings of the others are split 60 : 40. singer: recordings split 48 : 32 : 20. A recording
(singer and file name) is a group: its 3 s pieces never stand in two splits. The split is stratified, with a fixed seed (datasets/splits.py); MARBLE's
depends on numpy's global state and joins unrelated recordings, so its lists cannot be had again.
"""

from __future__ import annotations

import re
from pathlib import Path

from models.audio import find_audio
from models.errors import DataSetError

from ..groundtruth.groundtruth import Groundtruth
from ..groundtruth.splits import stratified_split
from ..published.dataset import DataSet, Variant
from ..published.fetch import Bundle, Remote, without_litter
from ..published.label_table import LabelTable

TECHNIQUES = ("belt", "breathy", "inhaled", "lip_trill", "spoken", "straight", "trill", "trillo", "vibrato", "vocal_fry")
SINGERS = tuple(f"f{k}" for k in range(1, 10)) + tuple(f"m{k}" for k in range(1, 12))
TEST_SINGERS = frozenset({"f2", "f8", "m3", "m5", "m10"})
SEED = 0
_SINGER = re.compile(r"(female|male)(\d+)", re.IGNORECASE)
_OTHER_VIEWS = frozenset({"data_by_technique", "data_by_vowel"})  # the same recordings once more
VARIANTS = {
    "technique": Variant("ten techniques; singers f2, f8, m3, m5, m10 are the test", 10),
    "singer": Variant("who sings", 20),
}


class VocalSet(DataSet):
    """VocalSet, techniques and singers."""

    name = "vocalset"
    title = "VocalSet"
    task = "single-label"
    about = "solo singing, 20 singers"
    terms = "CC BY 4.0"
    home = "https://zenodo.org/records/1442513"
    licence = "CC BY 4.0."
    citation = """@inproceedings{wilkins2018vocalset,
  author    = {Wilkins, Julia and Seetharaman, Prem and Wahl, Alison and Pardo, Bryan},
  title     = {{VocalSet}: A Singing Voice Dataset},
  booktitle = {Proceedings of the 19th International Society for Music Information Retrieval Conference (ISMIR)},
  year      = {2018},
}"""
    get_it = (
        "`python -m datasets.vocalset download` gets version 1.2; with a copy of your own give --audio_dir, a folder with "
        "<singer>/<exercise>/<technique>/ somewhere below it (FULL/ of version 1.0, data_by_singer/ of 1.2)."
    )
    groups = "recordings"
    overlap = "none, by rule; the test singers of technique are in no other split"
    size = "6 GB"
    variants = VARIANTS
    labels_in_audio = True
    layout = ("<singer>/<exercise>/<technique>/<name>.wav", r"(?i)(^|/)(female|male)\d+/(.+/)?[^/]+/[^/]+$")

    def bundles(self, audio: bool = True) -> list[Bundle]:
        remote = Remote(
            "VocalSet1-2.zip", "https://zenodo.org/records/1442513/files/VocalSet1-2.zip?download=1",
            md5="c5e5efab412637fc94972b93c343a2f0", size=5_991_573_193,
        )  # fmt: skip
        return [Bundle((remote,), into=self.audio, max_bytes=20 * 10**9, rename=_by_singer)] if audio else []

    def read(self, source: Path, variant: str) -> LabelTable:
        if not source.is_dir():
            raise DataSetError(f"There is no folder {source}. {self.get_it}")
        rows = [row for name in find_audio(source) if (row := _recording(name)) is not None]
        if variant == "technique":
            rows = [row for row in rows if row[2] in TECHNIQUES]
        if not rows:
            raise DataSetError(f"{source} holds no recordings of VocalSet: there is no {self.layout[0]} below it. {self.get_it}")
        keys, singers, techniques = ([row[i] for row in rows] for i in range(3))
        groups = [f"{singer}/{key.rsplit('/', 1)[-1]}" for key, singer in zip(keys, singers)]
        labels = [(value,) for value in (techniques if variant == "technique" else singers)]
        split = ["test"] * len(rows)
        open_ones = [i for i, singer in enumerate(singers) if variant == "singer" or singer not in TEST_SINGERS]
        if open_ones:
            truth = Groundtruth.from_rows(
                [keys[i] for i in open_ones], [labels[i] for i in open_ones], group=[groups[i] for i in open_ones]
            )
            shares = (0.48, 0.32, 0.2) if variant == "singer" else (0.6, 0.4, 0.0)
            for i, name in zip(open_ones, stratified_split(truth, SEED, shares)):
                split[i] = {"val": "validation"}.get(name, name)
        names = list(TECHNIQUES if variant == "technique" else SINGERS)
        return LabelTable(keys, split, names, labels=labels, group=groups, group_name="recording", others={"singer": singers})


def _by_singer(name: str) -> str | None:
    """Of the archive's views of the same recordings only the one by singer is unpacked."""
    return None if _OTHER_VIEWS & set(name.split("/")) else without_litter(name)


def _recording(name: str) -> tuple[str, str, str] | None:
    """(path, singer, technique) of a file's path; None for what is none of the recordings."""
    parts = name.split("/")
    singer = next((found for part in parts[:-1] if (found := _SINGER.fullmatch(part))), None)
    if singer is None or len(parts) < 3 or _OTHER_VIEWS & set(parts):
        return None
    short = f"{singer[1][0].lower()}{int(singer[2])}"
    return (name, short, parts[-2].strip().lower()) if short in SINGERS else None


VOCALSET = SET = VocalSet()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
