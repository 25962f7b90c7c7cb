"""Masked token prediction: spans of the input are replaced by noise, and the tokens of what stood there are predicted (arXiv 2507.03482).

Letters: B clips, N samples, T patches, K token streams, V codes, M masked positions of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.functional import cross_entropy

from ..objective import Batch, Objective
from ..randomness import Randomness, stream
from .masking import mask_by_item, span_length
from .network import OmarRQ
from .settings import Masking
from .targets import check_rates, make_linear, make_targets, target_tokens, token_logits

COLLAPSED = 0.05  # of a codebook: perplexity as a share of its codes below which it says next to nothing
_VALIDATION = 0  # seed of the validation's masks: the same in every epoch of every run


class MaskedTokenObjective(Objective):
    """Cross-entropy of the tokens at masked positions, all positions and streams alike.

    Targets and quantisers are drawn from their seed, frozen, and in no checkpoint and no optimiser. Masks and noise of a clip depend on (seed, epoch,
    draw) alone, so that they do not depend on the number of processes.

    net: the encoder. targets: settings of the target representations. masking: of the training.

    Raises ConfigError for targets that do not fit the network, WeightsNotFoundError where EnCodec's weights are absent.
    """

    def __init__(self, net: OmarRQ, targets: Sequence[Mapping[str, Any]], masking: Masking) -> None:
        super().__init__(net)
        self.masking, self.streams = masking, masking.num_codebooks * len(targets)
        self.names = [f"{one['name']}_{k}" for one in targets for k in range(masking.num_codebooks)]
        self.span = span_length(masking.mask_seconds, net.representation)
        self.targets, self.quantizers = make_targets(targets, masking)
        check_rates(net, self.targets)
        self.linear = make_linear(net, masking, len(targets))
        self.freeze(("targets", "quantizers"))
        self.unsaved_modules = ("targets", "quantizers")

    # ---- a batch
    def _prepared(self, net: OmarRQ, x: Tensor, augment: Any) -> tuple[Tensor, Tensor]:
        """Input patches [B, T, P] and tokens [B, T, K] of audio [B, N], of one length."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            wave = net.wave(x.float())
            patches = net.representation.patches(wave, augment)
            tokens = target_tokens(self.targets, self.quantizers, wave, patches.shape[1])
        return patches[:, : tokens.shape[1]], tokens

    def _predicted(self, net: OmarRQ, masked: Tensor, mask: Tensor) -> Tensor:
        """Masked patches -> logits [M, V, K] at the masked positions."""
        vectors = net.net(net.embedded(masked))
        return token_logits(self.linear, vectors[mask], self.streams).float()

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss", "accuracy"}: means over the masked positions of all processes. Batch: x [B, N], draw [B]."""
        assert isinstance(self.net, OmarRQ)
        draws = batch["draw"].tolist()
        augment = rng.items(draws, "augment") if self.training else None
        patches, tokens = self._prepared(self.net, batch["x"], augment)
        items, shared = _generators(rng.items(draws, "mask")), _generators([rng.batch("order")])[0]
        m = self.masking
        with torch.no_grad():
            masked, mask = mask_by_item(patches, self.span, m.mask_prob, m.masking_noise_type, items, shared)
        logits, wanted = self._predicted(self.net, masked, mask), tokens[mask]
        loss = cross_entropy(logits, wanted, reduction="mean")
        hits = (logits.detach().argmax(1) == wanted).float().mean()
        share = _share_of(len(wanted), len(draws), logits.device)
        return {"loss": loss * share, "accuracy": hits * share}

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Of each clip [B]: summed loss, hits and number of masked predictions, and all its tokens [B, T, K]; masks depend on the clip alone."""
        encoder = net or self.net
        assert isinstance(encoder, OmarRQ)
        patches, tokens = self._prepared(encoder, batch["x"], None)
        identity = zip(batch["index"].tolist(), batch["window"].tolist())
        items = _generators([stream(_VALIDATION, "mask", i, w) for i, w in identity])
        shared = _generators([stream(_VALIDATION, "order")])[0]
        m = self.masking
        masked, mask = mask_by_item(patches, self.span, m.mask_prob, m.masking_noise_type, items, shared)
        logits, wanted = self._predicted(encoder, masked, mask), tokens[mask]
        losses = cross_entropy(logits, wanted, reduction="none").double().sum(1)
        hits = (logits.argmax(1) == wanted).double().sum(1)
        clip = mask.nonzero()[:, 0]
        zeros = torch.zeros(len(mask), dtype=torch.float64, device=mask.device)
        whole = {"nll": losses, "hits": hits, "count": torch.full_like(losses, self.streams)}
        found = {name: zeros.index_add(0, clip, values) for name, values in whole.items()}
        return {**{k: batch[k] for k in ("index", "window", "valid")}, **found, "tokens": tokens.int()}

    def summarise(self, whole: dict[str, np.ndarray]) -> dict[str, float]:
        """Loss and accuracy over all masked predictions; how evenly tokens are used.

        Returns: loss, accuracy; majority: the accuracy of always naming each stream's most frequent token; perplexity: exp(entropy) of a stream's
        tokens, as the mean of the streams, and perplexity_TARGET_CODEBOOK of each; codes: share of the codes that occur at all.
        """
        count = whole["count"].sum()
        used = token_usage(whole["tokens"], self.masking.codebook_size)
        perplexity = usage_perplexity(used)
        return {
            "loss": float(whole["nll"].sum() / count),
            "accuracy": float(whole["hits"].sum() / count),
            "majority": float((used.max(1) / used.sum(1)).mean()),
            "perplexity": float(perplexity.mean()),
            "codes": float((used > 0).mean()),
            **{f"perplexity_{name}": float(value) for name, value in zip(self.names, perplexity)},
        }

    def histograms(self, whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """How often each code occurs, [V] of each stream: tokens_TARGET_CODEBOOK."""
        used = token_usage(whole["tokens"], self.masking.codebook_size)
        return {f"tokens_{name}": counts for name, counts in zip(self.names, used)}


def token_usage(tokens: np.ndarray, codes: int) -> np.ndarray:
    """How often each code occurs in each stream, [K, codes], of tokens [..., K]."""
    streams = tokens.reshape(-1, tokens.shape[-1])
    return np.stack([np.bincount(one, minlength=codes) for one in streams.T])


def usage_perplexity(usage: np.ndarray) -> np.ndarray:
    """exp(entropy) of the usage of each stream [K, codes]: 1 where one code is all there is, the number of codes where all are used alike."""
    p = usage / usage.sum(axis=1, keepdims=True)
    logs = np.log(p, where=p > 0, out=np.zeros_like(p, dtype=np.float64))
    return np.asarray(np.exp(-(p * logs).sum(axis=1)))


def _generators(streams: Iterable[np.random.Generator]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(int(one.integers(2**63))) for one in streams]


def _share_of(masked: int, items: int, device: torch.device) -> Tensor | float:
    """What a process's mean over its masked positions is multiplied with, so that the trainer's mean over items is one over masked positions."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return 1.0
    total = torch.tensor([masked, items], dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(masked / items * total[1] / total[0])
