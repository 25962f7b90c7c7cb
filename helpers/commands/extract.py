"""The commands that extract: embeddings and logits of every window of every track."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from datasets.groundtruth.groundtruth import match
from datasets.jobs.cluster import check_place
from datasets.jobs.shard_plan import Plan
from datasets.prepare.failures import why_absent
from datasets.store.track_store import TrackStore
from models.backends import check_backend, precision_on, with_backend
from models.bounded_files import check_writable
from models.encoder import AudioEncoder
from models.errors import ConfigError, GroundtruthError, StoreMismatchError
from models.onnx_windows import INT8, ONNX, check_length
from models.weights.checkpoints import HEAD
from models.weights.task_head import OWN_HEADS, head_of
from models.windows import Tail

from ..data.find import Tracks
from ..data.heard import read_heard
from ..extraction.extract import Extraction, ExtractionSettings
from ..extraction.extract import extract_embeddings as to_embeddings
from ..extraction.extract import extract_logits as to_logits
from ..extraction.made_of import MadeOf, folder_of
from ..extraction.outputs import Pool, begun_precision
from ..extraction.shards import Place, Recipe, extract_in_shards
from ..families.base import Config
from ..reports.wording import RANDOM, RANDOM_WEIGHTS
from ..runtime.devices import AUTO
from ..runtime.place import is_first_process
from .context import Context
from .networks import Loaded, as_trained, check_precision, load_network

log = logging.getLogger(__name__)
HEADS = (*OWN_HEADS, HEAD)  # parameters of classes: the family's, and a fine-tuning's


def extract_embeddings(context: Context) -> dict[str, str]:
    """Vectors of predict.transformer_block for every window of every track, a store per block below predict.out_dir. Resumes.

    With predict.frames every vector in time, into the folder frames below it.
    """
    config = as_trained(context)
    check_asked(context, config, frames=config.predict.frames, pool=config.predict.pool)
    layers, loaded = asked_layers(context, config)
    return _listed(context, extract(context, config, layers, loaded))


def check_asked(context: Context, config: Config, frames: bool = False, pool: Pool = "none") -> None:
    """Raise ConfigError for what the config cannot have extracted whatever the network is: before a weight file is read.

    frames: every vector in time is asked for. pool: of a file per track.
    """
    p = config.predict
    check_place(p.scheduler, p.workers, p.jobs)
    check_backend(p.backend)
    check_precision(config)
    if frames and p.backend in (ONNX, INT8):
        raise ConfigError(
            f"Vectors in time (predict.frames) are not computed by predict.backend={p.backend}: take predict.backend=torch."
        )
    ExtractionSettings(
        tail=config.datamodule.tail,
        batch_size=config.datamodule.batch_size_test,
        dtype=p.dtype,
        format=p.format,
        pool=pool,
        frames=frames,
    )  # refuses what does not go together
    check_writable(context.family.output_folder(config), ConfigError, "predict.out_dir")


def asked_layers(context: Context, config: Config) -> tuple[tuple[int, ...], Loaded | None]:
    """Return the layers to extract, checked before any work, and the network where that took it.

    Of a weight file the network itself is asked: many files say nothing of their depth. Published weights are not fetched for layers that they lack.
    """
    family, section = context.family, context.family.section(config)
    loaded = None if section.checkpoint is None else load_network(context, config)
    layers = family.layers(config, family.sketch(config) if loaded is None else loaded.network)
    if config.predict.frames and min(layers) < 0:
        raise ConfigError(
            "predict.transformer_block=-1 is one vector per window here, and predict.frames asks for those in time: name blocks, 0 and up."
        )
    for layer in (layer for layer in layers if section.pretrained and layer >= 0):
        log.info("Layer %d, counted from 0: %s.", layer, family.published_layer(layer))
    return layers, loaded


def extract_logits(context: Context) -> dict[str, str]:
    """Logits of every window of every track, of a network with classes, into the folder logits below predict.out_dir. Resumes."""
    return _listed(context, extract(context, as_trained(context), None))


def extract(context: Context, config: Config, blocks: tuple[int, ...] | None, loaded: Loaded | None = None) -> Extraction:
    """Extract blocks, or (None) logits, of the config's tracks by its network: in this process, or in shards by several.

    Shards are made where predict.jobs, .scheduler or .shard_tracks ask for them, or the output was begun so.

    Args:
        context: of the command.
        config: names network, tracks and output.
        blocks: that are stored; None: logits.
        loaded: the network, where it is there already.
    """
    p, family = config.predict, context.family
    frames = p.frames and blocks is not None  # logits are per window
    pool: Pool = "none" if blocks is None else p.pool
    check_asked(context, config, frames, pool)
    out = family.output_folder(config)
    loaded = loaded or load_network(
        context, config, classes=blocks is None, use="give logits" if blocks is None else None
    )  # before hours of preparation
    parameters = sum(one.numel() for name, one in loaded.network.named_parameters() if not name.startswith(HEADS))
    settings = settings_of(context, config, loaded, pool=pool, frames=frames)  # of the network itself: its class and its head
    loaded = replace(loaded, network=cast(AudioEncoder, with_backend(loaded.network, p.backend)))
    if settings.rule is not None:
        check_length(loaded.network, settings.rule.length)
    found = context.find_tracks(("predict",), config=config)
    source, names = _tracks_to_extract(found)
    _say_dropped(source, names, settings, loaded.network)
    below = "logits" if blocks is None else "frames" if settings.frames else ""
    out = out / below
    with _drawn_anew(loaded):
        done = _extract(context, config, loaded, source, names, out, blocks, settings)
    if blocks is not None and not settings.frames and is_first_process():
        _write_made_of(context, config, source, done, settings, parameters)
    return done


def _write_made_of(
    context: Context, config: Config, source: TrackStore, done: Extraction, settings: ExtractionSettings, parameters: int
) -> None:
    """Leave beside the embeddings what they were made of: for a probe's baselines, and what it says of tracks that were heard."""
    family, data = context.family, config.datamodule
    heard = read_heard(family.section(config).checkpoint)
    lengths = source.lengths[[source.index(name) for name in done.names]]
    found = {} if heard is None else heard.among(done.names, lengths)
    for layer, path in done.paths.items():
        MadeOf(
            family=family.name,
            config=asdict(config),
            seed=context.seed,
            store=str(Path(source.paths[0]).resolve()),
            kind=str(source.attrs["kind"]),
            layer=int(layer),
            settings=asdict(settings),
            audio_dir=None if data.audio_dir is None else str(Path(data.audio_dir).resolve()),
            demo=data.audio_dir is None and data.base_dir is None,
            heard=found,
            labelled=heard is not None and heard.labelled,
            seconds=done.seconds / done.n_new if done.n_new else None,
            parameters=parameters,
        ).write(folder_of(path))


