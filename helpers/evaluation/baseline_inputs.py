"""Where a probe's baselines get their inputs: mels and an untrained network's embeddings, found or made from what the embeddings were made of.

What is made is kept and used again. Of "auto" only what is cheap is made: the rest is said, with the key that asks for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets.groundtruth.groundtruth import match
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, nearest

from ..data.find import demo_data, prepared
from ..extraction.embeddings import embedding_names
from ..extraction.extract import extract_embeddings
from ..extraction.made_of import MadeOf, elsewhere, folder_of, read_made_of
from ..families import get_family
from ..families.base import RANDOM, Config
from ..probe.forecast import minutes
from ..probe.inputs import Inputs
from ..reports.wording import RANDOM as RANDOM_NAME
from ..runtime.devices import resolve_accelerator

log = logging.getLogger(__name__)
CONSTANT, MEL, UNTRAINED = "constant", "mel", "untrained"
KINDS = (CONSTANT, MEL, UNTRAINED)
AUTO, NONE = "auto", "none"
MOST_SECONDS = 300.0  # that an untrained network's extraction may take unasked, by what the trained one's took
MOST_TRACKS = 5000  # whose mels are read unasked
MOST_PREPARED = 500  # whose mels are made unasked
MADE = "made"  # a file that says that an extraction was finished
Build = Callable[[str, Mapping[str, Any]], Config]  # a family's name and a config as plain values -> an instance of its schema


def chosen_baselines(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Return the baselines that data.baselines names; of "auto" all, of "none" none. Raises ConfigError for others."""
    names = [name.strip() for name in asked.split(",")] if isinstance(asked, str) else list(asked)
    if names == [AUTO]:
        return KINDS
    if names == [NONE]:
        return ()
    if wrong := [name for name in names if name not in KINDS]:
        raise ConfigError(
            f"data.baselines names {wrong[0]!r}; choose auto, none, or some of {', '.join(KINDS)}.{nearest(wrong[0], (*KINDS, AUTO, NONE))}"
        )
    return tuple(kind for kind in KINDS if kind in names)


@dataclass(frozen=True)
class BaselineInputs:
    """Inputs of baselines, as `compare_systems` takes them; None: without. constant: whether the constant guess is scored."""

    constant: bool
    mels: str | None
    untrained: str | None


