"""NSynth: 305 979 notes of 4 s at 16 kHz (Engel et al., ICML 2017). Instrument family (11) or MIDI pitch (128); the publisher's split."""

from __future__ import annotations

from pathlib import Path

from models.bounded_files import read_json
from models.errors import DataSetError

from ..published.dataset import DataSet, Variant
from ..published.fetch import Bundle, Remote
from ..published.label_table import LabelTable

URL = "https://storage.googleapis.com/magentadata/datasets/nsynth/"
FOLDERS = {"train": "nsynth-train", "validation": "nsynth-valid", "test": "nsynth-test"}
FAMILIES = ("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string", "synth_lead", "vocal")
PITCHES = tuple(str(pitch) for pitch in range(128))
_COUNTS = (289205, 12678, 4096)
VARIANTS = {
    "instrument": Variant("family of the instrument", 11, _COUNTS),
    "pitch": Variant("MIDI number of the note, 0 to 127", 128, _COUNTS),
}


class NSynth(DataSet):
    """NSynth notes."""

    name = "nsynth"
    title = "NSynth"
    task = "single-label"
    about = "notes of 4 s"
    terms = "CC BY 4.0"
    home = "https://magenta.tensorflow.org/datasets/nsynth"
    licence = "CC BY 4.0 (Google)."
    citation = """@inproceedings{engel2017neural,
  author    = {Engel, Jesse and Resnick, Cinjon and Roberts, Adam and Dieleman, Sander and Norouzi, Mohammad and Eck, Douglas and Simonyan, Karen},
  title     = {Neural Audio Synthesis of Musical Notes with {WaveNet} Autoencoders},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning (ICML)},
  year      = {2017},
}"""
    get_it = (
        "`python -m datasets.nsynth download` gets the three archives; a copy of your own has nsynth-train/, nsynth-valid/ and nsynth-test/ with "
        "examples.json and audio/ each: name the folder that holds them with --data_dir."
    )
    groups = "instruments"
    overlap = "none of train's in validation or test, the publisher says; validate counts them"
    size = "about 25 GB"
    variants = VARIANTS
    audio = "."
    layout = ("nsynth-<train, valid or test>/audio/<note>.wav", r"^nsynth-(train|valid|test)/audio/[^/]+\.wav$")

    def bundles(self, audio: bool = True) -> list[Bundle]:
        if not audio:
            return []
        names = [(folder, f"{folder}.jsonwav.tar.gz") for folder in FOLDERS.values()]
        limits = {"nsynth-train": 60 * 10**9}
        return [Bundle((Remote(name, URL + name),), into=".", max_bytes=limits.get(folder, 3 * 10**9)) for folder, name in names]

    def read(self, source: Path, variant: str) -> LabelTable:
        keys, split, labels, groups = [], [], [], []
        for name, folder in FOLDERS.items():
            path = source / folder / "examples.json"
            for note, about in _examples(path).items():
                label = about.get("instrument_family_str") if variant == "instrument" else str(about.get("pitch"))
                if label not in (FAMILIES if variant == "instrument" else PITCHES) or not _plain(note):
                    raise DataSetError(f"{path}: the {variant} of {note!r} is {label!r}. Is it the original file?")
                keys.append(f"{folder}/audio/{note}.wav")
                split.append(name)
                labels.append((str(label),))
                groups.append(str(about.get("instrument_str", "")))
        return LabelTable(
            keys,
            split,
            list(FAMILIES if variant == "instrument" else PITCHES),
            labels=labels,
            group=groups,
            group_name="instrument",
        )


def _examples(path: Path) -> dict[str, dict]:
    try:
        found = read_json(path, 4 << 30)
    except (OSError, ValueError) as error:
        raise DataSetError(f"{path} cannot be read ({error}). {SET.get_it}") from None
    if not isinstance(found, dict) or not all(isinstance(about, dict) for about in found.values()):
        raise DataSetError(f"{path}: an object of notes is wanted.")
    return found


def _plain(name: str) -> bool:
    return not set(name) & {"/", "\\", "\0"} and name not in ("", ".", "..")


NSYNTH = SET = NSynth()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
