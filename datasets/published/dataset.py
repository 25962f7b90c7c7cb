"""Published data sets, all with the same verbs. A folder of datasets/ per set; command.py is their one command line.

    from datasets.gtzan import GTZAN

    GTZAN.download(folder)                     # where the licence allows; else it says how to get the set
    table = GTZAN.groundtruth(folder)          # LabelTable: path, split, labels, group
    GTZAN.validate(folder)                     # counts, hash, audio that is missing, artists in two splits
    GTZAN.cite(), GTZAN.license()

A set's folder (default datasets/<name>/data, which git ignores) holds what was downloaded, the audio, `groundtruth/<name>-<variant>/` with the
tables and `melspec/` with the track store. Labels are always derived from the user's copy.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from models.bounded_files import read_text
from models.errors import AudioError, DataSetError, listed, nearest

from .. import __path__ as _folders
from ..jobs.cluster import LOCAL, Cluster
from ..prepare import Preparation, prepare
from .fetch import Bundle, fetch
from .label_table import LabelTable

log = logging.getLogger(__name__)
_PACKAGE = __package__.rpartition(".")[0]  # datasets
_DESCRIBES = re.compile(r"\bSET\b")
TASKS = ("multi-label", "single-label", "key", "regression")


def _find() -> tuple[str, ...]:
    """Return the names of all data sets: packages of datasets/ with a command (__main__.py), whose __init__.py describes a SET."""
    commands = [path.parent for folder in _folders for path in Path(folder).glob("*/__main__.py")]
    return tuple(sorted(folder.name for folder in commands if _DESCRIBES.search(read_text(folder / "__init__.py"))))


NAMES = _find()


@dataclass(frozen=True)
class Variant:
    """One groundtruth of a set: what it is, and what it must come out as.

    counts: tracks in train, validation, test; sha256: of the table's canonical text. None: not known; then it is only reported.
    total: tracks in all, where only that is known. measured: whether the figures were reproduced here from the published lists (else they are the
    publisher's).
    """

    about: str
    n_labels: int
    counts: tuple[int | None, int | None, int | None] = (None, None, None)
    sha256: str | None = None
    measured: bool = False
    total: int | None = None


@dataclass
class Validation:
    """What was found of a variant: `problems` (empty when it is as published), and `facts` worth saying."""

    variant: str
    problems: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


class DataSet:
    """A published data set: what is the same for all. A set gives the class attributes, `read`, and `bundles` where it may be downloaded.

    Raises DataSetError when one is made of a class that leaves out what a set must say, or has another task or name than it can have.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    task: ClassVar[str]  # one of TASKS
    about: ClassVar[str]  # what it is, in a few words
    home: ClassVar[str]
    terms: ClassVar[str]  # the licence in a few words
    licence: ClassVar[str]  # of audio and labels, and what follows for the user
    citation: ClassVar[str]  # BibTeX
    get_it: ClassVar[str]  # how to come by what `download` may not fetch, and the layout that is expected
    groups: ClassVar[str] = "artists"  # what a group is
    overlap: ClassVar[str] = "not measured"  # groups that stand in two splits: the figure, and who measured it
    size: ClassVar[str] = "not known"  # of the download, roughly
    variants: ClassVar[Mapping[str, Variant]]
    audio: ClassVar[str] = "audio"  # the audio's folder in the set's own
    melspec: ClassVar[str] = "melspec"  # the mel store's
    broken: ClassVar[frozenset[str]] = frozenset()  # audio files that are known to be broken
    endings: ClassVar[tuple[str, ...]] = ()  # of audio files' names; users' copies have one of them
    layout: ClassVar[tuple[str, str]] = ("", "")  # of audio files' paths: in words, and the pattern that a path fits; "": any
    labels_in_audio: ClassVar[bool] = False  # labels are read off the audio's folders and names

    def __init__(self) -> None:
        kind = type(self)
        where = f"The data set {kind.__name__} ({inspect.getfile(kind)})"
        lacking = [name for name in DataSet.__annotations__ if not hasattr(kind, name)]
        if kind.read is DataSet.read:
            lacking.append("read(source, variant)")
        if lacking:
            raise DataSetError(f"{where} does not say its {listed(lacking, len(lacking))}: docs/new_dataset.md has an example.")
        if self.task not in TASKS:
            raise DataSetError(f"{where} has the task '{self.task}'; a task is {', '.join(TASKS)}.{nearest(self.task, TASKS)}")
        package = kind.__module__.removeprefix(f"{_PACKAGE}.")
        if package != kind.__module__ and package != self.name:
            raise DataSetError(f"{where} is called '{self.name}', and its folder '{package}': give both one name.")

    # -- what a set says of itself

    def bundles(self, audio: bool = True) -> list[Bundle]:
        """Return what `download` gets, with the audio or only what belongs to it; []: the licence does not allow it, or there is no address."""
        return []

    def checksums(self, folder: Path) -> dict[str, str]:
        """Return sha256 by name, of a list that the publisher serves and that was downloaded into `folder`."""
        return {}

    def read(self, source: Path, variant: str) -> LabelTable:
        """Return the table of a variant, from the publisher's own files in `source` (the set's folder, or a single label file)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its labels are read.")

    # -- the verbs

    def download(
        self,
        folder: str | Path | None = None,
        *,
        mirror: str | None = None,
        known: Mapping[str, str] | None = None,
        get: bool = True,
        open_up: bool = True,
        remove_archives: bool = False,
        audio: bool = True,
        labels: bool = True,
    ) -> int:
        """Download and unpack what is lacking; returns how many parts of it needed work (fetch.py).

        mirror: an address that serves the same names. known: sha256 by name. get, open_up: leave one of the two out. audio, labels: False leaves
        the audio out, or the labels and lists.

        Raises DataSetError where the set cannot be downloaded, saying how to get it; else as `fetch`.
        """
        bundles = self.bundles(audio)
        if not bundles and (audio or not self.bundles()):
            raise DataSetError(f"{self.title} cannot be downloaded by this command. {self.how(folder)}")
        if not labels:
            lists = {remote.name for bundle in self.bundles(False) for remote in bundle.parts}
            bundles = [bundle for bundle in bundles if not lists.issuperset(remote.name for remote in bundle.parts)]
        if not bundles:
            return 0
        log.info("Licence: %s", self.licence)
        target, worked = self.folder(folder), 0
        for bundle in bundles:  # the list of checksums may be one of them
            sums = {**self.checksums(target), **(known or {})}
            worked += fetch([bundle], target, get=get, open_up=open_up, mirror=mirror, known=sums, remove=remove_archives)
        return worked

    def prepare(
        self,
        folder: str | Path | None = None,
        *,
        audio_dir: str | Path | None = None,
        jobs: int | None = None,
        cluster: Cluster = LOCAL,
    ) -> Preparation:
        """Make the mel store of the set's audio, `melspec/` in its folder: resumable, on one machine or many, as `datasets.prepare`."""
        audio = self.audio_folder(folder, audio_dir)
        if not audio.is_dir():
            raise AudioError(f"There is no audio in {audio}. {self.how(folder)}")
        return prepare(audio, self.mel_folder(folder), jobs=jobs, cluster=cluster)

    def groundtruth(
        self,
        folder: str | Path | None = None,
        variant: str | None = None,
        *,
        annotations: str | Path | None = None,
        audio_dir: str | Path | None = None,
    ) -> LabelTable:
        """Return the table of a variant (None: the first), derived from the user's copy.

        annotations: the publisher's label file or folder, where it does not stand in the set's folder; audio_dir: the same of the audio.

        Raises DataSetError for an unknown variant, absent files, and files that are not the publisher's.
        """
        variant = self.variant(variant)
        if self.labels_in_audio:
            return self.read(self.audio_folder(folder, audio_dir), variant)
        return self.read(Path(annotations) if annotations else self.folder(folder), variant)

    def write_groundtruth(
        self,
        folder: str | Path | None = None,
        variant: str | None = None,
        *,
        annotations: str | Path | None = None,
        audio_dir: str | Path | None = None,
    ) -> Path:
        """Write `groundtruth` as files, in groundtruth/<name>-<variant>/ of the set's folder; returns that folder. What stands there is left.

        Paths end as the audio files do that are there.
        """
        variant = self.variant(variant)
        table = self.groundtruth(folder, variant, annotations=annotations, audio_dir=audio_dir)
        table = self.as_on_disk(table, self.audio_folder(folder, audio_dir))
        out = self.groundtruth_folder(folder, variant)
        state = "written" if table.write(out) else "stands"
        log.info("%s %s: %s; %s %s.", self.name, variant, _counted(table.counts), out, state)
        return out

    def validate(
        self,
        folder: str | Path | None = None,
        variant: str | None = None,
        *,
        annotations: str | Path | None = None,
        audio_dir: str | Path | None = None,
    ) -> Validation:
        """Compare the user's copy with what was published: counts, hash, labels without tracks, audio that is missing or empty, overlaps."""
        variant = self.variant(variant)
        expected, found = self.variants[variant], Validation(variant)
        table = self.groundtruth(folder, variant, annotations=annotations, audio_dir=audio_dir)
        found.facts.append(f"{_counted(table.counts)}, {len(table.names)} {'values' if table.values else 'labels'}")
        if any(wanted not in (None, n) for wanted, n in zip(expected.counts, table.counts)):
            found.problems.append(f"{_counted(table.counts)}; published are {_counted(expected.counts)}")
        if expected.total not in (None, len(table)):
            found.problems.append(f"{len(table)} tracks; published are {expected.total}")
        digest = self.digest(table)
        if expected.sha256 is None:
            found.facts.append(f"sha256 of the table {digest} (there is no known one to compare with)")
        elif digest == expected.sha256:
            found.facts.append(f"sha256 of the table {digest[:12]}..., as it should be")
        else:
            found.problems.append(f"sha256 of the table is {digest}, wanted {expected.sha256}")
        if table.labels is not None:
            used = {label for row in table.labels for label in row}
            if unused := [name for name in table.names if name not in used]:
                found.facts.append(f"{len(unused)} labels have no track: {listed(unused, 5)}")
        overlaps = table.overlaps()
        for o in overlaps:
            found.facts.append(f"{o.groups} {self.groups} of {o.first} are in {o.second} too ({o.tracks} tracks of {o.second})")
        if len(overlaps) < 3:  # of some splits the groups are not known
            found.facts.append(f"{self.groups} in two splits: {self.overlap}")
        audio = self.audio_folder(folder, audio_dir)
        if audio.is_dir():
            self._check_audio(found, self.as_on_disk(table, audio), audio)
        else:
            found.problems.append(f"there is no audio in {audio}. {self.how(folder)}")
        return found

    def cite(self) -> str:
        """Return the citation in BibTeX."""
        return self.citation.strip() + "\n"

    def license(self) -> str:
        """Return the licence, and what follows from it."""
        return f"{self.title} ({self.home})\n{self.licence}\n{self.get_it}\n"

    def how(self, folder: str | Path | None = None) -> str:
        """Return how to get it, with the set's folder as it is."""
        return self.get_it.replace(f"datasets/{self.name}/data", str(folder)) if folder is not None else self.get_it

    # -- places

    def folder(self, folder: str | Path | None = None) -> Path:
        """Return the set's folder: datasets/<name>/data unless said."""
        return Path(folder) if folder is not None else Path(inspect.getfile(type(self))).resolve().parent / "data"

    def audio_folder(self, folder: str | Path | None = None, audio_dir: str | Path | None = None) -> Path:
        """Return where the audio stands."""
        return Path(audio_dir) if audio_dir is not None else self.folder(folder) / self.audio

    def mel_folder(self, folder: str | Path | None = None) -> Path:
        """Return where the mel store goes."""
        return self.folder(folder) / self.melspec

    def groundtruth_folder(self, folder: str | Path | None = None, variant: str | None = None) -> Path:
        """Return where the tables of a variant go."""
        return self.folder(folder) / "groundtruth" / f"{self.name}-{self.variant(variant)}"

    def variant(self, name: str | None) -> str:
        """Return `name` checked; None is the first. Raises DataSetError with the nearest name, or where its package describes none."""
        if name is None:
            return next(iter(self.variants))
        if name not in self.variants:
            raise DataSetError(
                f"{self.title} has no variant '{name}'; it has {', '.join(self.variants)}.{nearest(name, self.variants)}"
            )
        return name

    def as_on_disk(self, table: LabelTable, audio: Path) -> LabelTable:
        """Return the table with the ending of `endings` that the audio files in a folder have: the one that fits most of them."""
        if len(self.endings) < 2 or not audio.is_dir():
            return table
        stems = [next((key.removesuffix(end) for end in self.endings if key.endswith(end)), key) for key in table.keys]
        fits = {end: sum((audio / (stem + end)).is_file() for stem in stems) for end in self.endings}
        best = max(fits, key=fits.__getitem__)
        return replace(table, keys=[stem + best for stem in stems]) if fits[best] else table

    def text(self, table: LabelTable) -> str:
        """Return the canonical text, whose hash is compared with the published one."""
        return table.canonical()

    def digest(self, table: LabelTable) -> str:
        """Return SHA-256 of that text."""
        return hashlib.sha256(self.text(table).encode("utf-8", errors="surrogateescape")).hexdigest()

    def _check_audio(self, found: Validation, table: LabelTable, folder: Path) -> None:
        missing, empty = [], []
        if known := sorted(self.broken & set(table.keys)):
            found.facts.append(f"{len(known)} clips that are known to be broken belong to it: {listed(known)}")
        keys = [key for key in table.keys if key not in self.broken]
        for key in keys:
            path = folder / key
            if not path.is_file():
                missing.append(key)
            elif path.stat().st_size == 0:
                empty.append(key)
        for what, names in (("missing", missing), ("empty", empty)):
            if names:
                found.problems.append(f"{len(names)} of {len(keys)} audio files are {what} in {folder}: {listed(names, 5)}")
        if not missing and not empty:
            found.facts.append(f"all {len(keys)} audio files are in {folder}")


def _counted(counts: tuple[int | None, ...]) -> str:
    return "/".join("?" if n is None else str(n) for n in counts) + " tracks (train/validation/test)"


def get_set(name: str) -> DataSet:
    """Return a data set by its name. Raises DataSetError with the nearest name, or where its package describes none."""
    if name not in NAMES:
        raise DataSetError(f"There is no data set '{name}'; there are {', '.join(NAMES)}.{nearest(name, NAMES)}")
    found = getattr(importlib.import_module(f"..{name}", __package__), "SET", None)
    if not isinstance(found, DataSet):
        raise DataSetError(f"datasets/{name}/__init__.py describes no data set: SET is wanted there, an instance of a DataSet.")
    return found
