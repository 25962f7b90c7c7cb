"""Million Song Dataset with Last.fm tags: a reader of lists that the user has (Bertin-Mahieux et al., ISMIR 2011). No audio can be obtained.

standard: the usual split of 50 tags (not by artist); cals: cleaned and by artist (Won et al., 2021). Files in the set's folder, per variant:
`<variant>-train.tsv`, `<variant>-validation.tsv`, `<variant>-test.tsv`, lines `msd_id TAB json`, where json is a list of tags, or of 0 and 1 in the
order of `<variant>-labels.txt`. The standard split is also read from the published pickles (filtered_list_train.cP, filtered_list_test.cP,
msd_id_to_tag_vector.cP, 50tagList.txt), through the reader that runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from models.bounded_files import MOST_TABLE, open_regular, parsed, read_text
from models.errors import DataSetError, GroundtruthError

from ..groundtruth import safe_pickle
from ..published.dataset import DataSet, Variant
from ..published.label_table import SPLITS, LabelTable

N_TRAIN = 201680  # the first ids of filtered_list_train.cP; the others are validation
_ID = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")
VARIANTS = {
    "standard": Variant("50 Last.fm tags, the usual split, not by artist", 50, (201680, 11774, 28435)),
    "cals": Variant("50 tags, cleaned, split by artist", 50, (163504, 34730, 34913)),
}


class MillionSongs(DataSet):
    """Lists of the Million Song Dataset."""

    name = "msd"
    title = "Million Song Dataset"
    task = "multi-label"
    about = "lists of tags of a million songs"
    terms = "research; Last.fm tags not commercial"
    home = "http://millionsongdataset.com"
    licence = (
        "Metadata for research; Last.fm tags for no commercial use. The audio (7digital's previews) cannot be obtained any more."
    )
    citation = """@inproceedings{bertin2011million,
  author    = {Bertin-Mahieux, Thierry and Ellis, Daniel P. W. and Whitman, Brian and Lamere, Paul},
  title     = {The Million Song Dataset},
  booktitle = {Proceedings of the 12th International Society for Music Information Retrieval Conference (ISMIR)},
  year      = {2011},
}"""
    get_it = (
        "Place lists of your own in datasets/msd/data/: <variant>-train.tsv, -validation.tsv, -test.tsv, lines `msd_id TAB json list of tags`; with "
        "MSD_id_to_7D_id.pkl and 7D_id_to_path.pkl beside them paths are those of the previews, else <msd_id>.mp3."
    )
    overlap = "standard: not split by artist; cals: none, by its authors' rule; the lists name no artist"
    size = "-"
    variants = VARIANTS

    def read(self, source: Path, variant: str) -> LabelTable:
        if (source / f"{variant}-train.tsv").is_file():
            keys, split, labels, names = _from_tsv(source, variant)
        elif variant == "standard" and (source / "filtered_list_train.cP").is_file():
            keys, split, labels, names = _from_pickles(source)
        else:
            raise DataSetError(f"There is no {variant}-train.tsv in {source}. {self.how(source)}")
        if odd := [key for key in keys if not _ID.fullmatch(key)]:
            raise DataSetError(f"{source}: {odd[0]!r} is no id of the Million Song Dataset ({len(odd)} are not).")
        paths = _preview_paths(source)
        return LabelTable([paths.get(key, f"{key}.mp3") for key in keys], split, names, labels=labels, ids=keys)


Columns = tuple[list[str], list[str], list[tuple[str, ...]], list[str]]  # keys, split, labels, names of the labels


def _from_tsv(source: Path, variant: str) -> Columns:
    order = source / f"{variant}-labels.txt"
    names = _text(order).split("\n") if order.is_file() else []
    names = [name.strip() for name in names if name.strip()]
    keys, split, labels = [], [], []
    for part in SPLITS:
        for key, value in _lines(source / f"{variant}-{part}.tsv"):
            keys.append(key)
            split.append(part)
            labels.append(_tags(key, value, names))
    return keys, split, labels, names or sorted({tag for row in labels for tag in row})


def _lines(path: Path) -> Iterator[tuple[str, object]]:
    try:
        with open_regular(path, DataSetError, MOST_TABLE, "r", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                key, tab, text = line.rstrip("\n").partition("\t")
                if not tab:
                    raise DataSetError(f"{path}, line {number}: `msd_id TAB json` is wanted.")
                try:
                    value = parsed(text)
                except ValueError as error:
                    raise DataSetError(f"{path}, line {number}: {error}.") from None
                yield key, value
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} cannot be read: {error}.") from None


def _tags(key: str, value: object, names: list[str]) -> tuple[str, ...]:
    """A list of tags, or of 0 and 1 in the order of `names`."""
    if isinstance(value, list) and all(isinstance(tag, str) for tag in value):
        return tuple(value)
    if isinstance(value, list) and names and len(value) == len(names) and all(bit in (0, 1) for bit in value):
        return tuple(name for name, bit in zip(names, value) if bit)
    raise DataSetError(f"The labels of {key} are neither a list of tags nor {len(names) or 'as many as named'} numbers 0 and 1.")


def _from_pickles(source: Path) -> Columns:
    development, test, vectors = (
        _load(source / name) for name in ("filtered_list_train.cP", "filtered_list_test.cP", "msd_id_to_tag_vector.cP")
    )
    if not isinstance(development, list) or not isinstance(test, list) or not isinstance(vectors, dict):
        raise DataSetError(f"{source}: lists of ids and a dict of tag vectors are wanted in the .cP files.")
    names = [line.strip() for line in _text(source / "50tagList.txt").splitlines() if line.strip()]
    keys = [str(key) for key in (*development, *test)]
    n_validation = max(len(development) - N_TRAIN, 0)
    split = ["train"] * (len(development) - n_validation) + ["validation"] * n_validation + ["test"] * len(test)
    if absent := [key for key in keys if key not in vectors]:
        raise DataSetError(f"{source}: {len(absent)} ids have no tag vector, {absent[0]} first.")
    labels = [_tags(key, [int(x) for x in vectors[key]], names) for key in keys]
    return keys, split, labels, names


def _preview_paths(source: Path) -> dict[str, str]:
    """msd_id -> path of the preview, where both of the published maps are there."""
    files = source / "MSD_id_to_7D_id.pkl", source / "7D_id_to_path.pkl"
    if not all(file.is_file() for file in files):
        return {}
    numbers, paths = (_load(file) for file in files)
    if not isinstance(numbers, dict) or not isinstance(paths, dict):
        raise DataSetError(f"{source}: the two .pkl files should hold a dict each.")
    found = {str(key): str(paths[number]) for key, number in numbers.items() if number in paths}
    if odd := next((path for path in found.values() if path.startswith("/") or ".." in path.split("/")), None):
        raise DataSetError(f"{files[1]}: {odd!r} is no path below the audio's folder.")
    return found


def _text(path: Path) -> str:
    try:
        return read_text(path, error=DataSetError)
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} cannot be read: {error}.") from None


def _load(path: Path) -> object:
    try:
        return safe_pickle.load(path)
    except (GroundtruthError, OSError) as error:
        raise DataSetError(f"{path}: {error}") from None


MSD = SET = MillionSongs()
download, validate, groundtruth, cite, license = SET.download, SET.validate, SET.groundtruth, SET.cite, SET.license
