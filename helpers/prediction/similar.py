"""Nearest recordings of a collection: cosine between mean embeddings, with the collection's mean taken off where asked.

Letters: N recordings, D width of the chosen tokens.
"""

from __future__ import annotations

import os
from collections.abc import Collection as Names
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from datasets.store.track_store import TrackStore
from datasets.utils.terminal import Console, Text
from models.encoder import AudioEncoder
from models.errors import AudioError, ConfigError, nearest

from ..extraction.embeddings import load_embeddings
from ..extraction.settings import ExtractionSettings
from ..extraction.tokens import TOKENS, Reduce, check_types, select_tokens
from ..reports.track_page import readable
from ..reports.wording import RANDOM, RANDOM_WEIGHTS
from ..runtime.devices import autocast, work_of


@dataclass(frozen=True)
class Collection:
    """Embeddings of N recordings to search in.

    names: N. vectors: [N, D] float32, of length 1 (0 for a vector that is all mean). mean: [D], what was taken off them.
    types, reduce: tokens that a vector is made of.
    """

    names: list[str]
    vectors: np.ndarray
    mean: np.ndarray
    types: str
    reduce: Reduce

    @classmethod
    def open(
        cls,
        embeddings: str | Path,
        names: Sequence[str] | None = None,
        types: str = TOKENS,
        reduce: Reduce = "stack",
        center: bool = True,
    ) -> Collection:
        """A store of embeddings as extract_embeddings writes it, with its windows beside it.

        names: recordings of it (default: all). center: take the mean over the collection off: what all have in common does not make any two alike.

        Raises StoreError, GroundtruthError or ConfigError for stores and names that do not fit.
        """
        check_types(types, reduce)
        path = Path(embeddings)
        store = TrackStore.open([path])
        if store.attrs.get("block") == -1:
            raise ConfigError(
                "Search needs a block's tokens: set predict.transformer_block to 0 or more (-1 stores features, which have none)."
            )
        chosen = list(store.names if names is None else names)
        vectors = load_embeddings(store, chosen, types, reduce, windows=TrackStore.open([path.parent / "windows" / "windows.h5"]))
        mean = vectors.mean(axis=0) if center else np.zeros_like(vectors[0])
        return cls(chosen, _unit(vectors - mean), mean, types, reduce)

    def vector(self, name: str) -> np.ndarray:
        """A recording's own vector [D], mean taken off. Raises AudioError naming the nearest for a name that is not here."""
        if name not in self.names:
            raise AudioError(
                f"{name} is no file, and no recording of the collection ({len(self.names)}).{nearest(name, self.names)}"
            )
        found: np.ndarray = self.vectors[self.names.index(name)]
        return found

    def of_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Return a recording from elsewhere, [3, C] tokens (2 without DIST) or [1, C], as a vector [D] of this collection."""
        if len(tokens) == 2:
            if "d" in self.types:
                raise ConfigError("This network has no distillation token: choose predict.types of c and t.")
            tokens = np.insert(tokens, 1, 0.0, axis=0)  # in the place of d, which is not chosen
        found: np.ndarray = _unit(select_tokens(tokens, self.types, self.reduce, tokens.shape[-1]) - self.mean)
        return found

    def nearest(self, vector: np.ndarray, top: int = 10, leave_out: Names[str] = ()) -> list[tuple[str, float]]:
        """The `top` recordings with the largest cosine, best first, but for `leave_out`."""
        if top < 1:
            raise ConfigError(f"predict.top is {top}; show at least one recording.")
        cosine = self.vectors @ vector
        order = np.argsort(-cosine, kind="stable")
        return [(self.names[i], float(cosine[i])) for i in order if self.names[i] not in leave_out][:top]


def tokens_of(network: AudioEncoder, path: str | Path, layer: int, settings: ExtractionSettings) -> np.ndarray:
    """Return what extraction keeps of a layer for an audio file, averaged over its windows as a collection's vectors are.

    Args:
        network: on the device that shall compute.
        path: of the file.
        layer: of the collection's embeddings.
        settings: how the collection was extracted.

    Returns CLS, DIST and mean token [3, C] of a MAEST, the vector [1, C] of other families.
    """
    with autocast(network.device.type, settings.precision, work_of(network)):
        found = network.embed(
            path,
            layers=[layer],
            pool="stack" if "stack" in network.pools else "mean",
            batch_size=settings.batch_size,
            tail=settings.tail,
            half_overlap=settings.half_overlap,
        )
    vectors = found.vectors[:, 0].astype(np.float64)
    mean = np.average(vectors, axis=0, weights=found.times[:, 1] - found.times[:, 0])
    return mean.reshape(-1, network.summary_shapes([layer])[layer][-1])


def name_among(query: str, audio_dir: str | None) -> str:
    """What a file or name is called among the recordings of `audio_dir`: its path below it, else the query itself."""
    if audio_dir is None or not Path(query).is_file():
        return query
    for path, root in (
        (os.path.abspath(query), os.path.abspath(audio_dir)),
        (os.path.realpath(query), os.path.realpath(audio_dir)),
    ):
        if Path(path).is_relative_to(root):
            return Path(path).relative_to(root).as_posix()
    return query


def print_similar(
    name: str, found: Sequence[tuple[str, float]], center: bool, weights: str = "own", console: Console | None = None
) -> None:
    """The nearest recordings as a list. center: whether the collection's mean was taken off. weights: where the network's come from."""
    table = Table(
        title=Text(f"Nearest to {readable(name)}", style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("recording", overflow="fold")
    table.add_column("cosine", justify="right")
    for other, cosine in found:
        table.add_row(Text(readable(other)), f"{cosine:.3f}")
    console = console or Console()
    console.print(table)
    if weights == RANDOM:
        console.print(RANDOM_WEIGHTS)
    if center:
        console.print("The collection's mean is taken off before the cosine: 0 is as unlike as any two (predict.center).")


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., D] at length 1; zero ones stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-12).astype(np.float32)
