"""MAEST's windows: their geometry, what extraction reads of stored mels, and what it keeps of each window: CLS, DIST and mean token of blocks, or
the features.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..encoder import PIECE_BATCH, Piece
from ..errors import ConfigError
from ..frontend import mel_blocks
from ..layers import layer_numbers
from ..mel_encoder import MelEncoder
from ..windows import left_padding
from .patchout import PATCH, Patchout

_BLOCK = 1 << 19  # samples whose mel is computed at once
FEATURES = -1  # in place of a block: the features behind the final norm


class StoredMels(MelEncoder):
    """MAEST without its blocks: windows of mels, stores of raw log-mels [frames, bands]. Blocks are layers; -1 stands for the features."""

    input_f: int
    input_t: int
    hop: int
    stride: tuple[int, int]
    num_heads: int
    distilled: bool
    distilled_type: str
    patchout: Patchout
    cls_token: nn.Parameter
    new_pos_embed: nn.Parameter
    time_new_pos_embed: nn.Parameter
    pools = ("mean", "cls", "dist", "stack")
    transfer_layer = 7  # the paper's choice

    @abc.abstractmethod
    def embed_blocks(self, mel: Tensor, blocks: Iterable[int]) -> Tensor:
        """Tokens of blocks [L, W, 3, C] of normalised mels."""

    @abc.abstractmethod
    def encode_mel(self, mel: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """Frame-level vectors of normalised mels."""

    @abc.abstractmethod
    def features_and_blocks(self, mel: Tensor, blocks: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Features [W, C], and tokens of blocks (ascending), each [W, 3, C], of normalised mels."""

    @property
    def unused_heads(self) -> tuple[str, ...]:
        """Prefixes of parameters that no answer uses: DIST's head, unless the heads are separated."""
        return () if self.distilled_type == "separated" else ("head_dist.",)

    # ---- geometry
    def grid(self, frames: int) -> tuple[int, int]:
        """Rows and columns (f, t) of the patch grid of an input of `frames` mel frames."""
        return (self.input_f - PATCH) // self.stride[0] + 1, (frames - PATCH) // self.stride[1] + 1

    @property
    def max_frames(self) -> int:
        """Longest input in mel frames that the time table covers."""
        return (self.time_new_pos_embed.shape[-1] - 1) * self.stride[1] + PATCH + self.stride[1] - 1

    @property
    def n_extra(self) -> int:
        """Tokens before the patches: CLS, and DIST when distilled."""
        return self.new_pos_embed.shape[1]

    def frame_times(self, frames: int) -> np.ndarray:
        """Start and end [T, 2] in seconds of each time column that an input of `frames` mel frames gives in eval mode (kept columns only)."""
        _, columns = self.patchout.keep(*self.grid(frames), training=False)
        starts = columns.unique().numpy() * self.stride[1]
        return (np.stack([starts, starts + PATCH], axis=1) * self.hop / self.sample_rate).astype(np.float32)

    @property
    def window_length(self) -> int:
        return self.input_t

    def pieces(self, audio: Tensor, layer: int, scene: bool) -> Iterator[Piece]:
        """As many time columns as the network takes at once, then what is left: the columns of all pieces lie on one even grid.

        The front end reads a sound as a whole. Mel frame i is centred on sample 256 i, a column holds 16 frames and begins every 10: column j's
        centre is (10 j + 7.5) * 16 ms. A piece weighs as many columns as it has.
        """
        sounds = (mel_blocks(self.melspectrogram, sound.to(self.device).split(_BLOCK)) for sound in audio)
        mel = torch.stack([torch.cat(list(blocks), dim=-1) for blocks in sounds])
        shift = left_padding(mel.shape[-1], PATCH)  # frames of silence before a sound that fills no column
        if mel.shape[-1] < PATCH:
            mel = functional.pad(mel, (shift, PATCH - mel.shape[-1] - shift), value=self.silence)
        f, per_pass = self.grid(self.input_t)
        stride, n_columns = self.stride[1], self.grid(mel.shape[-1])[1]
        frame_ms = 1000 * self.hop / self.sample_rate
        run = self.embed_blocks if scene else self.encode_mel
        for first in range(0, n_columns, per_pass):
            count = min(per_pass, n_columns - first)
            frames = mel[..., first * stride : (first + count - 1) * stride + PATCH]
            kept = self.patchout.keep(f, count, training=False)[1].unique()
            values = torch.cat([run(part, [layer])[0] for part in frames.split(PIECE_BATCH)]).float().to(audio.device)
            yield Piece(values, ((first + kept) * stride + (PATCH - 1) / 2 - shift) * frame_ms, len(kept))

    # ---- stores
    @property
    def window_range(self) -> tuple[int, int]:
        return 1, self.max_frames

    @property
    def about_extraction(self) -> dict[str, Any]:
        s = self.melspectrogram.settings
        return {
            "network": {key: getattr(self, key) for key in ("embed_dim", "depth", "num_heads", "distilled_type")},
            "patchout": str(self.patchout),
            "norm_mean": s.mean,
            "norm_divisor": s.std_divisor,
        }

    def summary_shapes(self, layers: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """[3, C] (undistilled: [2, C]) of a block, [C] of the features. Raises ConfigError for blocks that the network has not."""
        layers = layer_numbers(layers)
        wrong = [block for block in layers if not FEATURES <= block < self.depth]
        if wrong or not layers:
            raise ConfigError(
                f"Blocks {wrong or 'none'} asked for: this network has 0 to {self.depth - 1}, and -1 for the features."
            )
        tokens = (self.n_extra + 1, self.embed_dim)
        return {block: (self.embed_dim,) if block == FEATURES else tokens for block in layers}

    def summaries(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """One pass: normalised mel [W, F, M] -> one [W, 3, C] (block -1: [W, C]) for each of `layers`, in their order."""
        inner = sorted({block for block in layers if block >= 0})
        if list(layers) == [FEATURES]:
            features: Tensor = self(windows)[-1]
            return [features]
        if FEATURES not in layers:
            pooled = dict(zip(inner, self.embed_blocks(windows, inner)))
        else:
            found, outputs = self.features_and_blocks(windows, inner)
            pooled = {FEATURES: found, **dict(zip(inner, outputs))}
        return [pooled[block] for block in layers]

    def moments(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Normalised mel [W, F, M] -> the time columns of each block in their order, [W, T, C]. Raises ConfigError for the features."""
        if FEATURES in layers:
            raise ConfigError("The features (-1) are one vector per window: vectors in time are of blocks, 0 and up.")
        chosen = self.resolve_layers(layers)
        found = self.encode_mel(windows, chosen)
        return [found[chosen.index(layer)] for layer in layers]

    def moment_times(self, n: int, length: int, layer: int) -> np.ndarray:
        """Centres in seconds of the kept time columns of `length` mel frames, [n]; mel frame i is centred on sample i * hop."""
        columns = self.patchout.keep(*self.grid(length), training=False)[1].unique().numpy()
        times: np.ndarray = (columns * self.stride[1] + (PATCH - 1) / 2) * self.hop / self.sample_rate
        return times

    def pooled(self, windows: Tensor, layers: Sequence[int], pool: str) -> Tensor:
        """Normalised mel windows [W, F, M] -> [L, W, C], or [L, W, 3C] for pool "stack"."""
        if pool == "dist" and not self.distilled:
            raise ConfigError("pool 'dist' needs the DIST token; this network has none.")
        x = self.embed_blocks(windows, layers)
        return x.flatten(2) if pool == "stack" else x[:, :, {"cls": 0, "dist": 1, "mean": -1}[pool]]

    def window_logits(self, windows: Tensor) -> Tensor:
        """Normalised mel [W, F, M] -> logits [W, L]; of separated heads those of the mean of both heads' probabilities."""
        *heads, _ = self(windows)
        if len(heads) == 1:
            only: Tensor = heads[0]
            return only
        return torch.stack([head.float().sigmoid() for head in heads]).mean(dim=0).logit(eps=1e-7)