@dataclass(frozen=True)
class BaselineMaker:
    """Finds or makes inputs of baselines for embeddings.

    Attributes:
        embeddings: that are probed; with layers in `inputs` the folder above theirs.
        inputs: of the probe.
        cache: folder for what is made.
        build: of the config of a family.
        asked: whether the baselines were named, and are made whatever it costs.
    """

    embeddings: str
    inputs: Inputs
    cache: Path
    build: Build
    asked: bool

    @property
    def _made_of(self) -> MadeOf | None:
        return read_made_of(self.inputs.first(self.embeddings))

    def mels(self) -> str | None:
        """Return a mel store of the same tracks. Raises ConfigError where it was asked for and the audio is not known."""
        made = self._made_of
        if made is None:
            return self._without(MEL, "what they were extracted from is not known", "name their mel store: data.mel_dir=MELS")
        n = len(embedding_names(self.inputs.first(self.embeddings)))
        if n > MOST_TRACKS and not self.asked:
            return self._without(MEL, f"there are {n} tracks", f"data.baselines={MEL} reads their mels")
        cure = "name a mel store: data.mel_dir=MELS"
        source = made.store if made.kind == "mel" or made.audio_dir is None else made.audio_dir
        if elsewhere([source]) is not None:
            return self._without(MEL, f"what they were extracted from is not in the working folder ({source})", cure)
        if made.kind == "mel":
            if not Path(made.store).exists():
                return self._gone(MEL, made.store, cure)
            store = made.store
        elif made.audio_dir is not None and Path(made.audio_dir).is_dir():
            if n > MOST_PREPARED and not self.asked:
                return self._without(MEL, f"the mels of {n} tracks would be prepared", f"data.baselines={MEL} does that")
            log.info("Mel statistics: the mels of %s are prepared, where they are not yet.", made.audio_dir)
            store = str(prepared(made.audio_dir, None))
        elif made.demo:
            store = str(demo_data(made.config["datamodule"]["demo_tracks"])[0])
        else:
            return self._without(MEL, "they are of samples whose audio is not known", cure)
        absent = match(embedding_names(self.inputs.first(self.embeddings)), TrackStore.open(store).names).absent
        return self._without(MEL, f"{store} lacks {len(absent)} of their tracks", cure) if absent else store

    def untrained(self) -> str | None:
        """Return embeddings of the same network with random weights, extracted now where they are not yet.

        Raises ConfigError where they were asked for and cannot be made.
        """
        made, cure = self._made_of, "name some: data.untrained_dir=EMBEDDINGS"
        if made is None:
            return self._without(UNTRAINED, "what network gave them is not known", cure)
        if str(made.settings.get("model", "")).startswith(RANDOM_NAME):
            return self._without(UNTRAINED, "these embeddings are of one", cure)
        if (other := elsewhere([made.store, *made.files])) is not None:
            return self._without(UNTRAINED, f"what gave them is not in the working folder ({other})", cure)
        if not Path(made.store).exists():
            return self._gone(UNTRAINED, made.store, cure)
        layers = self.inputs.layers or (made.layer,)
        names = list(embedding_names(self.inputs.first(self.embeddings)))
        out = self.cache / _identity(made, layers, names)
        seconds = (made.seconds or 0.0) * len(names)
        finished = (out / MADE).is_file()
        if not finished and not self.asked and (made.seconds is None or seconds > MOST_SECONDS):
            took = "is not known" if made.seconds is None else f"is about {minutes(seconds)}"
            return self._without(UNTRAINED, f"the time that it takes {took}", f"data.baselines={UNTRAINED} makes it")
        if not finished:
            log.info("Untrained network: %d tracks are extracted into %s, once (about %s).", len(names), out, minutes(seconds))
        try:
            config, family = self.build(made.family, made.config), get_family(made.family)
            net = family.network(config, None, made.seed, RANDOM)
            rule = family.extraction_rule(config, net)
            device = "cuda" if resolve_accelerator(config.trainer.accelerator) == "gpu" else "cpu"
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return self._without(UNTRAINED, f"its network cannot be built ({error})", cure)
        net = net.to(device).eval()
        settings = replace(made.extraction, rule=rule, model=f"{RANDOM_NAME} weights")
        done = extract_embeddings(net, made.store, out, layers, settings, names=names)
        (out / MADE).touch()
        return str(out if self.inputs.layers else folder_of(done.paths[layers[0]]))

    def _gone(self, kind: str, store: str, cure: str) -> str | None:
        return self._without(kind, f"the store that they were extracted from is gone ({store})", cure)

    def _without(self, kind: str, why: str, cure: str) -> str | None:
        """Log why a baseline is left out, or raise ConfigError where it was asked for."""
        words = {MEL: "Mel statistics", UNTRAINED: "An untrained network"}[kind]
        text = f"{words} cannot stand beside these embeddings: {why}. To have it, {cure}."
        if self.asked:
            raise ConfigError(text)
        log.info("%s", text.replace("cannot stand", "does not stand" if kind == UNTRAINED else "do not stand"))
        return None


def baseline_inputs(
    asked: str | Sequence[str], maker: BaselineMaker, mel_dir: str | None, untrained_dir: str | None
) -> BaselineInputs:
    """Return the inputs of the baselines that data.baselines names. mel_dir, untrained_dir: inputs that were named, which are taken as they are."""
    kinds = chosen_baselines(asked)
    mels = mel_dir if mel_dir is not None or MEL not in kinds else maker.mels()
    untrained = untrained_dir if untrained_dir is not None or UNTRAINED not in kinds else maker.untrained()
    return BaselineInputs(CONSTANT in kinds, mels, untrained)


def _identity(made: MadeOf, layers: Sequence[int], names: Sequence[str]) -> str:
    """A name of what is made: of the network's sizes and seed, the store as it is, and how it is extracted."""
    store = TrackStore.open(made.store)
    section = {
        key: value for key, value in made.config[made.family].items() if key not in ("checkpoint", "checkpoint_swa_weights")
    }
    about = [
        section,
        made.seed,
        made.store,
        list(store.names),
        store.lengths.tolist(),
        dict(made.settings),
        list(layers),
        list(names),
    ]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode("utf-8", "surrogateescape")).hexdigest()[:16]
