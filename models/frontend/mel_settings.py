"""What decides a mel front end's output: one frozen dataclass per front end, and the filter banks. No torch here: processes that only plan
or name a front end stay small.

Sources: MAEST (arXiv 2309.16418), section 3; Essentia's `TensorflowInputMusiCNN` settings; the Slaney mel scale (Auditory
Toolbox, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Edges = Literal["essentia", "torch"]
NORM_MEAN = 2.06755686098554
NORM_STD = 1.268292820667291


@dataclass(frozen=True)
class MelSettings:
    """Everything that decides what a mel front end computes. `name` is what stores carry to say which one made them."""

    family: str
    sample_rate: int  # Hz
    n_fft: int  # samples; also the window's length
    hop: int  # samples
    n_mels: int
    f_min: float  # Hz
    f_max: float  # Hz
    compression: float  # log10(1 + compression * mel)
    mean: float  # of the log-mel values of the training corpus
    std_divisor: float  # normalised = (x - mean) / std_divisor
    edges: Edges

    @property
    def name(self) -> str:
        return f"{self.family}-{self.edges}"

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    def frames_of(self, seconds: float) -> int:
        """Whole frames in `seconds`: 5 s 312, 10 s 625, 30 s 1875 with MAEST's settings, the published input lengths."""
        return math.floor(seconds * self.sample_rate / self.hop + 1e-9)

    def n_frames(self, n_samples: int) -> int:
        """Frames that a signal of `n_samples` gives: one more than `frames_of` its length, and with "essentia" one for a last
        partial hop.
        """
        if n_samples <= 0:
            return 0
        return (n_samples // self.hop if self.edges == "torch" else -(-n_samples // self.hop)) + 1


# The normalisation divides by TWICE the standard deviation, as the published recipe does.
MAEST = MelSettings(
    family="maest",
    sample_rate=16000,
    n_fft=512,
    hop=256,
    n_mels=96,
    f_min=0.0,
    f_max=8000.0,
    compression=10000.0,
    mean=NORM_MEAN,
    std_divisor=2 * NORM_STD,
    edges="essentia",
)


def frames_of(seconds: float) -> int:
    """MAEST's frames in `seconds`: floor(seconds * 16000 / 256)."""
    return MAEST.frames_of(seconds)


def essentia_filterbank(settings: MelSettings = MAEST) -> np.ndarray:
    """Slaney-scale, unit-area triangles with Essentia's float32 rounding, [n_fft // 2 + 1, n_mels] float32.

    Every step is rounded to float32 where Essentia rounds: the mel points accumulate, and the exponential alone is computed in
    double. Any other order changes the log-mel by up to 8.6e-4.
    """
    f32 = np.float32
    linear, log_step, knee_hz, knee_mel = f32(200 / 3), f32(math.log(6.4) / 27), f32(1000), f32(15)

    def to_mel(hz: float) -> np.float32:
        if hz < knee_hz:
            return f32(f32(hz) / linear)
        return f32(knee_mel + f32(f32(math.log(f32(hz) / knee_hz)) / log_step))

    low, high = to_mel(settings.f_min), to_mel(settings.f_max)
    step = f32((high - low) / f32(settings.n_mels + 1))
    points, mel = [], low
    for _ in range(settings.n_mels + 2):
        points.append(
            f32(mel / f32(3 / 200)) if mel < knee_mel else f32(knee_hz * f32(math.exp(float(f32((mel - knee_mel) * log_step)))))
        )
        mel = f32(mel + step)
    f = np.array(points, dtype=f32)
    bins = np.arange(settings.n_fft // 2 + 1, dtype=f32) * f32(settings.sample_rate / settings.n_fft)
    b = bins[:, None]
    lower, centre, upper = f[:-2], f[1:-1], f[2:]
    weight = np.where(b < centre, (b - lower) / (centre - lower), (upper - b) / (upper - centre))
    weight = np.where((b >= lower) & (b <= upper), weight, f32(0)) * f32(2) / (upper - lower)
    return np.maximum(weight, 0).astype(f32)


def slaney_filterbank(settings: MelSettings = MAEST) -> np.ndarray:
    """The same triangles computed in double, [n_fft // 2 + 1, n_mels] float32: librosa's and torchaudio's bank."""
    log_step = math.log(6.4) / 27

    def to_mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) / log_step

    mel = np.linspace(to_mel(settings.f_min), to_mel(settings.f_max), settings.n_mels + 2)
    f = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(log_step * (mel - 15)))
    b = np.linspace(0, settings.sample_rate / 2, settings.n_fft // 2 + 1)[:, None]
    rise, fall = (b - f[:-2]) / (f[1:-1] - f[:-2]), (f[2:] - b) / (f[2:] - f[1:-1])
    return (np.maximum(np.minimum(rise, fall), 0) * 2 / (f[2:] - f[:-2])).astype(np.float32)
