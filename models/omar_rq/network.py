"""OMAR-RQ (arXiv 2507.03482): audio -> representation -> patches -> conformer -> vectors at 15.6 to 25 Hz.

Letters: B clips, N samples, T vectors in time, C width, L layers asked for. A layer is a block's output. Vectors of a clip look back over all of it
(the attention is causal) and 15 vectors ahead in each block: what stands behind a clip changes its vectors, so that clips of unlike length are
never padded into one batch here. Networks were trained on 30 s (Freesound: 10 s); longer recordings are cut into windows by `embed`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..encoder import AudioEncoder
from ..errors import ConfigError
from ..frontend.waves import check_audio, check_rate
from ..mean_head import MeanHead
from ..settings import FLAG, LABELS, Maybe, Number, Rules, check_settings, check_size
from .chunks import Time, aggregate_embeddings
from .conformer import Conformer
from .representations import Draws, Representation
from .resampling import resample, resampled_length
from .settings import check_representation, make_representation

log = logging.getLogger(__name__)
TRANSFER_LAYER = 6  # of the authors' probes
MEL_INPUT: Mapping[str, Any] = {"name": "MelSpectrogram"}
NO_PADDING = "each block looks 15 vectors ahead, so that padding changes a clip's vectors"
_LONGER = 1.1  # x max_seconds from which on a clip is said to be longer than any that was trained on


_AMOUNT = Number(1e-6, 1e6, whole=False)
RULES: Rules = {
    "embed_dim": Number(1, 65_536), "depth": Number(1, 1000), "num_heads": Number(1, 4096), "mlp_ratio": Number(0.01, 64, whole=False),
    "mlp_residual_factor": Number(-1000, 1000, whole=False), "dropout": Number(0, 0.999, whole=False),
    "input_dropout": Number(0, 0.999, whole=False), "alpha_deepnorm": Maybe(_AMOUNT), "beta_deepnorm": Maybe(_AMOUNT), "use_deepnorm": FLAG,
    "use_rope": FLAG, "max_seconds": Number(0.001, 100_000, whole=False), "audio_rate": Maybe(Number(100, 768_000)),
    "out_dim": Maybe(Number(1, 100_000)), "labels": LABELS, "exclusive": FLAG,
}  # fmt: skip


def check(settings: Mapping[str, Any], what: str = "This OmarRQ", error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given as far as they are known, that are no OmarRQ's, or one's that is too large to be built."""
    own = {name: value for name, value in settings.items() if name not in ("input", "targets", "masking")}
    check_settings(own, RULES, what, error)
    if "input" in settings:
        check_representation(settings["input"], what, error)
    width, depth = settings.get("embed_dim", 1024), settings.get("depth", 24)
    check_size(depth * width * (4 * width * settings.get("mlp_ratio", 4.0) + 7 * width), what, error)


