"""What encoders give: embeddings of a recording, window by window; pieces of sounds, and windows, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError
from .windows import Windows, left_padding, own_part, stream_windows

PIECE_BATCH = 8  # sounds per pass


@dataclass(frozen=True, repr=False)
class Embedded:
    """Embeddings of one recording.

    vectors: [W, L, C] float32. times: [W, 2] float32, start and end of each window in seconds. layers: the L layers, ascending.
    """

    vectors: np.ndarray
    times: np.ndarray
    layers: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Embedded(vectors {list(self.vectors.shape)}, times {list(self.times.shape)}, layers {list(self.layers)})"


@dataclass(frozen=True)
class Piece:
    """A part of some equally long sounds, as HEAR asks for it.

    values: [n_sounds, T, C], the vectors of its moments; or of a scene what extraction keeps of it, [n_sounds, *shape]. times: [T] float32, the
    moments' centres in ms. weight: of the piece in a scene's mean.
    """

    values: Tensor
    times: Tensor
    weight: int


class InTime:
    """What encoders give of every moment of their windows. Base of AudioEncoder, whose `encode` and `embedding_rate` it goes by."""

    def moments(self: Any, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Windows as `pooled` takes them -> all their vectors in time: one [W, T, C] per asked layer, in their order, in one pass."""
        chosen = self.resolve_layers(layers)
        found = self.encode(windows, chosen)
        return [found[chosen.index(layer % self.depth)] for layer in layers]

    def moment_times(self: Any, n: int, length: int, layer: int) -> np.ndarray:
        """Centres of the `n` vectors that a window of `length` units has in a layer, seconds from its beginning, float64 [n]."""
        times: np.ndarray = (np.arange(n) + 0.5) / self.embedding_rate
        return times

    def n_vectors(self: Any, n_samples: Any) -> Any:
        """Vectors of a window of so many units, of a family whose windows may have any length. Raises ConfigError for others."""
        raise ConfigError(f"The windows of a {type(self).__name__} are of one length: only whole ones have vectors of their own.")

    def own_part(self: Any, window: Windows, valid: int) -> Windows:
        """What is computed of a window [..., length] in which `valid` units of a recording stand centred in silence.

        Of a family of `own_lengths` those units alone (the shortest that it takes, where they are fewer): silence would be averaged among their
        vectors, and change them. Of others all of it.
        """
        return own_part(window, valid, self.window_range[0]) if self.own_lengths else window

    # ---- HEAR
    def pieces(self: Any, audio: Tensor, layer: int, scene: bool) -> Iterator[Piece]:
        """Sounds [n_sounds, samples] window by window: their moments, or (scene) what extraction keeps of each window, weighted by what it hears.

        A sound's end, and a sound shorter than a window, are computed as `own_part` says; moments in silence around them are left out. Families
        whose vectors run on over the ends of windows say so themselves.
        """
        sounds = audio.detach().float().cpu().numpy()
        per_ms = self.sample_rate / 1000
        length = self.window_length if self.mel_settings is None else round(self.max_seconds * self.sample_rate)
        if scene:
            windows = [_windows(self.window_blocks(iter([one])), self.window_length, self.silence) for one in sounds]
        else:
            windows = [_windows([one], length, 0.0) for one in sounds]
        for same in zip(*windows):
            _, start, stop = same[0]
            parts = np.stack([self.own_part(window, stop - start) for window, _, _ in same])
            x = torch.from_numpy(parts).to(self.device, self.dtype)
            found = [self.summaries(p, [layer])[0] if scene else self.encode(p, [layer])[0] for p in x.split(PIECE_BATCH)]
            values = torch.cat(found).float().to(audio.device)
            if scene:
                yield Piece(values, torch.zeros(0), stop - start)
                continue
            n, covered = values.shape[1], parts.shape[-1]
            times = (torch.arange(n) + 0.5) * (covered / n) - left_padding(stop - start, covered)
            heard = (times >= 0) & (times < stop - start)
            if not heard.any():  # a sound shorter than a vector's share, beside all centres
                heard[(times - (stop - start) / 2).abs().argmin()] = True
                times = times.clamp(0, stop - start)
            yield Piece(values[:, heard], ((start + times[heard]) / per_ms).float(), int(heard.sum()))


def _windows(blocks: Iterable[np.ndarray], length: int, silence: float) -> list[tuple[np.ndarray, int, int]]:
    return list(stream_windows(blocks, length, length, "pad", silence))
