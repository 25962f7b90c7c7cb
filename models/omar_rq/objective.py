"""Masked token prediction: spans of the input are replaced by noise, and the tokens of what stood there are predicted (arXiv 2507.03482).

Letters: B clips, N samples, T patches, K token streams, V codes, M masked positions of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..tokens.masking import mask_by_item
from ..tokens.objective import MaskedTokens
from .network import OmarRQ
from .representations import MelSpectrogram
from .settings import Masking
from .spans import span_length
from .targets import check_rates, make_linear, make_targets, target_tokens, token_logits


class MaskedTokenObjective(MaskedTokens):
    """Cross-entropy of the tokens at masked positions, all positions and streams alike.

    Targets and quantisers are drawn from their seed, frozen, and in no checkpoint and no optimiser. Masks and noise of a clip depend on (seed, epoch,
    draw) alone, so that they do not depend on the number of processes.

    net: the encoder. targets: settings of the target representations. masking: of the training.

    Raises ConfigError for targets that do not fit the network, WeightsNotFoundError where EnCodec's weights are absent.
    """

    def __init__(self, net: OmarRQ, targets: Sequence[Mapping[str, Any]], masking: Masking) -> None:
        super().__init__(net)
        self.masking, self.streams, self.codes = masking, masking.num_codebooks * len(targets), masking.codebook_size
        self.names = [f"{one['name']}_{k}" for one in targets for k in range(masking.num_codebooks)]
        self.span = span_length(masking.mask_seconds, net.representation)
        self.targets, self.quantizers = make_targets(targets, masking)
        check_rates(net, self.targets)
        own = net.representation
        masked = isinstance(own, MelSpectrogram) and any(
            own.masks
        )  # in training the input is masked, its tokens are of the whole
        self.inputs = (
            [] if masked else [i for i, one in enumerate(targets) if dict(one) == net.settings["input"]]
        )  # computed once
        self.linear = make_linear(net, masking, len(targets))
        self.freeze(("targets", "quantizers"))
        self.unsaved_modules = ("targets", "quantizers")

    # ---- a batch
    def _prepared(self, net: nn.Module, x: Tensor, augment: Any) -> tuple[Tensor, Tensor]:
        """Input patches [B, T, P] and tokens [B, T, K] of audio [B, N], of one length."""
        assert isinstance(net, OmarRQ)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            wave = net.wave(x.float())
            patches = net.representation.patches(wave, augment)
            known = dict.fromkeys(self.inputs, patches)
            tokens = target_tokens(self.targets, self.quantizers, wave, patches.shape[1], known)
        return patches[:, : tokens.shape[1]], tokens

    def _predicted(self, net: nn.Module, masked: Tensor, mask: Tensor) -> Tensor:
        """Masked patches -> logits [M, V, K] at the masked positions."""
        assert isinstance(net, OmarRQ)
        vectors = net.net(net.embedded(masked))
        return token_logits(self.linear, vectors[mask], self.streams).float()

    def _masked(self, inputs: Tensor, items: Sequence[torch.Generator], shared: torch.Generator) -> tuple[Tensor, Tensor]:
        """See MaskedTokens: spans of patches."""
        m = self.masking
        return mask_by_item(inputs, self.span, m.mask_prob, m.masking_noise_type, items, shared)
