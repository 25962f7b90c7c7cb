"""What a network is trained to predict: tokens of target representations, and the linear layer that predicts them.

Letters: B clips, T patches, K = codebooks * targets token streams, V codes of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .network import OmarRQ
from .representations import Representation
from .settings import Masking, make_representation

MOST_APART = 2  # patches that targets may differ in length


def make_targets(targets: Sequence[Mapping[str, Any]], masking: Masking) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the target representations and the quantisers [target][codebook], frozen.

    Raises ConfigError for impossible settings, WeightsNotFoundError where EnCodec's weights are absent.
    """
    representations = nn.ModuleList(make_representation(settings) for settings in targets)
    quantizers = nn.ModuleList(
        nn.ModuleList(masking.quantizer(one.patch_dim, k) for k in range(masking.num_codebooks))  # type: ignore[arg-type]
        for one in representations
    )
    return representations.requires_grad_(False).eval(), quantizers.requires_grad_(False).eval()


def check_rates(net: OmarRQ, representations: nn.ModuleList) -> None:
    """Raise ConfigError for targets whose patches are not as long as the input's, or that read another rate."""
    for one in representations:
        assert isinstance(one, Representation)
        rate = getattr(one, "orig_sr", one.sr)
        if rate != net.representation.sr:
            raise ConfigError(
                f"The target {type(one).__name__} reads {rate} Hz, the input {net.representation.sr} Hz: give both one rate."
            )
        if abs(one.rate - net.embedding_rate) > 1e-6 * net.embedding_rate:
            raise ConfigError(
                f"The target {type(one).__name__} has {one.rate:g} patches/s, the input {net.embedding_rate:g}: change its patch_size."
            )


@torch.no_grad()
def target_tokens(
    representations: nn.ModuleList,
    quantizers: nn.ModuleList,
    wave: Tensor,
    length: int,
    known: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """Tokens [B, T, K] of audio [B, N], target after target; T is the least of all targets' and of `length`, the input's.

    known: patches [B, T, P] of targets, by their numbers, that need not be computed again.

    Raises ConfigError for targets that differ by more than 2 patches in length.
    """
    found = []
    for i, (one, books) in enumerate(zip(representations, quantizers)):
        assert isinstance(one, Representation)
        assert isinstance(books, nn.ModuleList)
        patches = known[i] if known and i in known else one.patches(wave)
        found.append(torch.stack([quantize(patches) for quantize in books], dim=-1))
    lengths = [*(tokens.shape[1] for tokens in found), length]
    if max(lengths) - min(lengths) > MOST_APART:
        raise ConfigError(f"Input and targets have {lengths} patches: they may differ by {MOST_APART} at most.")
    return torch.cat([tokens[:, : min(lengths)] for tokens in found], dim=-1)


def make_linear(net: OmarRQ, masking: Masking, n_targets: int) -> nn.Linear:
    """Return the layer that gives logits [B, T, V * K], codes slow and streams fast."""
    return nn.Linear(net.embed_dim, masking.codebook_size * masking.num_codebooks * n_targets)


def token_logits(linear: nn.Linear, vectors: Tensor, streams: int) -> Tensor:
    """Vectors [B, T, C] -> logits [B, T, V, K]."""
    logits: Tensor = linear(vectors)
    return logits.unflatten(-1, (-1, streams))


class OmarRQWithTargets(OmarRQ):
    """The encoder with its targets, quantisers and prediction layer, as `get_model(quantization_targets=True)` gives it.

    targets: settings of the target representations. masking: of the objective. settings: of OmarRQ.
    """

    def __init__(self, targets: Sequence[Mapping[str, Any]], masking: Masking, **settings: Any) -> None:
        super().__init__(**settings)
        self.masking, self.target_settings = masking, [dict(one) for one in targets]
        self.target_representations, self.quantizers = make_targets(targets, masking)
        check_rates(self, self.target_representations)
        self.linear = make_linear(self, masking, len(targets))

    @property
    def settings(self) -> dict[str, Any]:
        """See OmarRQ; with targets and masking."""
        return {**super().settings, "targets": self.target_settings, "masking": asdict(self.masking)}

    def tokens(self, audio: Tensor) -> Tensor:
        """Audio [B, N] -> what is to be predicted, [B, T, K]."""
        length = self.n_vectors(audio.shape[-1])
        return target_tokens(self.target_representations, self.quantizers, self.wave(audio).float(), length)
