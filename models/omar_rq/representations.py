"""What OMAR-RQ's networks read and predict: log-mels, constant-Q spectra, samples, EnCodec's latents, each cut into patches.

Letters: B clips, N samples, F rows of a representation, M its frames, p patch length in frames, T patches, P = F * p numbers of a patch.
A representation maps audio [B, N] to [B, F, M], z-normalised where mean and deviation are given. The keyword arguments are the names of the
published config.gin bindings.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError
from ..frontend.mel_settings import NORM_MEAN, NORM_STD, MelSettings, slaney_filterbank

COMPRESSION = 10000.0  # log10(1 + COMPRESSION * power)
Draws = Sequence[np.random.Generator]


def log_compress(power: Tensor) -> Tensor:
    """log10(1 + 10000 x)."""
    return torch.log10(1 + COMPRESSION * power)


def patches_of(features: Tensor, length: int) -> Tensor:
    """Features [B, F, M] as patches [B, M // length, F * length], rows slow and time fast within a patch; the incomplete last one is left out."""
    batch, rows, frames = features.shape
    count = frames // length
    cut = features[..., : count * length].reshape(batch, rows, count, length)
    return cut.transpose(1, 2).reshape(batch, count, rows * length)


class Representation(nn.Module, abc.ABC):
    """Base of the representations. Its constants are float32 whatever the network's precision, and never in checkpoints.

    Attributes:
        sr: Hz of the audio. hop: samples per frame. rows: F. patch_size: (F, p). norm_mean, norm_std: of the z-norm, None: none.
    """

    default_patch: tuple[int, int]

    def __init__(
        self,
        sr: int,
        hop: int,
        rows: int,
        patch_size: Sequence[int] | None,
        norm_mean: float | None,
        norm_std: float | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.sr, self.hop, self.rows = int(sr), int(hop), int(rows)
        if min(self.sr, self.hop, self.rows) < 1:
            raise ConfigError(f"{name}: rate, hop and rows are 1 or more; got {sr}, {hop} and {rows}.")
        if norm_std is not None and not norm_std > 0:
            raise ConfigError(f"{name}.norm_std is {norm_std}; it divides and must be above 0 (None: no normalisation).")
        self.norm_mean, self.norm_std = norm_mean, norm_std
        size = (self.rows, self.default_patch[1]) if patch_size is None else tuple(int(n) for n in patch_size)
        if len(size) != 2 or size[0] != self.rows or size[1] < 1:
            raise ConfigError(
                f"{name}.patch_size is {tuple(size)}: a patch has all {self.rows} rows and 1 frame or more, as ({self.rows}, 4)."
            )
        self.patch_size = (int(size[0]), int(size[1]))
        self._place(torch.device("cpu"))

    # ---- constants
    def constants(self) -> dict[str, np.ndarray]:
        """Arrays that `features` uses, by the names that they have as attributes."""
        return {}

    def _place(self, device: torch.device) -> None:
        for name, values in self.constants().items():  # from numpy: also a network that is built on the meta device has them
            self.register_buffer(name, torch.from_numpy(values).to(device), persistent=False)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)
        first = next(iter(self.constants()), None)
        if first is not None:
            self._place(getattr(self, first).device)
        return self

    # ---- sizes
    @property
    def patch_dim(self) -> int:
        """P."""
        return self.patch_size[0] * self.patch_size[1]

    @property
    def rate(self) -> float:
        """Patches per second."""
        return self.sr / (self.hop * self.patch_size[1])

    def n_frames(self, n_samples: int) -> int:
        """M of so many samples: frames centred on every hop, unless a representation says otherwise."""
        return 1 + n_samples // self.hop

    def n_patches(self, n_samples: int) -> int:
        """T of so many samples."""
        return self.n_frames(n_samples) // self.patch_size[1]

    @property
    def least_samples(self) -> int:
        """Samples that one patch takes."""
        return (self.patch_size[1] - 1) * self.hop

    # ---- audio to numbers
    @abc.abstractmethod
    def features(self, wave: Tensor, draws: Draws | None) -> Tensor:
        """Audio [B, N] float32 -> [B, F, M], not normalised. draws: of augmentation, one per clip; None: none."""

    def forward(self, wave: Tensor, draws: Draws | None = None) -> Tensor:
        """Audio [B, N] at `sr` -> [B, F, M], normalised. draws: a stream per clip where the configured augmentation is wanted (training)."""
        with torch.autocast(device_type=wave.device.type, enabled=False):
            return self.normalise(self.features(wave.float(), draws))

    def normalise(self, x: Tensor) -> Tensor:
        """(x - mean) / std, or x where either is None."""
        if self.norm_mean is None or self.norm_std is None:
            return x
        return (x - self.norm_mean) / self.norm_std

    def patches(self, wave: Tensor, draws: Draws | None = None) -> Tensor:
        """Audio [B, N] -> patches [B, T, P]."""
        return patches_of(self(wave, draws), self.patch_size[1])

    def extra_repr(self) -> str:
        return f"sr={self.sr} Hz, patch_size={self.patch_size}, {self.rate:g} patches/s"


class MelSpectrogram(Representation):
    """Log-mels: power spectrum (Hann, centred, mirrored ends), Slaney's triangles of unit area, log10(1 + 10000 x), z-norm.

    freq_mask_param, time_mask_param: SpecAugment's largest masks of the linear spectrum, in bins and frames, in training; 0: none.

    Raises ConfigError for what the published networks never had: other mel scales or norms, time stretch.
    """

    default_patch = (96, 4)
    window: Tensor
    bank: Tensor

    def __init__(
        self,
        sr: int = 16000,
        win_len: int = 512,
        hop_len: int = 256,
        power: float = 2,
        n_mel: int = 96,
        norm: str | None = "slaney",
        mel_scale: str = "slaney",
        norm_mean: float | None = NORM_MEAN,
        norm_std: float | None = NORM_STD,
        patch_size: Sequence[int] | None = None,
        stretch_factor: float = 1,
        freq_mask_param: int = 0,
        time_mask_param: int = 0,
    ) -> None:
        if norm != "slaney" or mel_scale != "slaney":
            raise ConfigError(f"MelSpectrogram has norm and mel_scale 'slaney'; got {norm!r} and {mel_scale!r}.")
        if stretch_factor != 1:
            raise ConfigError(f"MelSpectrogram.stretch_factor is {stretch_factor}: there is no time stretch here. Set it to 1.")
        if min(freq_mask_param, time_mask_param) < 0 or not power > 0 or win_len < 2:
            raise ConfigError("MelSpectrogram: masks are 0 or more, the power is above 0, the window 2 samples or more.")
        self.win_len, self.power, self.n_mel = int(win_len), float(power), int(n_mel)
        self.masks = (int(freq_mask_param), int(time_mask_param))
        self._rate = int(sr)
        super().__init__(sr, hop_len, n_mel, patch_size, norm_mean, norm_std)

    def constants(self) -> dict[str, np.ndarray]:
        """See Representation."""
        rate = self._rate
        settings = MelSettings(
            "omar_rq", rate, self.win_len, 1, self.n_mel, 0.0, rate / 2, COMPRESSION, mean=0.0, std_divisor=1.0, edges="torch"
        )
        k = np.arange(self.win_len)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * k / self.win_len)
        return {"window": window.astype(np.float32), "bank": slaney_filterbank(settings)}

    @property
    def least_samples(self) -> int:
        """Samples that one patch takes, and that mirrored ends need."""
        return max(super().least_samples, self.win_len // 2 + 1)

    def features(self, wave: Tensor, draws: Draws | None) -> Tensor:
        """See Representation."""
        half = self.win_len // 2
        padded = F.pad(wave[:, None], (half, half), mode="reflect")[:, 0]
        spectrum = torch.fft.rfft(padded.unfold(-1, self.win_len, self.hop) * self.window)  # [B, M, bins]
        power = spectrum.real.square() + spectrum.imag.square()
        if self.power != 2:
            power = power.clamp_min(1e-30) ** (self.power / 2)
        if draws is not None and any(self.masks):
            power = mask_spectrum(power, self.masks, draws)
        return log_compress(_in_double(power, self.bank)).transpose(1, 2)


def _in_double(power: Tensor, bank: Tensor) -> Tensor:
    """Their product summed in double where the device has it: low settings of float32 products would cost three digits."""
    if power.device.type == "mps" or torch.compiler.is_compiling():
        return power @ bank
    return (power.double() @ bank.double()).float()


def mask_spectrum(power: Tensor, widths: tuple[int, int], draws: Draws) -> Tensor:
    """SpecAugment (arXiv 1904.08779) on a linear spectrum [B, M, bins]: one band of bins and one of frames of each clip set to 0.

    widths: largest widths (bins, frames); each is drawn evenly from [0, width), its place evenly from where it fits.
    """
    keep = torch.ones(power.shape, dtype=torch.bool)
    for clip, rng in enumerate(draws):
        for axis, most in ((1, widths[0]), (0, widths[1])):
            size = keep.shape[1 + axis]
            wide = int(rng.uniform(0, min(most, size))) if most else 0
            start = int(rng.uniform(0, size - wide + 1e-9))
            where = (slice(start, start + wide), slice(None)) if axis == 0 else (slice(None), slice(start, start + wide))
            keep[clip][where] = False
    return power * keep.to(power.device)


class Waveform(Representation):
    """The samples themselves, z-normalised: [B, 1, N]."""

    default_patch = (1, 960)

    def __init__(
        self,
        sr: int = 24000,
        norm_mean: float | None = 0.0,
        norm_std: float | None = 0.1908563740990311,
        patch_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__(sr, 1, 1, patch_size, norm_mean, norm_std)

    def n_frames(self, n_samples: int) -> int:
        """N."""
        return n_samples

    @property
    def least_samples(self) -> int:
        """One patch."""
        return self.patch_size[1]

    def features(self, wave: Tensor, draws: Draws | None) -> Tensor:
        """See Representation."""
        return wave[:, None]
