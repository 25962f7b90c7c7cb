"""Shards to one file: `python -m datasets.merge STORE OUT.h5`.

Tracks keep their order and bytes: merged shards of a preparation equal the store that one process makes of the same files in one go.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from models.errors import StoreError

from .store.track_store import TrackStore
from .utils.progress import JobProgress
from .utils.terminal import begin_in_utf8, print_any_text

log = logging.getLogger(__name__)


def merge(source: str | Path, out: str | Path) -> Path:
    """Copy all tracks of a store with its shards (or a folder of stores) into one sealed store at `out`. Goes on where it was stopped.

    Raises StoreError when `out` is sealed already or lies among the sources, the sources do not fit one another, or the disk is full.
    """
    store = TrackStore.open(source)
    if Path(out).resolve() in [path.resolve() for path in store.paths]:
        raise StoreError(f"{out} is one of the stores to be merged. Choose another name, in another folder.")
    with TrackStore.create(out, store.item_shape, store.dtype, store.attrs) as writer:
        with JobProgress("Merging", len(store), "tracks", done=len(writer)) as progress:
            for i, name in enumerate(store.names):
                if name not in writer:
                    writer.append(name, store.read(i))
                    progress.advance()
        return writer.seal()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    if argv is None:
        begin_in_utf8()
    parser = argparse.ArgumentParser(prog="python -m datasets.merge", description="Copy a store's shards into one file.")
    parser.add_argument(
        "store", metavar="STORE", help="a store with shards (mel.h5 of mel.shard-00000.h5, ...), or a folder of stores"
    )
    parser.add_argument("out", metavar="OUT.h5", help="the one file, in another folder")
    print_any_text()
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        log.info("%s", merge(args.store, args.out))
    except StoreError as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
