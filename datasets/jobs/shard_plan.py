"""Work shared by many: which tracks make which shard of a store, what became of each shard, and the manifest of all.

The plan (plan.jsonl, a line per shard with its names, and their files' marks: file_marks.py) is written before the work and only added to, so that a
shard holds the same tracks whoever makes it and however often the work is interrupted. A shard's record (records/NAME.json) is written by who
made it, before the shard is sealed: a shard is done when its record stands and, unless none of its tracks could be used, its sealed file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.bounded_files import MOST_TABLE, open_regular, parsed, read_json
from models.errors import StoreError

from ..store import files as store_files
from ..store.track_store import TrackStore, shard_path
from ..utils.files import write_whole
from .file_marks import SIZE

PLAN_FILE = "plan.jsonl"
MOST_LINE = 1 << 28  # bytes of a line: the names of a shard
RECORDS = "records"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Planned:
    """One shard of a plan: its number, its tracks, the byte of the plan at which its line begins, and the marks of its files ("": not kept)."""

    shard: int
    names: list[str]
    place: int
    marks: str = ""

    @property
    def marked(self) -> Iterator[tuple[str, str]]:
        """(name, mark of its file), where they were kept."""
        return zip(self.names, (self.marks[at : at + SIZE] for at in range(0, len(self.marks), SIZE)))


class Plan:
    """The plan of a folder, `size` tracks to a shard. Raises StoreError for one of another size, or damaged."""

    def __init__(self, folder: Path, size: int):
        self.path, self.size = folder / PLAN_FILE, size
        self.shards: list[Planned] = []
        self._end = 0
        if not self.path.is_file():
            return
        with open_regular(self.path, StoreError, MOST_TABLE) as file:
            place = 0
            for number, line in enumerate(iter(lambda: file.readline(MOST_LINE), b"")):
                entry = _entry(self.path, line, number)
                if entry["of"] != size:
                    raise StoreError(
                        f"{folder} was begun with {entry['of']} tracks to a shard, now {size}. Go on with {entry['of']}, or choose another folder."
                    )
                self.shards.append(Planned(number, entry["names"], place, entry.get("marks", "")))
                place += len(line)
            self._end = place

    @staticmethod
    def size_of(folder: Path) -> int | None:
        """Return tracks to a shard of the folder's plan; None without one."""
        path = folder / PLAN_FILE
        if not path.is_file():
            return None
        with open_regular(path, StoreError, MOST_TABLE) as file:
            line = file.readline(MOST_LINE)
        return int(_entry(path, line, 0)["of"]) if line else None

    def add(self, names: Sequence[str], mark: Callable[[str], str] | None = None) -> None:
        """Add shards of these tracks, in their order, behind what there is. They are written at once or not at all. mark: of a track's
        file, as it is now.
        """
        if not names:
            return
        for begin in range(0, len(names), self.size):
            part = list(names[begin : begin + self.size])
            self.shards.append(Planned(len(self.shards), part, 0, "".join(map(mark, part)) if mark else ""))
        self._write()

    def mark_again(self, marks: Mapping[int, Mapping[str, str]]) -> None:
        """Set other marks for tracks {shard: {name: mark}} that are still to be made."""
        before = self.shards
        self.shards = [
            replace(one, marks="".join(marks[one.shard].get(name, mark) for name, mark in one.marked))
            if one.shard in marks
            else one
            for one in before
        ]
        if self.shards != before:
            self._write()

    def drop_last(self, n: int) -> None:
        """Forget the last `n` shards."""
        if n:
            self.shards = self.shards[: len(self.shards) - n]
            self._write()

    def _write(self) -> None:
        lines, place, placed = [], 0, []
        for one in self.shards:
            entry = {"shard": one.shard, "of": self.size, "names": one.names, **({"marks": one.marks} if one.marks else {})}
            line = (json.dumps(entry) + "\n").encode()
            placed.append(replace(one, place=place))
            lines.append(line)
            place += len(line)
        write_whole(self.path, b"".join(lines))
        self.shards = placed


def _entry(path: Path, line: bytes, number: int) -> dict:
    try:
        entry = parsed(line)
        if entry["shard"] != number or not isinstance(entry["of"], int) or not isinstance(entry["names"], list):
            raise ValueError("another shard's line")
        if not isinstance(entry.get("marks", ""), str) or len(entry.get("marks", "")) not in (0, SIZE * len(entry["names"])):
            raise ValueError("its marks are not as many as its names")
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is damaged at line {number + 1} ({error}). Restore it, or choose another folder.") from None
    return entry


def planned_names(folder: Path, shard: int, place: int) -> list[str]:
    """Return the tracks of a shard, for who makes it: one line of the plan is read, not all."""
    path = folder / PLAN_FILE
    with open_regular(path, StoreError, MOST_TABLE) as file:
        file.seek(place)
        return _entry(path, file.readline(MOST_LINE), shard)["names"]


# -- records


@dataclass(frozen=True)
class Record:
    """What became of a shard: tracks in it, and why others are not: {name: (reason, lasting)}."""

    tracks: int
    failed: dict[str, tuple[str, bool]]

    def write(self, base: Path, shard: int) -> None:
        """Write it beside the store, whole or not at all."""
        path = record_path(base, shard)
        path.parent.mkdir(exist_ok=True)
        content = json.dumps({"tracks": self.tracks, "failed": self.failed}) + "\n"
        write_whole(path, content)


def record_path(base: Path, shard: int) -> Path:
    """Return where a shard's record stands."""
    return base.parent / RECORDS / (shard_path(base, shard).stem + ".json")


def read_record(base: Path, shard: int) -> Record | None:
    """Return the record of a shard that is done; None when it is not. Raises StoreError for a damaged record."""
    path = record_path(base, shard)
    if not path.is_file():
        return None
    try:
        entry = read_json(path)
        record = Record(int(entry["tracks"]), {name: (why, bool(lasting)) for name, (why, lasting) in entry["failed"].items()})
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is damaged ({error}). Remove it: the shard's files are then looked at again.") from None
    return record if record.tracks == 0 or TrackStore.state(base, shard) == "sealed" else None


def drop_record(base: Path, shard: int) -> None:
    """Forget a shard without tracks."""
    record_path(base, shard).unlink(missing_ok=True)


# -- the end


def write_manifest(base: Path, settings: dict, shards: Iterator[int]) -> Path:
    """Write manifest.json beside the store: settings, and of every sealed shard its file, tracks, items, bytes and checksum.

    The checksum is the CRC-32 over those of its tracks: equal for equal contents, whoever made them. Raises StoreError for a damaged shard.
    """
    entries: list[dict[str, Any]] = []
    for shard in shards:
        index = store_files.read_sealed(shard_path(base, shard))
        entries.append(
            {
                "file": index.path.name,
                "tracks": len(index.names),
                "items": index.n_items,
                "bytes": index.path.stat().st_size,
                "crc32": f"{zlib.crc32(index.crcs.astype('<u4').tobytes()):08x}",
                "first": index.names[0],
                "last": index.names[-1],
            }
        )
    sums = {key: sum(entry[key] for entry in entries) for key in ("tracks", "items", "bytes")}
    path = base.parent / MANIFEST
    content = json.dumps({"store": base.name, "settings": settings, **sums, "shards": entries}, indent=1) + "\n"
    write_whole(path, content)
    return path
