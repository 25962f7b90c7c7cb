"""Masked token prediction: spans of the input are replaced, and the tokens of what stood there are predicted (BEST-RQ, arXiv 2202.01855).

Letters: B clips, N samples, T vectors in time, K token streams, V codes, M masked positions of a batch.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.functional import cross_entropy

from ..objective import Batch, Objective
from ..randomness import Randomness, stream

COLLAPSED = 0.05  # of a codebook: perplexity as a share of its codes below which it says next to nothing
_VALIDATION = 0  # seed of the validation's masks: the same in every epoch of every run


class MaskedTokens(Objective, abc.ABC):
    """Base: cross-entropy of the tokens at masked positions, all positions and streams alike.

    Masks and noise of a clip depend on (seed, epoch, draw) alone, so that they do not depend on the number of processes.

    Attributes:
        streams: K. codes: V. names: of the streams, target and codebook.
    """

    streams: int
    codes: int
    names: list[str]

    @abc.abstractmethod
    def _prepared(self, net: nn.Module, x: Tensor, augment: Any) -> tuple[Tensor, Tensor]:
        """What is masked, [B, ...], and the tokens [B, T, K] of audio [B, N]. augment: a numpy generator per clip, None in validation."""

    @abc.abstractmethod
    def _masked(self, inputs: Tensor, items: Sequence[torch.Generator], shared: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs with masked parts replaced, and which tokens are masked [B, T] bool. items: a generator per clip; shared: the batch's."""

    @abc.abstractmethod
    def _predicted(self, net: nn.Module, masked: Tensor, mask: Tensor) -> Tensor:
        """Masked inputs -> float32 logits [M, V, K] at the masked positions."""

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss", "accuracy"}: means over the masked positions of all processes. Batch: x [B, N], draw [B]."""
        draws = batch["draw"].tolist()
        augment = rng.items(draws, "augment") if self.training else None
        inputs, tokens = self._prepared(self.net, batch["x"], augment)
        items, shared = generators(rng.items(draws, "mask")), generators([rng.batch("order")])[0]
        with torch.no_grad():
            masked, mask = self._masked(inputs, items, shared)
        logits, wanted = self._predicted(self.net, masked, mask), tokens[mask]
        loss = cross_entropy(logits, wanted, reduction="mean")
        hits = (logits.detach().argmax(1) == wanted).float().mean()
        share = share_of(len(wanted), len(draws), logits.device)
        return {"loss": loss * share, "accuracy": hits * share}

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Of each clip [B]: summed loss, hits and number of masked predictions, and all its tokens [B, T, K]; masks depend on the clip alone."""
        encoder = net or self.net
        inputs, tokens = self._prepared(encoder, batch["x"], None)
        identity = zip(batch["index"].tolist(), batch["window"].tolist())
        items = generators([stream(_VALIDATION, "mask", i, w) for i, w in identity])
        shared = generators([stream(_VALIDATION, "order")])[0]
        masked, mask = self._masked(inputs, items, shared)
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
        used = token_usage(whole["tokens"], self.codes)
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
        used = token_usage(whole["tokens"], self.codes)
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


def generators(streams: Iterable[np.random.Generator]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(int(one.integers(2**63))) for one in streams]


def share_of(masked: int, items: int, device: torch.device) -> Tensor | float:
    """What a process's mean over its masked positions is multiplied with, so that the trainer's mean over items is one over masked positions."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return 1.0
    total = torch.tensor([masked, items], dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(masked / items * total[1] / total[0])