class OmarRQ(MeanHead, AudioEncoder):
    """The encoder of an OMAR-RQ model.

    Args:
        embed_dim, depth, num_heads, mlp_ratio, mlp_residual_factor, dropout, input_dropout, alpha_deepnorm, beta_deepnorm, use_deepnorm, use_rope: of
            the Conformer.
        input: settings of the input representation: its class under "name" (MelSpectrogram, CQT, Waveform, EnCodec), and its arguments.
        max_seconds: length of the clips that it was trained on.
        audio_rate: Hz of the audio that it is given, resampled to the input's; None: the input's. 16 000: what the published 24 kHz networks
            were trained on.
        out_dim: classes of a linear head on the mean of the last layer; None: no head. labels: their names. exclusive: one class per recording.

    Raises ConfigError for settings that cannot work together.
    """

    family = "omar_rq"
    transfer_layer = TRANSFER_LAYER
    own_lengths = True
    chunk_pool: Time = "mean"  # of a chunk's vectors, what extraction keeps

    def __init__(
        self,
        embed_dim: int = 1024,
        depth: int = 24,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        mlp_residual_factor: float = 4.0,
        dropout: float = 0.2,
        input_dropout: float = 0.0,
        alpha_deepnorm: float | None = None,
        beta_deepnorm: float | None = None,
        use_deepnorm: bool = True,
        use_rope: bool = True,
        input: Mapping[str, Any] = MEL_INPUT,
        max_seconds: float = 30.0,
        audio_rate: int | None = None,
        out_dim: int | None = None,
        labels: Sequence[str] | None = None,
        exclusive: bool = False,
    ) -> None:
        super().__init__()
        check({name: value for name, value in locals().items() if name in (*RULES, "input")})
        conformer: dict[str, Any] = {
            "embed_dim": embed_dim,
            "depth": depth,
            "num_heads": num_heads,
            "mlp_ratio": mlp_ratio,
            "mlp_residual_factor": mlp_residual_factor,
            "dropout": dropout,
            "input_dropout": input_dropout,
            "alpha_deepnorm": alpha_deepnorm,
            "beta_deepnorm": beta_deepnorm,
            "use_deepnorm": use_deepnorm,
            "use_rope": use_rope,
        }
        self._settings: dict[str, Any] = {**conformer, "input": _as_builtins(input), "max_seconds": float(max_seconds)}
        self.representation: Representation = make_representation(input)
        self.embedding_layer = nn.Linear(self.representation.patch_dim, embed_dim)
        self.net = Conformer(**conformer)
        self._make_head(embed_dim, out_dim, labels, exclusive)
        self.embed_dim, self.depth = int(embed_dim), int(depth)
        self.audio_rate = None if audio_rate is None else int(audio_rate)
        self.sample_rate = self.audio_rate or self.representation.sr
        self.embedding_rate = self.representation.rate
        self.max_seconds = float(max_seconds)
        if self.n_vectors(self.window_length) < 1:
            raise ConfigError(f"max_seconds is {max_seconds}: shorter than one vector ({1 / self.embedding_rate:.3f} s).")

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""
        return {**self._settings, "audio_rate": self.audio_rate, **self.head_settings}

    # ---- published names
    @property
    def sr(self) -> int:
        """Sample rate of the audio that it is given, Hz."""
        return self.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per frame of the input representation."""
        return self.representation.hop

    @property
    def patch_size(self) -> tuple[int, int]:
        """Rows and frames of a patch."""
        return self.representation.patch_size

    def extra_repr(self) -> str:
        return (
            f"sample_rate={self.sample_rate} Hz, {self.embedding_rate:g} embeddings/s, {self.depth} layers of {self.embed_dim}, "
            f"trained on {self.max_seconds:g} s"
        )

    # ---- layers
    @property
    def block_list(self) -> str | None:
        """See AudioEncoder."""
        return "net.layers"

    # ---- windows
    @property
    def window_range(self) -> tuple[int, int]:
        """One vector's samples, and the clips that it was trained on."""
        return self.least_samples, self.window_length

    @property
    def about_extraction(self) -> dict[str, Any]:
        """See AudioEncoder."""
        return {
            "network": {"embed_dim": self.embed_dim, "depth": self.depth, "input": self._settings["input"]["name"]},
            "embedding_rate": self.embedding_rate,
            **({} if self.chunk_pool == "mean" else {"pooled": self.chunk_pool}),
        }

    def summaries(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """See AudioEncoder; the mean, or (chunk_pool) the maximum, over a window's vectors."""
        chosen = self.resolve_layers(layers)
        found = self.encode(windows, chosen)
        vectors = {layer: aggregate_embeddings(one[None], "none", "chunk", self.chunk_pool) for layer, one in zip(chosen, found)}
        return [vectors[layer % self.depth] for layer in layers]

    def n_vectors(self, n_samples: int) -> int:
        """T of a clip of so many samples."""
        return self.representation.n_patches(resampled_length(n_samples, self.sample_rate, self.representation.sr))

    @property
    def least_samples(self) -> int:
        """Samples of one vector."""
        return resampled_length(self.representation.least_samples, self.representation.sr, self.sample_rate)

    # ---- audio to vectors
    def embedded(self, patches: Tensor) -> Tensor:
        """Patches [B, T, P] -> what the first block reads [B, T, C]."""
        out: Tensor = self.embedding_layer(patches.to(self.dtype))
        return out

    def wave(self, audio: Tensor) -> Tensor:
        """Audio [B, N] -> the same at the input's rate. Raises AudioError for audio that cannot be used (frontend/waves.py)."""
        checked = check_audio(audio, self.sample_rate, self.least_samples, NO_PADDING)
        return resample(checked, self.sample_rate, self.representation.sr)

    def input_patches(self, audio: Tensor, draws: Draws | None = None) -> Tensor:
        """Audio [B, N] -> patches [B, T, P]. draws: of the representation's augmentation, one per clip. Raises AudioError as `wave` does."""
        return self.representation.patches(self.wave(audio), draws)

    def encode(self, audio: Tensor, layers: Iterable[int] | int | None = None) -> Tensor:
        """Audio [B, N] -> outputs of blocks (default: the last) [L, B, T, C]; differentiable, nothing behind the deepest one is computed.

        Raises ValueError for layers that are not there, AudioError for audio that cannot be used.
        """
        chosen = self.resolve_layers(layers)
        return torch.stack(self.net.outputs(self.embedded(self.input_patches(audio)), chosen))

    def extract_embeddings(
        self, audio: Tensor, layers: Iterable[int] | int | None = None, sample_rate: int | None = None
    ) -> Tensor:
        """Vectors [L, B, T, C] of audio [B, N] in eval mode, without gradients; layers ascending, each once. Times: arange(T) / eps.

        sample_rate: of the audio, where it shall be checked. Raises AudioError for another rate than the network's, and as `encode` does.
        """
        check_rate(sample_rate, self.sample_rate)
        if isinstance(audio, Tensor) and audio.ndim == 2 and audio.shape[1] > _LONGER * self.window_length:
            log.warning(
                "%.0f s of audio: the network was trained on %g s. embed() cuts recordings into such windows.",
                audio.shape[1] / self.sample_rate, self.max_seconds,
            )  # fmt: skip
        return super().extract_embeddings(audio, layers)  # type: ignore[arg-type]

    def forward(self, audio: Tensor) -> Tensor:
        """Audio [B, N] -> logits where there is a head, else the last layer [B, T, C]."""
        return self.window_logits(audio) if self.has_classes else self.encode(audio)[0]


def _as_builtins(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in settings.items()}