def _extract(
    context: Context, config: Config, loaded: Loaded, source: TrackStore, names: list[str] | None, out: Path, blocks: tuple[int, ...] | None,
    settings: ExtractionSettings,
) -> Extraction:  # fmt: skip
    """Extract from a store into a folder: in this process, or in shards."""
    p = config.predict
    if settings.precision == AUTO:  # what goes on, goes on as it began
        begun = begun_precision(out) or AUTO
        settings = replace(settings, precision=precision_on(begun, precision_on(p.backend, begun)))
    if not any((p.jobs, p.scheduler, p.shard_tracks, Plan.size_of(out))):
        if blocks is None:
            return to_logits(loaded.network, source, out, settings, names=names)
        return to_embeddings(loaded.network, source, out, blocks, settings, names=names)
    recipe = Recipe.of(loaded.network, config, context.seed)
    place = Place(p.jobs or (None if p.scheduler else 1), p.scheduler, p.workers, p.shard_tracks)
    return extract_in_shards(loaded.network, source, out, recipe, blocks=blocks, settings=settings, names=names, place=place)


def _say_dropped(source: TrackStore, names: list[str] | None, settings: ExtractionSettings, net: AudioEncoder) -> None:
    """Log the tracks whose end lies behind their last whole window, where it is left out. names: of the tracks; None: all."""
    if settings.rule is not None or settings.tail != "drop":
        return
    length = net.window_length
    hop = max(length // 2, 1) if settings.half_overlap else length
    lengths = source.lengths if names is None else source.lengths[[source.index(name) for name in names]]
    n = int(((lengths > length) & ((lengths - length) % hop > 0)).sum())
    if n and is_first_process():
        log.info(
            "The ends of %d of %d tracks, behind their last whole window, are left out (datamodule.tail=drop; pad or shift take them).",
            n, len(lengths),
        )  # fmt: skip


@contextmanager
def _drawn_anew(loaded: Loaded) -> Iterator[None]:
    """Say, where output of another command is refused for its weights, that RANDOM ones are drawn from the seed."""
    try:
        yield
    except StoreMismatchError as error:
        if loaded.weights != RANDOM or "weights_sha256" not in error.differing:
            raise
        text = "This network's weights are RANDOM, drawn anew by each command: the same seed=NUMBER in both draws the same."
        raise StoreMismatchError(f"{error} {text}", error.differing) from error


def settings_of(
    context: Context, config: Config, loaded: Loaded, pool: Pool = "none", frames: bool = False
) -> ExtractionSettings:
    """Return how the config has its tracks extracted. pool: of a file per track. frames: every vector in time is asked for."""
    p, head = config.predict, head_of(loaded.network)
    rule = context.family.extraction_rule(config, loaded.network)
    name = context.family.section(config).arch if head is None else f"{head.begun_with or context.family.name}, fine-tuned"
    return ExtractionSettings(
        model=name if loaded.weights != RANDOM else f"{RANDOM} weights",
        rule=rule,
        half_overlap=config.dataset.half_overlapped_inference,
        tail=config.datamodule.tail if rule is not None else _tail(context, config, frames),
        batch_size=config.datamodule.batch_size_test,
        precision=loaded.precision,
        dtype=p.dtype,
        format=p.format,
        pool=pool,
        frames=frames,
    )


def _tail(context: Context, config: Config, frames: bool) -> Tail:
    """Return what becomes of the ends of tracks: of vectors in time they are kept, unless the config drops them by name."""
    tail: Tail = config.datamodule.tail
    if not frames or tail != "drop" or context.experiment.is_set("datamodule.tail"):
        return tail
    log.info("predict.frames: the end of a track lies in one more full window (datamodule.tail=shift; =drop leaves it out).")
    return "shift"


def _tracks_to_extract(found: Tracks) -> tuple[TrackStore, list[str] | None]:
    """Return the store, and the names of its tracks that the groundtruth "predict" has (None: all). Raises GroundtruthError for absent ones."""
    store, truth = TrackStore.open(found.store), found.truths.get("predict")
    if truth is None:
        return store, None
    numbers = match(truth.keys, store.names)
    if numbers.absent:
        why = why_absent(numbers.absent, Path(store.paths[0]).parent)
        raise GroundtruthError(f"{numbers.message(str(found.store))}{why} Prepare them, or take them out of groundtruth_predict.")
    return store, [store.names[i] for i in numbers.numbers]


def _listed(context: Context, done: Extraction) -> dict[str, str]:
    """Print what an extraction did; return its outputs' paths."""
    windows = f"{done.n_windows} windows in " if done.n_windows else ""  # shards do not count theirs
    context.print(
        f"{done.n_tracks} tracks, {done.n_new} of them now ({windows}{done.seconds:.1f} s):",
        *(f"  {path}" for path in done.paths.values()),
        *([RANDOM_WEIGHTS] if context.family.weights_name(context.config) is None else []),
    )
    return {str(key): str(path) for key, path in done.paths.items()}
