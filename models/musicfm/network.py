"""MusicFM (arXiv 2311.03318): 24 kHz audio -> log-mels at 100 Hz -> convolutional stem -> conformer -> vectors at 25 Hz, and logits of their tokens.

Letters: B clips, N samples, T vectors in time, D width, L depth, V codes, K codebooks. Two ways to count layers: as published, `layer_ix` 0 is the
stem's output, i that of block i, and L that of the last block behind the final layer norm; as in every family here, layers are blocks from 0 on, so
that layer i is `layer_ix` i + 1. Attention looks both ways and the batch statistics are fixed in eval mode: a clip's vectors depend on all of it, and
on nothing else in its batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..encoder import AudioEncoder
from ..errors import AudioError, ConfigError
from ..frontend.waves import check_audio, check_rate
from ..mean_head import MeanHead
from ..settings import FLAG, LABELS, Choice, Maybe, Number, Rules, check_settings, check_size
from ..tokens.masking import NOISE_STD
from ..tokens.quantizers import RandomProjectionQuantizer
from ..weights.checkpoints import read_checkpoint
from ..weights.strict import load_strictly
from .conformer import PUBLISHED, Conformer, check_conformer
from .files import FEATURE, STATS, WEIGHTS, check_files, check_stats, published_state, statistics_of
from .mel import LEAST_SAMPLES, MelDecibels
from .stem import Stem

log = logging.getLogger(__name__)
RATE = 24000
STACK = 4  # frames of a token
QUANTIZER_SEED = 142  # published
TRANSFER_LAYER = 6  # the authors' 7th block, for frozen use
NO_PADDING = "attention looks both ways over all of a clip, so that padding changes its vectors"
RULES: Rules = {
    "num_codebooks": Number(1, 1000), "codebook_dim": Number(1, 65_536), "codebook_size": Number(2, 10_000_000),
    "quantizer_seed": Number(0, 2**32 - 1), "hop_length": Number(1, 24_000), "n_mels": Number(4, 4096), "conv_dim": Number(1, 65_536),
    "encoder_dim": Number(2, 65_536), "encoder_depth": Number(1, 1000), "mask_hop": Number(0.001, 1000, whole=False),
    "mask_prob": Number(1e-6, 1, whole=False), "is_flash": FLAG, "stat_path": Choice((None,)), "model_path": Choice((None,)),
    "norm_mean": Number(-100, 100, whole=False), "norm_std": Number(0.01, 200, whole=False),
    "max_seconds": Number(0.05, 100_000, whole=False), "out_dim": Maybe(Number(1, 100_000)), "labels": LABELS, "exclusive": FLAG,
}  # fmt: skip


def check(settings: Mapping[str, Any], what: str = "This MusicFM", error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given as far as they are known, that are no MusicFM25Hz's, or one's that is too large to be built."""
    check_settings({name: value for name, value in settings.items() if name != "conformer"}, RULES, what, error)
    s = {
        "encoder_dim": 1024,
        "encoder_depth": 12,
        "conv_dim": 512,
        "num_codebooks": 1,
        "codebook_size": 4096,
        "n_mels": 128,
        **settings,
    }
    own = settings.get("conformer")
    check_conformer(own, s["encoder_dim"], what, error)
    if own is None:
        check_conformer({}, s["encoder_dim"], what, error)
    width, inner = s["encoder_dim"], {**PUBLISHED, **(own or {})}["intermediate_size"]
    blocks = s["encoder_depth"] * width * (4 * inner + 7 * width)
    stem = 9 * s["conv_dim"] * (3 * s["conv_dim"] + 2) + s["conv_dim"] * (s["n_mels"] // 4) * width
    check_size(blocks + stem + s["num_codebooks"] * s["codebook_size"] * width, what, error)


class MusicFM25Hz(MeanHead, AudioEncoder):
    """The published model: encoder, quantisers and the linear layer that predicts tokens.

    Args:
        num_codebooks, codebook_dim, codebook_size: of the frozen quantisers. hop_length: samples of a frame. n_mels: bands.
        conv_dim: channels of the stem. encoder_dim: D. encoder_depth: L.
        mask_hop: seconds of a masked block. mask_prob: that a block is masked.
        is_flash: attention by torch's scaled_dot_product_attention (on any device and in any precision; on a GPU in half precision its flash
            kernel); False: plain products and softmax, as published. The numbers are the same.
        stat_path, model_path: published files of statistics and weights. None: none; for the weights that means random ones, which need no
            statistics of their own: where the default stat_path is not there, it counts as None.
        conformer: settings of the blocks in place of the published ones (conformer.PUBLISHED), by transformers' names.
        norm_mean, norm_std: of the log-mels in dB, where no stat_path is given; None: the Million Song Dataset's, for random weights. The log
            says what was taken.
        max_seconds: length of the clips that it was trained on, and of the windows of longer recordings.
        out_dim: classes of a linear head on the mean of the last layer; None: no head. labels: their names. exclusive: one class per recording.
        quantizer_seed: of the first codebook where no file says it; of the next ones one more each.

    Raises WeightsNotFoundError naming files that are not there, WeightsError for weights that do not fit, ConfigError for settings that cannot work.
    """

    family = "musicfm"
    sample_rate = RATE
    transfer_layer = TRANSFER_LAYER
    own_lengths = True
    _said_slow = False

    def __init__(
        self,
        num_codebooks: int = 1,
        codebook_dim: int = 16,
        codebook_size: int = 4096,
        hop_length: int = 240,
        n_mels: int = 128,
        conv_dim: int = 512,
        encoder_dim: int = 1024,
        encoder_depth: int = 12,
        mask_hop: float = 0.4,
        mask_prob: float = 0.6,
        is_flash: bool = False,
        stat_path: str | Path | None = STATS,
        model_path: str | Path | None = WEIGHTS,
        conformer: Mapping[str, Any] | None = None,
        norm_mean: float | None = None,
        norm_std: float | None = None,
        max_seconds: float = 30.0,
        out_dim: int | None = None,
        labels: Iterable[str] | None = None,
        exclusive: bool = False,
        quantizer_seed: int = QUANTIZER_SEED,
    ) -> None:
        super().__init__()
        given = {name: value for name, value in locals().items() if name in RULES or name == "conformer"}
        stats, weights = check_files(stat_path, model_path)
        given["norm_mean"], given["norm_std"] = statistics_of(stats, weights, norm_mean, norm_std)
        given |= {"stat_path": None, "model_path": None, "labels": None if labels is None else list(labels)}
        check_stats(given["norm_mean"], given["norm_std"], "norm_mean and norm_std")
        check(given)
        own = {name: float(given[name]) for name in ("mask_hop", "mask_prob", "norm_mean", "norm_std", "max_seconds")}
        own["conformer"] = None if conformer is None else dict(conformer)  # type: ignore[assignment]
        self._settings = {**{k: v for k, v in given.items() if k not in ("out_dim", "labels", "exclusive")}, **own}
        self.cls_token: Tensor  # a part of published files that no pass uses
        self.register_buffer("cls_token", torch.zeros(encoder_dim))
        self.add_module(f"preprocessor_{FEATURE}", MelDecibels(RATE, hop_length, n_mels))
        for k in range(num_codebooks):
            quantizer = RandomProjectionQuantizer(STACK * n_mels, codebook_dim, codebook_size, seed=quantizer_seed + k)
            self.add_module(f"quantizer_{FEATURE}_{k}", quantizer)
        self.conv = Stem(conv_dim, encoder_dim, n_mels)
        self.conformer = Conformer(encoder_dim, encoder_depth, conformer, bool(is_flash))
        self.linear = nn.Linear(encoder_dim, codebook_size * num_codebooks)
        self._make_head(encoder_dim, out_dim, given["labels"], exclusive)
        self.embed_dim, self.depth = int(encoder_dim), int(encoder_depth)
        self.embedding_rate, self.max_seconds = RATE / (STACK * hop_length), float(max_seconds)
        self.num_codebooks, self.codebook_size = int(num_codebooks), int(codebook_size)
        if self.window_length < LEAST_SAMPLES:
            raise ConfigError(f"max_seconds is {max_seconds}: mirrored ends need {LEAST_SAMPLES / RATE:.3f} s at least.")
        self.block_samples, self.block_tokens = self._block(mask_hop, hop_length)
        if weights is not None:
            load_strictly(self, published_state(read_checkpoint(weights), str(weights)), str(weights))

    @staticmethod
    def _block(mask_hop: float, hop: int) -> tuple[int, int]:
        """Samples and tokens of a masked block. Raises ConfigError for a block that is no whole number of tokens."""
        samples, token = round(mask_hop * RATE), STACK * hop
        if samples < token or samples % token:
            raise ConfigError(f"mask_hop is {mask_hop} s: a masked block is a whole number of tokens of {token / RATE:g} s.")
        return samples, samples // token

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""
        return {**self._settings, **self.head_settings}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MusicFM25Hz:
        """Moves to a device, but the front end, the quantisers and the positions stay float32 in a model that is made half or bfloat16."""
        kept = [(module, name, module._buffers[name]) for module, name in self._exact()]
        super()._apply(fn, recurse)
        for module, name, before in kept:
            now = module._buffers[name]
            if before is not None and now is not None and not before.is_meta and now.dtype != before.dtype:
                module._buffers[name] = before.to(now.device)
        return self

    def _exact(self) -> list[tuple[nn.Module, str]]:
        parts = [self.preprocessor, *self.quantizers, self.conformer.embed_positions]
        return [(module, name) for part in parts for module in part.modules() for name in module._buffers]

    # ---- parts under published names
    @property
    def preprocessor(self) -> MelDecibels:
        found = getattr(self, f"preprocessor_{FEATURE}")
        assert isinstance(found, MelDecibels)
        return found

    @property
    def quantizers(self) -> list[RandomProjectionQuantizer]:
        """One per codebook."""
        return [getattr(self, f"quantizer_{FEATURE}_{k}") for k in range(self._settings["num_codebooks"])]

    @property
    def block_list(self) -> str | None:
        """See AudioEncoder."""
        return "conformer.layers"

    # ---- windows
    @property
    def window_range(self) -> tuple[int, int]:
        """What mirrored ends need, and the clips that it was trained on."""
        return LEAST_SAMPLES, self.window_length

    @property
    def about_extraction(self) -> dict[str, Any]:
        """See AudioEncoder."""
        return {"network": {"embed_dim": self.embed_dim, "depth": self.depth}, "embedding_rate": self.embedding_rate}

    def n_vectors(self, n_samples: int) -> int:
        """T of a clip of so many samples: one for a last incomplete share too."""
        return -(-(n_samples // self.preprocessor.hop) // STACK)

    # ---- audio to vectors
    def mel(self, audio: Tensor) -> Tensor:
        """Audio [B, N] -> normalised log-mels [B, F, N // hop] float32. Raises AudioError for audio that cannot be used (frontend/waves.py)."""
        wave = check_audio(audio, RATE, LEAST_SAMPLES, NO_PADDING)
        return (self.preprocessor(wave) - self._settings["norm_mean"]) / self._settings["norm_std"]

    def hidden_states(self, audio: Tensor, last: int) -> list[Tensor]:
        """Audio [B, N] -> hidden states 0 .. last [B, T, D], by the published numbers; no further block is computed."""
        if self.dtype == torch.float16 and self.device.type == "cpu" and not self._said_slow:
            self._said_slow = True
            log.warning("float16 on the CPU is far slower than float32: use .float() or .bfloat16() there.")
        return self.conformer.outputs(self.conv(self.mel(audio).to(self.dtype)), last)

    def encode(self, audio: Tensor, layers: Iterable[int] | int | None = None) -> Tensor:
        """Audio [B, N] -> outputs of blocks (default: the last) [L, B, T, D]; differentiable, nothing behind the deepest one is computed.

        Raises ValueError for layers that are not there, AudioError for audio that cannot be used.
        """
        chosen = self.resolve_layers(layers)
        found = self.hidden_states(audio, chosen[-1] + 1)
        return torch.stack([found[layer + 1] for layer in chosen])

    def extract_embeddings(
        self, audio: Tensor, layers: Iterable[int] | int | None = None, sample_rate: int | None = None
    ) -> Tensor:
        """Vectors [L, B, T, D] of audio [B, N] in eval mode, without gradients; layers ascending, each once. Times: arange(T) / eps.

        sample_rate: of the audio, where it shall be checked. Raises AudioError for another rate than 24 kHz, and as `encode` does.
        """
        check_rate(sample_rate, RATE)
        return super().extract_embeddings(audio, layers)  # type: ignore[arg-type]

    # ---- the published interface
    def get_latent(self, wav: Tensor, layer_ix: int | None = None, sample_rate: int | None = None) -> Tensor:
        """Audio [B, N] at 24 kHz, float in [-1, 1] -> one hidden state [B, T, D].

        layer_ix: 0 the stem's output, 1 .. L the blocks'; -1 or None: the last (published default: 12). sample_rate: of the audio, where it shall be
        checked.

        Raises ConfigError for a layer that is not there, AudioError for another rate and for audio that cannot be used.
        """
        check_rate(sample_rate, RATE)
        asked = self.depth if layer_ix is None or layer_ix == -1 else layer_ix
        if isinstance(asked, bool) or not isinstance(asked, int) or not 0 <= asked <= self.depth:
            raise ConfigError(
                f"layer_ix is {layer_ix!r}; this network has 0 (the stem's output) to {self.depth} (its last block), -1 the last."
            )
        return self.hidden_states(wav, asked)[asked]

    def get_predictions(self, wav: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Audio [B, N] -> ({"melspec_2048": logits [B, T, V], of K > 1 codebooks [B, T, V, K]}, hidden states 0 .. L, each [B, T, D])."""
        hidden = self.hidden_states(wav, self.depth)
        logits = self.token_logits(hidden[-1])
        return {FEATURE: logits[..., 0] if self.num_codebooks == 1 else logits}, tuple(hidden)

    def token_logits(self, vectors: Tensor) -> Tensor:
        """Vectors [..., D] of the last hidden state -> logits [..., V, K], codes slow and codebooks fast."""
        logits: Tensor = self.linear(vectors)
        return logits.unflatten(-1, (self.codebook_size, self.num_codebooks))

    def get_targets(self, wav: Tensor) -> dict[str, Tensor]:
        """Audio [B, N] -> {"melspec_2048": tokens [B, N // (4 hop)], of K > 1 codebooks [B, T, K]}, int64; a last incomplete token is left out."""
        tokens = self.tokens(self.mel(wav))
        return {FEATURE: tokens[..., 0] if self.num_codebooks == 1 else tokens}

    @torch.no_grad()
    def tokens(self, mel: Tensor) -> Tensor:
        """Normalised log-mels [B, F, M] -> tokens [B, M // 4, K]: four frames after each other are one vector."""
        whole = mel[..., : mel.shape[-1] // STACK * STACK].transpose(1, 2)
        stacked = whole.unflatten(1, (-1, STACK)).flatten(2)
        return torch.stack([quantize(stacked) for quantize in self.quantizers], dim=-1)

    def masking(self, wav: Tensor) -> tuple[Tensor, Tensor]:
        """Masked audio [B, N], and the masked tokens [n, 2] as (clip, token), drawn from torch's generator in the published order.

        Each whole block of mask_hop is replaced, with probability mask_prob, by noise of deviation 0.1; the rest of a clip behind its whole blocks
        never is. Where no block at all was drawn, one is masked. Raises AudioError for clips shorter than a block.
        """
        wav = check_audio(wav, RATE, LEAST_SAMPLES, NO_PADDING)
        batch, blocks = wav.shape[0], wav.shape[1] // self.block_samples
        if blocks < 1:
            raise AudioError(
                f"Clips of {wav.shape[1]} samples hold no block to mask: {self.block_samples} ({self.block_samples / RATE:g} s) are wanted."
            )
        chosen = torch.rand(batch, blocks, device=wav.device) < self._settings["mask_prob"]
        if not chosen.any():
            chosen.view(-1)[int(torch.randint(chosen.numel(), (1,)))] = True
        where = torch.zeros_like(wav, dtype=torch.bool)
        where[:, : blocks * self.block_samples] = chosen.repeat_interleave(self.block_samples, dim=1)
        masked = wav.clone()
        masked[where] = (torch.randn(int(where.sum()), device=wav.device) * NOISE_STD).to(wav.dtype)
        return masked, chosen.repeat_interleave(self.block_tokens, dim=1).nonzero()

    def forward(self, wav: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, ...], dict[str, Tensor], dict[str, Tensor]]:
        """One step of the published pre-training: audio [B, N] -> (logits and hidden states of masked audio, losses, accuracies, each by feature).

        Loss: cross-entropy over masked tokens alone, of the clean audio's tokens. Raises AudioError for clips shorter than a masked block.
        """
        wanted = self.tokens(self.mel(wav))
        masked, indices = self.masking(wav)
        logits, hidden = self.get_predictions(masked)
        at = tuple(indices.T)
        found = logits[FEATURE][at].reshape(len(indices), self.codebook_size, -1).float()
        loss = cross_entropy(found, wanted[at])
        accuracy = (found.detach().argmax(1) == wanted[at]).float().mean()
        return logits, hidden, {FEATURE: loss}, {FEATURE: accuracy}
