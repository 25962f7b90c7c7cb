"""The command line of preparation: `python -m datasets.prepare AUDIO_DIR OUT`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from models.errors import AudioError, ClusterError, StoreError

from ..jobs.cluster import Cluster
from ..utils.exit_codes import EXIT_INTERRUPTED, EXIT_STOPPED
from ..utils.terminal import begin_in_utf8, print_any_text
from .failures import FAILED_FILE
from .features import MAX_SECONDS
from .preparation import prepare

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    if argv is None:
        begin_in_utf8()
    parser = argparse.ArgumentParser(
        prog="python -m datasets.prepare",
        description="Turn a folder of audio (searched through) into a track store that training, extraction and probes read.",
        epilog="Exit code: 0 every file is in the store; 3 some files were bad (see OUT/failed.csv) or have changed since; 2 it could not "
        "start or go on, the message says why; 130 interrupted. After a kill or a full disk the same command goes on where it stopped.",
    )
    parser.add_argument("audio_dir", metavar="AUDIO_DIR", help="folder of audio files: wav, flac, ogg, opus, mp3, m4a, ...")
    parser.add_argument("out", metavar="OUT", help="folder for the store; made when absent")
    parser.add_argument(
        "--waveform", metavar="RATE", type=int, help="store mono samples at RATE Hz (int16) instead of mel frames"
    )
    parser.add_argument("--jobs", metavar="N", type=int, help="worker processes (default: one per usable core)")
    parser.add_argument(
        "--max-seconds", metavar="S", type=float, default=MAX_SECONDS,
        help="cut longer tracks to S seconds around their middle; 0 keeps all (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--shard-tracks", metavar="K", type=int, help="make the store in shards of K files, each whole by one worker"
    )
    parser.add_argument(
        "--scheduler",
        metavar="WHERE",
        help="work on a dask cluster: tcp://HOST:8786, a scheduler file (NAME.json), or slurm (docs/scale.md)",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="of --scheduler slurm: jobs to ask for")
    parser.add_argument(
        "--retry", action="store_true", help="try the files of failed.csv again, also those that have not changed"
    )
    print_any_text()
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error("--jobs is 1 or more")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it tells of its caches at the end
    try:
        done = prepare(
            args.audio_dir,
            args.out,
            args.waveform,
            args.jobs,
            args.max_seconds,
            args.retry,
            args.shard_tracks,
            Cluster(args.scheduler, args.workers),
        )
    except (AudioError, StoreError, ClusterError) as error:
        log.error("%s", error)
        return EXIT_STOPPED
    except OSError as error:
        log.error("%s: %s.", error.filename or args.out, error.strerror or error)
        return EXIT_STOPPED
    except KeyboardInterrupt:
        log.error("Interrupted. The same command goes on where it stopped.")
        return EXIT_INTERRUPTED
    log.info("%s", done.summary())
    if done.failed:
        log.warning("%d files could not be used: %s.", len(done.failed), Path(args.out) / FAILED_FILE)
    return done.exit_code
