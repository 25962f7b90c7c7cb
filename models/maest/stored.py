"""What extraction reads of stored mels for a MAEST, and what it keeps of each window: CLS, DIST and mean token of blocks, or the features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..encoder import AudioEncoder
from ..errors import ConfigError
from ..frontend import MaestMel, normalise
from .patchout import Patchout

FEATURES = -1  # in place of a block: the features behind the final norm


class StoredMels(AudioEncoder):
    """MAEST's side of extraction: stores of raw log-mels [frames, bands] in, tokens out. Blocks are layers; -1 stands for the features."""

    input_f: int
    num_heads: int
    distilled_type: str
    melspectrogram: MaestMel
    patchout: Patchout

    @property
    def n_extra(self) -> int:
        raise NotImplementedError

    @property
    def max_frames(self) -> int:
        raise NotImplementedError

    def embed_blocks(self, mel: Tensor, blocks: Iterable[int]) -> Tensor:
        raise NotImplementedError

    def classify(self, x: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError

    @property
    def stored(self) -> dict[str, Any]:
        s = self.melspectrogram.settings
        return {"kind": "mel", "front_end": s.name, "sample_rate": s.sample_rate, "hop": s.hop}

    @property
    def stored_item(self) -> tuple[int, ...]:
        return (self.input_f,)

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

    def from_stored(self, windows: Tensor) -> Tensor:
        """Stored raw log-mels [W, M, F] -> normalised mels [W, F, M]."""
        return normalise(windows.float().transpose(1, 2), self.melspectrogram.settings)

    def summary_shapes(self, layers: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """[3, C] (undistilled: [2, C]) of a block, [C] of the features. Raises ConfigError for blocks that the network has not."""
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
        deepest = [*inner, self.depth - 1] if FEATURES in layers and self.depth - 1 not in inner else inner
        pooled = dict(zip(deepest, self.embed_blocks(windows, deepest)))
        if FEATURES in layers:  # the head reads CLS and DIST only, which the pooled tokens hold
            pooled[FEATURES] = self.classify(pooled[self.depth - 1])[-1]
        return [pooled[block] for block in layers]

    def window_logits(self, windows: Tensor) -> Tensor:
        """Normalised mel [W, F, M] -> logits [W, L]; of separated heads those of the mean of both heads' probabilities."""
        *heads, _ = self(windows)
        if len(heads) == 1:
            only: Tensor = heads[0]
            return only
        return torch.stack([head.float().sigmoid() for head in heads]).mean(dim=0).logit(eps=1e-7)
