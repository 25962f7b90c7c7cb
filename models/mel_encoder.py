"""MelEncoder: the part that all networks of log-mels share, between AudioEncoder and a family: windows of mels, stores of raw log-mels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .encoder import AudioEncoder
from .frontend import MaestMel, MelSettings, mel_blocks, normalise


class MelEncoder(AudioEncoder):
    """A network whose windows are log-mels [F, M], M frames of F bands, and whose stores hold raw ones [M, F].

    melspectrogram: its front end; `mean` and `std_divisor` of its settings normalise (0 and 1: they do not). A subclass says `window_length`.
    """

    melspectrogram: MaestMel

    @property
    def units_per_second(self) -> float:
        return self.mel_settings.frame_rate

    @property
    def mel_settings(self) -> MelSettings:
        return self.melspectrogram.settings

    @property
    def silence(self) -> float:
        return -self.mel_settings.mean / self.mel_settings.std_divisor  # a raw log-mel of 0, normalised

    @property
    def least_tail(self) -> int:
        return 2  # frames: the front end's partial and last ones stand for no sound of their own

    def window_blocks(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        waves = (torch.from_numpy(block).to(self.device) for block in blocks)
        return (mel.cpu().numpy() for mel in mel_blocks(self.melspectrogram, waves))

    @property
    def stored(self) -> dict[str, Any]:
        s = self.mel_settings
        return {"kind": "mel", "front_end": s.name, "sample_rate": s.sample_rate, "hop": s.hop}

    @property
    def stored_item(self) -> tuple[int, ...]:
        return (self.mel_settings.n_mels,)

    def from_stored(self, windows: Tensor) -> Tensor:
        """Stored raw log-mels [W, M, F] -> normalised mels [W, F, M]."""
        return normalise(windows.float().transpose(1, 2), self.mel_settings)
