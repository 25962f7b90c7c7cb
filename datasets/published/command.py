"""The one command line of all data sets: `python -m datasets.gtzan VERB ...`.

Without a verb all steps are done: download, prepare, groundtruth, validate. Each is resumable and does nothing where its result stands.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from models.audio import find_audio
from models.errors import AudioError, ClusterError, DataSetError, StoreError

from ..jobs.cluster import Cluster
from ..utils.exit_codes import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_BAD, EXIT_STOPPED
from ..utils.files import write_whole
from ..utils.terminal import begin_in_utf8, print_any_text
from .dataset import DataSet
from .fetch import read_sums

log = logging.getLogger(__name__)
STEPS = ("download", "unpack", "prepare", "groundtruth", "validate")
VERBS = ("all", *STEPS, "cite", "license")


def parser_for(data: DataSet) -> argparse.ArgumentParser:
    """Return the options, the same for every set."""
    parser = argparse.ArgumentParser(
        prog=f"python -m datasets.{data.name}",
        description=f"{data.title}. {data.licence}",
        epilog="Exit code: 0 all is as published; 3 something is missing or differs, the lines say what; 2 it could not start or go on; "
        "130 interrupted. After a kill, a cut or a full disk the same command goes on where it stopped.",
    )
    add = parser.add_argument
    add("verb", nargs="?", default="all", choices=VERBS, help="a single step (default: all of them)")
    add("--data_dir", metavar="DIR", help=f"the set's folder (default: datasets/{data.name}/data)")
    add("--audio_dir", metavar="DIR", help="the audio, where you have it already; it is not downloaded then")
    add("--annotations", metavar="PATH", help="the publisher's label file or folder, where it is not in DIR")
    add("--variant", choices=list(data.variants), help="one groundtruth only (default: all of them)")
    add("--table", metavar="OUT", help="only write the canonical text of the groundtruth to OUT")
    add("--mirror", metavar="URL", help="an address that serves the same files under the same names")
    add("--sha256", metavar="FILE", help="checksums of the downloads, as sha256sum writes them")
    add("--remove_archives", action="store_true", help="remove each archive once it is unpacked")
    add("--skip", nargs="+", default=[], choices=STEPS, metavar="STEP", help=f"steps to leave out: {', '.join(STEPS)}")
    add("--jobs", metavar="N", type=int, help="worker processes of the preparation (default: one per usable core)")
    add("--scheduler", metavar="WHERE", help="prepare on a dask cluster, as `python -m datasets.prepare --scheduler`")
    add("--workers", metavar="N", type=int, help="of --scheduler slurm: jobs to ask for")
    return parser


def main(data: DataSet, argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    if argv is None:
        begin_in_utf8()
    parser = parser_for(data)
    print_any_text()
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error("--jobs is 1 or more")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it tells of its caches at the end
    if args.verb in ("cite", "license"):
        sys.stdout.write(data.cite() if args.verb == "cite" else data.license())
        return EXIT_OK
    try:
        return _run(data, args)
    except (DataSetError, AudioError, StoreError, ClusterError) as error:
        log.error("%s", error)
    except OSError as error:  # DownloadError too
        log.error("%s", f"{error.filename}: {error.strerror}." if error.filename else error)
    except KeyboardInterrupt:
        log.error("Interrupted. The same command goes on where it stopped.")
        return EXIT_INTERRUPTED
    return EXIT_STOPPED


def _run(data: DataSet, args: argparse.Namespace) -> int:
    _check_copy(data, args.audio_dir, args.annotations)
    source = {"annotations": args.annotations, "audio_dir": args.audio_dir}
    if args.table:
        table = data.groundtruth(args.data_dir, args.variant, **source)
        write_whole(args.table, data.text(table))
        log.info("%s: %d tracks, sha256 %s.", args.table, len(table), data.digest(table))
        return EXIT_OK
    steps = [step for step in (STEPS if args.verb == "all" else (args.verb,)) if step not in args.skip]
    code = EXIT_OK
    if "download" in steps or "unpack" in steps:
        _download(data, args, steps)
    if "prepare" in steps:
        code = max(code, _prepare(data, args))
    variants = [args.variant] if args.variant else list(data.variants)
    for variant in variants:
        if "groundtruth" in steps:
            data.write_groundtruth(args.data_dir, variant, **source)
    for variant in variants:
        if "validate" in steps:
            found = data.validate(args.data_dir, variant, **source)
            for line in found.facts:
                log.info("%s %s: %s.", data.name, variant, line)
            for line in found.problems:
                log.warning("%s %s: %s", data.name, variant, line)
            if not found.ok:
                code = EXIT_SOME_BAD
    return code


def _check_copy(data: DataSet, audio_dir: str | None, annotations: str | None) -> None:
    """Before any work: the user's copy is where it is said to be. Raises AudioError or DataSetError."""
    if annotations is not None and not Path(annotations).exists():
        raise DataSetError(f"--annotations is {annotations}, and there is nothing.")
    if audio_dir is None:
        return
    words, pattern = data.layout
    if not Path(audio_dir).is_dir():
        raise AudioError(
            f"--audio_dir is {audio_dir}, which is not a folder. Wanted is the one with {words or 'the audio files'}."
        )
    names = find_audio(audio_dir)
    fits = re.compile(pattern).search
    if not any(fits(name) for name in names):
        there = f"it has files like {names[0]!r}" if names else "it holds no audio at all"
        above = next((head for head, _, rest in (name.partition("/") for name in names) if rest and fits(rest)), None)
        there += f": give {Path(audio_dir) / above}" if above else ""
        raise AudioError(f"--audio_dir is {audio_dir}, and no file in it is {words or 'audio'} ({data.title}); {there}.")


def _download(data: DataSet, args: argparse.Namespace, steps: Sequence[str]) -> None:
    """Download and unpack; of a set that may not be downloaded `all` goes on with the user's copy."""
    if args.verb == "all" and not data.bundles():
        there = args.audio_dir or data.audio_folder(args.data_dir)
        if Path(there).is_dir():
            log.info("%s is not downloaded by this command; the audio is taken from %s.", data.title, there)
        else:
            log.info("%s is not downloaded. %s", data.title, data.how(args.data_dir))
        return
    data.download(
        args.data_dir,
        mirror=args.mirror,
        known=read_sums(args.sha256) if args.sha256 else None,
        get="download" in steps,
        open_up="unpack" in steps or args.verb == "download",
        remove_archives=args.remove_archives,
        audio=args.audio_dir is None,
        labels=args.annotations is None,
    )


def _prepare(data: DataSet, args: argparse.Namespace) -> int:
    cluster = Cluster(args.scheduler, args.workers)
    done = data.prepare(args.data_dir, audio_dir=args.audio_dir, jobs=args.jobs, cluster=cluster)
    log.info("%s", done.summary())
    unknown = sorted(set(done.failed) - data.broken)
    if known := sorted(set(done.failed) & data.broken):
        log.info("%d files are known to be broken: %s.", len(known), ", ".join(known))
    for name in unknown[:10]:
        log.warning("%s: %s", name, done.failed[name])
    if unknown:
        log.warning("%d files could not be used: %s.", len(unknown), done.store.parent / "failed.csv")
    return EXIT_SOME_BAD if unknown or done.changed else EXIT_OK
