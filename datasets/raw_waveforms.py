"""Raw waveforms to one store: `python -m datasets.raw_waveforms FOLDER OUT.h5 --filelist LIST --rate 16000 --type float16`.

OMAR-RQ's published layout: a headerless file of little-endian samples per track, mono, by the suffix `.mmap`, and text files that list the paths of a
split, relative to the folder. Samples are float16, or 16-bit integers; a file does not say which of them, so that the command is told.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from models.bounded_files import check_regular, read_text
from models.errors import StoreError, listed

from .store.layouts import MMAP, safe_path
from .store.track_store import TrackStore
from .utils.progress import JobProgress

log = logging.getLogger(__name__)
SampleType = Literal["float16", "int16"]
TYPES: dict[str, np.dtype] = {"float16": np.dtype("<f2"), "int16": np.dtype("<i2")}
FULL_SCALE = 32768
BLOCK = 32 << 20  # bytes that are read at a time
RATES = (100, 768_000)  # Hz
LOUDEST = 100.0  # amplitude from which on float16 samples are said not to be such


def read_filelists(paths: Sequence[str | Path]) -> list[str]:
    """Return the paths that the lists name, a line each, in their order and once. Raises StoreError for a list that cannot be read or is empty."""
    found: dict[str, None] = {}
    for path in paths:
        try:
            lines = read_text(path).splitlines()
        except (OSError, ValueError) as error:
            raise StoreError(f"The file list {path} cannot be read: {error}.") from error
        found.update(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if paths and not found:
        raise StoreError(f"The file lists {listed([str(path) for path in paths])} name no files.")
    return list(found)


def import_waveforms(
    folder: str | Path,
    out: str | Path,
    sample_rate: int = 16000,
    kind: SampleType = "float16",
    filelists: Sequence[str | Path] = (),
) -> Path:
    """Make a sealed waveform store of a folder of raw files; an interrupted import goes on where it stopped. Tracks are named by their paths.

    Args:
        folder: of the files.
        out: the store, NAME.h5.
        sample_rate: Hz of the samples.
        kind: of the samples.
        filelists: of the files that are meant; none: all `.mmap` files below the folder.

    Raises StoreError, before anything is written, for no files, absent ones and names that leave the folder; naming the file, for one that is empty,
    no whole number of samples, or not finite, as samples of another kind mostly are.
    """
    folder = Path(folder)
    if kind not in TYPES:
        raise StoreError(f"Raw samples are {' or '.join(TYPES)}, not {kind}.")
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise StoreError(f"The rate of the samples is {sample_rate} Hz; {RATES[0]} to {RATES[1]} are wanted.")
    names = read_filelists(filelists) if filelists else sorted(p.relative_to(folder).as_posix() for p in folder.rglob(f"*{MMAP}"))
    if not names:
        raise StoreError(f"There are no *{MMAP} files in {folder}.")
    files = {name: safe_path(folder, name, "") for name in names}
    if absent := [name for name, path in files.items() if not path.is_file()]:
        raise StoreError(f"{len(absent)} of {len(names)} files are not in {folder}: {listed(absent, 3)}.")
    attrs = {"kind": "waveform", "front_end": "waveform", "sample_rate": int(sample_rate)}
    if kind == "int16":
        attrs["full_scale"] = FULL_SCALE
    with TrackStore.create(out, (), TYPES[kind], attrs) as writer:
        with JobProgress("Importing", len(names), "files", done=len(writer)) as progress:
            for name, path in files.items():
                if name not in writer:
                    for samples, last in _samples(path, kind):
                        writer.extend(name, samples, last)
                    progress.advance()
        return writer.seal()


def _samples(path: Path, kind: SampleType) -> Iterator[tuple[np.ndarray, bool]]:
    """The samples of a file block by block, and whether one is the last."""
    size = path.stat().st_size
    if size == 0 or size % 2:
        raise StoreError(f"{path} has {size} bytes: raw samples of 2 bytes each are wanted, 1 or more.")
    for start in range(0, size, BLOCK):
        check_regular(path, StoreError)
        samples = np.fromfile(path, dtype=TYPES[kind], count=BLOCK // 2, offset=start)
        if kind == "float16" and not (np.isfinite(samples).all() and np.abs(samples).max() < LOUDEST):
            raise StoreError(
                f"{path} holds no float16 samples: some are not finite, or beyond {LOUDEST:g}. Are they int16 (--type int16)?"
            )
        yield samples, start + BLOCK >= size


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m datasets.raw_waveforms", description="Raw waveform files to one store.")
    parser.add_argument("folder", metavar="FOLDER", help="folder of the files")
    parser.add_argument("out", metavar="OUT.h5", help="the store")
    parser.add_argument(
        "--filelist", action="append", default=[], help="text file of paths relative to FOLDER; may be given again"
    )
    parser.add_argument("--rate", type=int, default=16000, help="Hz of the samples (16000)")
    parser.add_argument("--type", choices=list(TYPES), default="float16", help="of the samples (float16)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        log.info("%s", import_waveforms(args.folder, args.out, args.rate, args.type, args.filelist))
    except StoreError as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
