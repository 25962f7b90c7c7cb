"""AudioEncoder: what every family of models offers, under one set of names and one meaning of "layer".

Conventions: B batch, T vectors in time, C width, W windows, L asked layers. A layer is a block's output: 0-based, negatives from the end, in every
family; results stand in ascending order of layer, each once, whatever the order they were asked in. Audio is mono, float32, in [-1, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .card import ModelCard
from .errors import AudioError, ConfigError
from .frontend.mel_settings import MelSettings
from .layers import resolved
from .prefetch import ahead
from .tagging import Source, Tagged, tag
from .vectors import PIECE_BATCH, Embedded, InTime, Piece
from .windows import Tail, stream_windows

__all__ = ["PIECE_BATCH", "AudioEncoder", "Embedded", "Piece"]

BLOCK_SECONDS = 30.0  # how much of a long file is in memory at a time


class AudioEncoder(nn.Module, InTime, ABC):
    """Base of all networks that map audio to vectors.

    Subclasses set the attributes and write `settings` and `encode`; those whose input is not the raw wave also write `window_blocks` and `pooled`.

    Attributes:
        family: folder of models/ that builds the network.
        sample_rate: Hz. embed_dim: C. depth: number of layers. embedding_rate: vectors per second (`eps` is its published alias).
        max_seconds: longest input of one pass. card: where the weights came from, None for own networks.
        licence_begun_with: of the weights that a fine-tuning, since taken off, began with.
        exclusive: classes exclude each other, one per recording: their probabilities add up to 1.
        transfer_layer: the layer that its authors take for transfer learning.
        gradient_checkpointing: training keeps each block's input alone and computes what is inside again for the gradients: a third more operations,
            far less memory. None: the network has no such way.
        own_lengths: windows that a recording does not fill are computed as long as it is (InTime.own_part), not in silence.
        work: what its time goes into: "layer" (linear maps of width C), "convolution" (over samples), "filters" (over spectrograms).
    """

    family: str
    sample_rate: int
    embed_dim: int
    depth: int
    embedding_rate: float
    max_seconds: float
    card: ModelCard | None = None
    licence_begun_with: str | None = None
    pools: tuple[str, ...] = ("mean",)
    exclusive: bool = False
    transfer_layer: int = -1
    work: str = "layer"
    own_lengths: bool = False
    gradient_checkpointing: bool | None = None
    _frozen: bool = False

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""

    @property
    def saved_settings(self) -> dict[str, Any]:
        """What checkpoints and exports say of the network: its family, and `settings`."""
        return {"family": self.family, **self.settings}

    @property
    def eps(self) -> float:
        """Embeddings per second: the published name of `embedding_rate`."""
        return self.embedding_rate

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.parameters()).dtype

    @property
    def licence(self) -> str | None:
        """Of the weights; None where it is not stated."""
        return self.licence_begun_with if self.card is None else self.card.licence

    @property
    def own_exclusive(self) -> bool:
        """`exclusive` as the network was built: of its family's own head, whatever head a fine-tuning gave it since."""
        return bool(vars(self).get("exclusive", False))

    # ---- frozen encoders stay in eval mode, whatever a trainer's recursive train() does
    def freeze(self) -> AudioEncoder:
        """No gradients, eval mode, for good (until `unfreeze`). Returns self."""
        self._frozen = True
        return self.eval().requires_grad_(False)

    def unfreeze(self) -> AudioEncoder:
        """Trainable again. Returns self."""
        self._frozen = False
        return self.requires_grad_(True)

    def train(self, mode: bool = True) -> AudioEncoder:
        """As nn.Module.train, but a frozen encoder stays in eval mode. Returns self."""
        return super().train(mode and not self._frozen)

    # ---- layers
    def resolve_layers(self, layers: Iterable[int] | int | None) -> tuple[int, ...]:
        """Ascending, distinct, 0-based layers; a number is one of them, None the last.

        Raises ConfigError (a ValueError) for what is no whole number, and for a layer that the network has not.
        """
        return resolved(layers, self.depth)

    @property
    def block_list(self) -> str | None:
        """Name of the child that holds the blocks, one per layer, for learning rates by depth; None where there is none."""
        lists = (nn.ModuleList, nn.Sequential)
        return next((n for n, child in self.named_children() if isinstance(child, lists) and len(child) == self.depth), None)

    # ---- audio -> vectors
    @abstractmethod
    def encode(self, audio: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """Audio [B, samples] at `sample_rate` -> vectors of layers (default: the last) [L, B, T, C]; differentiable, stops after the deepest."""

    @torch.no_grad()
    def extract_embeddings(self, audio: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """`encode` in eval mode without gradients: [L, B, T, C]."""
        was_training = self.training
        self.eval()
        try:
            return self.encode(audio, layers)
        finally:
            self.train(was_training)

    def pooled(self, windows: Tensor, layers: Sequence[int], pool: str) -> Tensor:
        """One vector per window and layer, [L, W, C], of windows as `window_blocks` describes them."""
        return self.encode(windows, layers).mean(dim=2)

    # ---- how a recording becomes windows: units are samples here, mel frames in the spectrogram families
    @property
    def units_per_second(self) -> float:
        """Rate of a window's last axis."""
        return float(self.sample_rate)

    @property
    def mel_settings(self) -> MelSettings | None:
        """Of the log-mels that a window holds; None where it holds samples."""
        return None

    @property
    def window_length(self) -> int:
        """Length of a window's last axis."""
        return int(self.max_seconds * self.units_per_second)

    @property
    def silence(self) -> float:
        """The value of a window's padding."""
        return 0.0

    @property
    def least_tail(self) -> int:
        """Units behind a recording's last full window that are not worth one more: 1 % of a window unless a family says otherwise."""
        return self.window_length // 100

    def window_blocks(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        """Blocks of samples [n] -> blocks of what a window holds [..., m]: the samples themselves unless a family says otherwise."""
        return blocks

    # ---- what extraction reads from a store of many tracks, and what it keeps of each window
    @property
    def stored(self) -> dict[str, Any]:
        """Attributes of the stores whose windows are this network's: of waveforms unless a family says otherwise."""
        return {"kind": "waveform", "sample_rate": self.sample_rate}

    @property
    def stored_item(self) -> tuple[int, ...]:
        """Shape of one item of such a store: () of samples."""
        return ()

    def from_stored(self, windows: Tensor) -> Tensor:
        """Stored windows [W, n, *item], samples as float in [-1, 1], on the network's device -> windows as `pooled` takes them."""
        return windows.float()

    @property
    def window_range(self) -> tuple[int, int]:
        """Shortest and longest window that a pass takes."""
        return self.window_length, self.window_length

    @property
    def about_extraction(self) -> dict[str, Any]:
        """What extracted embeddings say of the network, beside its name and the hash of its weights."""
        return {"network": {"embed_dim": self.embed_dim, "depth": self.depth}}

    def window_logits(self, windows: Tensor) -> Tensor:
        """Windows as `pooled` takes them -> logits [W, L]. Raises ValueError for a network without classes."""
        raise ConfigError(f"This {type(self).__name__} has no classes: it gives vectors, no logits.")

    def window_probabilities(self, windows: Tensor) -> Tensor:
        """Windows as `pooled` takes them -> a probability of each class [W, L]."""
        return self.probabilities(self.window_logits(windows))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits [..., L] -> probabilities [..., L]: sigmoids, or softmaxes where the classes exclude each other."""
        return logits.softmax(dim=-1) if self.exclusive else logits.sigmoid()

    @property
    def has_classes(self) -> bool:
        """Whether the network names classes: it has `label_names`, and logits of them."""
        return False

    @property
    def label_names(self) -> list[str]:
        """Names of the L classes, in column order. Raises ValueError for a network without classes."""
        raise ConfigError(f"This {type(self).__name__} has no named classes: it gives vectors.")

    def summary_shapes(self, layers: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """Shape of what extraction keeps of one window, by asked layer. Raises ValueError for layers that are not there."""
        return {layer: (self.embed_dim,) for layer in layers if self.resolve_layers([layer])}

    def summaries(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """What extraction keeps of each window: one [W, *shape] per asked layer, in their order; the mean over time, in one pass."""
        chosen = self.resolve_layers(layers)
        means = self.pooled(windows, chosen, "mean")
        return [means[chosen.index(layer % self.depth)] for layer in layers]

    def embed(
        self,
        source: Source,
        sample_rate: int | None = None,
        layers: Iterable[int] | None = None,
        pool: str = "mean",
        batch_size: int = 8,
        tail: Tail = "pad",
        half_overlap: bool = False,
    ) -> Embedded:
        """Embeddings of a whole recording of any length, window after window, in bounded memory; decoding overlaps the network.

        Args:
            source: path of an audio file, or samples [N] or [N, channels], float in [-1, 1] or integer PCM.
            sample_rate: Hz of `source` when it is an array (required then); it is resampled where it differs from the network's.
            layers: which layers (default: the last). pool: one of `pools`. batch_size: windows per pass.
            tail: what becomes of the end (models/windows.py). half_overlap: a window begins every half window.

        Raises: AudioError for audio that cannot be used, ValueError for a layer or pool that is not there.
        """
        chosen = self.resolve_layers(layers)
        if pool not in self.pools:
            raise ConfigError(f"pool is '{pool}'; this network offers {', '.join(self.pools)}.")
        blocks = self.audio_blocks(source, sample_rate)
        vectors: list[np.ndarray] = []
        times: list[tuple[float, float]] = []
        for windows, spans in ahead(self._batches(self.window_blocks(blocks), batch_size, tail, half_overlap)):
            vectors.append(self._pooled_eval(windows, chosen, pool))
            times.extend(spans)
        return Embedded(np.concatenate(vectors), np.asarray(times, dtype=np.float32), chosen)

    def tag(
        self,
        source: Source,
        sample_rate: int | None = None,
        hop_seconds: float | None = None,
        batch_size: int = 8,
    ) -> Tagged:
        """Named classes heard in a file, or in samples with their rate, of any length: `.top(5)`, `.genres()`, and windows with times.

        Arguments and errors: models/tagging.py. Raises ValueError for a network without classes.
        """
        return tag(self, source, sample_rate, hop_seconds, batch_size)

    # ---- windows in one pass
    @torch.no_grad()
    def _pooled_eval(self, windows: np.ndarray, layers: Sequence[int], pool: str) -> np.ndarray:
        was_training = self.training
        self.eval()
        try:
            out = self.pooled(torch.from_numpy(windows).to(self.device), layers, pool)
        finally:
            self.train(was_training)
        return out.transpose(0, 1).float().cpu().numpy()

    def audio_blocks(self, source: Source, sample_rate: int | None) -> Iterator[np.ndarray]:
        """A recording as blocks of mono samples [n] at the network's rate. Arguments and errors: as of `embed`."""
        from .audio import iterate, resample, to_mono_float  # here for start-up time: its decoders take a while to load

        if isinstance(source, (str, Path)):
            if sample_rate is not None:
                raise ConfigError("sample_rate belongs to samples; a file knows its own. Leave it out.")
            return iterate(source, self.sample_rate, BLOCK_SECONDS)
        if sample_rate is None:
            raise AudioError(
                f"Samples without a rate: give sample_rate= (Hz). The network works at {self.sample_rate} Hz and resamples to it."
            )
        samples = source.detach().cpu().numpy() if isinstance(source, Tensor) else np.asarray(source)
        return iter([resample(to_mono_float(samples), sample_rate, self.sample_rate)])

    def _batches(
        self, blocks: Iterable[np.ndarray], batch_size: int, tail: Tail, half_overlap: bool
    ) -> Iterator[tuple[np.ndarray, list[tuple[float, float]]]]:
        held: list[np.ndarray] = []
        spans: list[tuple[float, float]] = []
        rate, length = self.units_per_second, self.window_length
        hop = max(length // 2, 1) if half_overlap else length
        for window, start, stop in stream_windows(blocks, length, hop, tail, self.silence):
            part = self.own_part(window, stop - start)
            if held and part.shape != held[0].shape:
                yield np.stack(held), spans
                held, spans = [], []
            held.append(part)
            spans.append((start / rate, stop / rate))
            if len(held) == batch_size:
                yield np.stack(held), spans
                held, spans = [], []
        if held:
            yield np.stack(held), spans
