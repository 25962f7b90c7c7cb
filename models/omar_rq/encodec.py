"""EnCodec's continuous latents as a target: the encoder of the 24 kHz model (arXiv 2210.13438) before any quantisation, at 75 Hz.

Its weights are facebook/encodec_24khz of the Hugging Face hub, read by transformers. Only networks that are trained need them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .._torchvision import ensure_torchvision
from ..bounded_files import read_json
from ..errors import ConfigError, WeightsError, WeightsNotFoundError
from ..weights import downloads
from ..weights.locate import WEIGHTS_VARIABLE, weight_folders
from ..weights.safetensors_files import read_header
from .representations import Draws, Representation
from .resampling import resample, resampled_length

ensure_torchvision()  # before transformers is imported anywhere, by a user too
log = logging.getLogger(__name__)
RATE, HOP, ROWS = 24000, 320, 128
NAME, HUB = "encodec_24khz", "facebook/encodec_24khz"
MEAN, STD = -0.5577428463574771, 5.863781862801963  # of the published training data
ROW_SECONDS = 30  # of the rows that a single long signal is cut into
NormType = Literal["global", "dimensionwise"]


def find_encodec(weights_path: str | Path | None) -> Path:
    """Return the folder of EnCodec's config.json and weights: the named one, one in MAEST_WEIGHTS or the caches, or downloaded.

    Raises WeightsNotFoundError naming the files to place and where.
    """
    folders = [] if weights_path is None else [Path(weights_path)]
    folders += [folder / NAME for folder in weight_folders()]
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    reasons = []
    for cached_only in (True, False):
        if not cached_only and downloads.offline():
            reasons.append("HF_HUB_OFFLINE forbids the network")
            continue
        try:
            return downloads.from_hub(HUB, cached_only=cached_only)
        except downloads.DownloadError as error:
            reasons.append(str(error))
    raise WeightsNotFoundError(
        f"EnCodec's weights are not on this machine and could not be downloaded ({reasons[-1]}).\nGet config.json and model.safetensors of "
        f"https://huggingface.co/{HUB} and place them in a folder {NAME} of a folder that {WEIGHTS_VARIABLE} names"
        + (f", or as {weights_path}" if weights_path else "")
        + ". Only pre-training with EnCodec targets needs them."
    )


def load_encoder(folder: Path) -> nn.Module:
    """Return the frozen encoder of a folder. Raises WeightsError for files that are no EnCodec of 24 kHz."""
    try:
        from transformers import EncodecModel  # here for start-up time
    except ImportError as error:
        raise ImportError("EnCodec's targets need transformers: pip install transformers.") from error
    _check_folder(folder)
    try:
        with torch.device("cpu"):
            model = EncodecModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{folder} holds no EnCodec that transformers can read: {error}") from error
    if model.config.sampling_rate != RATE or model.config.hidden_size != ROWS or model.config.hop_length != HOP:
        raise WeightsError(f"{folder} is not the 24 kHz EnCodec: {RATE} Hz, hop {HOP} and {ROWS} rows are wanted.")
    encoder: nn.Module = model.encoder.eval().requires_grad_(False)
    return encoder


def _check_folder(folder: Path) -> None:
    """Raise WeightsError, before transformers builds what a file says, for another config than that of the 24 kHz EnCodec, and for odd weights."""
    try:
        about = read_json(folder / "config.json", 1 << 20)
        sizes = (
            about.get("sampling_rate", RATE),
            about.get("hidden_size", ROWS),
            math.prod(about.get("upsampling_ratios", [HOP])),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / 'config.json'} cannot be read as a config: {error}.") from error
    if sizes != (RATE, ROWS, HOP):
        raise WeightsError(f"{folder} is not the 24 kHz EnCodec: {RATE} Hz, {ROWS} rows and hop {HOP} are wanted.")
    read_header(folder / "model.safetensors")


def _statistics(norm_type: str, stats_path: str | Path | None) -> tuple[Any, Any]:
    """Mean and deviation: numbers, or [128] each."""
    if norm_type not in get_args(NormType):
        raise ConfigError(f"EnCodec.norm_type is '{norm_type}'; choose {' or '.join(get_args(NormType))}.")
    there = stats_path is not None and Path(stats_path).is_file()
    if norm_type == "global" and not there:
        if stats_path is not None:
            log.warning("EnCodec.stats_path: %s is not there: the published statistics are taken.", stats_path)
        return MEAN, STD
    if not there:
        raise ConfigError(
            f"EnCodec.norm_type dimensionwise needs its statistics: {stats_path} is not there (EnCodec.stats_path)."
        )
    names = ("mean", "std") if norm_type == "global" else ("mean_dims", "std_dims")
    try:
        content = read_json(str(stats_path))
        mean, std = (np.asarray(content[name], dtype=np.float64) for name in names)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"{stats_path} holds no {' and '.join(names)}: {error!r}.") from error
    shape = () if norm_type == "global" else (ROWS,)
    if mean.shape != shape or std.shape != shape or not (std > 0).all() or not np.isfinite([mean, std]).all():
        raise ConfigError(f"{stats_path}: {names[0]} and {names[1]} have shape {list(shape)} and deviations above 0.")
    return (float(mean), float(std)) if norm_type == "global" else (mean, std)


class EnCodec(Representation):
    """EnCodec's latents [B, 128, ceil(N / 320)] of audio at `orig_sr` Hz, z-normalised.

    weights_path: folder of the model (None, or one that is not there: see `find_encodec`). norm_type: one mean and deviation, or one per row.
    stats_path: json file of them; None: the published ones. norm_mean, norm_std: in its place.
    orig_sr: Hz of the audio; resampled where it is not 24 000.
    """

    default_patch = (128, 5)

    def __init__(
        self,
        weights_path: str | Path | None = None,
        norm_type: NormType = "global",
        stats_path: str | Path | None = None,
        orig_sr: int = RATE,
        patch_size: Sequence[int] | None = None,
        norm_mean: float | None = None,
        norm_std: float | None = None,
    ) -> None:
        measured = norm_mean is not None and norm_std is not None and norm_type == "global"
        found: tuple[Any, Any] = (norm_mean, norm_std) if measured else _statistics(norm_type, stats_path)
        self.rows_mean, self.rows_std = found
        one = norm_type == "global"
        super().__init__(RATE, HOP, ROWS, patch_size, self.rows_mean if one else None, self.rows_std if one else None)
        self.orig_sr = int(orig_sr)
        self.encoder = load_encoder(find_encodec(weights_path))

    def train(self, mode: bool = True) -> EnCodec:
        """Stays in eval mode."""
        super().train(False)
        return self

    def n_frames(self, n_samples: int) -> int:
        """ceil(N / 320) at 24 kHz."""
        return resampled_length(resampled_length(n_samples, self.orig_sr, RATE), HOP, 1)

    @torch.no_grad()
    def features(self, wave: Tensor, draws: Draws | None) -> Tensor:
        """See Representation. A single signal [N] is cut into rows of 30 s, the last one padded with zeros."""
        wave = resample(wave, self.orig_sr, RATE)
        if wave.ndim == 1:
            size = ROW_SECONDS * RATE
            wave = nn.functional.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
        out: Tensor = self.encoder(wave[:, None])
        return out

    def normalise(self, x: Tensor) -> Tensor:
        """See Representation."""
        if isinstance(self.rows_mean, float):
            return super().normalise(x)
        mean, std = (torch.from_numpy(v).to(x)[:, None] for v in (self.rows_mean, self.rows_std))
        return (x - mean) / std
