"""MusicFM's pre-training: blocks of the waveform are replaced by noise, and the tokens of the clean audio there are predicted (arXiv 2311.03318).

Letters: B clips, N samples, T tokens, K codebooks, V codes, M masked positions of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import ConfigError
from ..tokens.masking import NOISE_STD, grid_mask, mask_by_item
from ..tokens.objective import MaskedTokens
from .files import FEATURE
from .network import RATE, MusicFM25Hz


class MaskedAudioObjective(MaskedTokens):
    """Cross-entropy of the tokens at masked positions, all positions and codebooks alike.

    Beside the published way (MusicFM25Hz.forward): masks and noise are keyed by item (MaskedTokens), a clip's last, shorter block may be masked too,
    and a clip of which no block was drawn has one masked. Quantisers are buffers of the network: in its checkpoints, never trained.

    net: the encoder, with its quantisers and its prediction layer. noise_std: deviation of what stands in place of masked samples.

    Raises ConfigError for windows shorter than a masked block.
    """

    def __init__(self, net: MusicFM25Hz, noise_std: float = NOISE_STD) -> None:
        super().__init__(net)
        self.streams, self.codes = net.num_codebooks, net.codebook_size
        self.names = [f"{FEATURE}_{k}" for k in range(net.num_codebooks)]
        self.noise_std, self.prob = float(noise_std), float(net.settings["mask_prob"])
        self.block_samples, self.block_tokens = net.block_samples, net.block_tokens
        if net.window_length < net.block_samples:
            raise ConfigError(
                f"max_seconds is {net.max_seconds:g}: a training crop holds at least one masked block of {net.block_samples / RATE:g} s (mask_hop)."
            )

    @property
    def _token_samples(self) -> int:
        return self.block_samples // self.block_tokens

    def _prepared(self, net: nn.Module, x: Tensor, augment: Any) -> tuple[Tensor, Tensor]:
        """See MaskedTokens: the audio itself, cut to whole tokens."""
        assert isinstance(net, MusicFM25Hz)
        wave = x.float()[:, : x.shape[1] // self._token_samples * self._token_samples]
        return wave, net.tokens(net.mel(wave))

    def _masked(self, inputs: Tensor, items: Sequence[torch.Generator], shared: torch.Generator) -> tuple[Tensor, Tensor]:
        """See MaskedTokens: blocks of samples."""
        samples = inputs.shape[1]
        blocks = pad(inputs, (0, -samples % self.block_samples)).unflatten(1, (-1, self.block_samples))
        masked, chosen = mask_by_item(blocks, 1, self.prob, "random_normal", items, shared, self.noise_std)
        return masked.flatten(1)[:, :samples], grid_mask(chosen, self.block_tokens, samples // self._token_samples)

    def _predicted(self, net: nn.Module, masked: Tensor, mask: Tensor) -> Tensor:
        """See MaskedTokens."""
        assert isinstance(net, MusicFM25Hz)
        vectors = net.hidden_states(masked, net.depth)[-1]
        return net.token_logits(vectors[mask]).float()
