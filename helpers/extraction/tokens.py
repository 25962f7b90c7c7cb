"""Tokens of embeddings: which of them a probe or a search sees, and in which layout arrays hold them.

An embedding is three tokens of C values, always in the order c, d, t: the class token, the distillation token, and the mean of
all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import torch

from models.errors import ConfigError

Reduce = Literal["mean", "stack"]
TOKENS = "cdt"
PUBLISHED_SIZE = 768  # C of the published networks
Array = TypeVar("Array", np.ndarray, torch.Tensor)


def check_types(types: str, reduce: str) -> list[int]:
    """The chosen tokens' positions in c, d, t order. Raises ConfigError for anything that is not a choice of them."""
    if not types or set(types) - set(TOKENS) or len(set(types)) != len(types):
        raise ConfigError(
            f"Token types are '{types}'; wanted one or more different letters of c (class), d (distillation), t (others' mean)."
        )
    if reduce not in get_args(Reduce):
        raise ConfigError(f"reduce is '{reduce}'; choose one of {', '.join(get_args(Reduce))}.")
    return [i for i, letter in enumerate(TOKENS) if letter in types]


def select_tokens(embeddings: Array, types: str = TOKENS, reduce: Reduce = "mean", token_size: int = PUBLISHED_SIZE) -> Array:
    """One vector for a track's embeddings: the mean over its windows, then the chosen tokens averaged [C] ("mean") or joined [kC]
    ("stack").

    embeddings: of one track, [windows, 3, C] or [windows, 3C], or already averaged, [3, C] or [3C]; single vectors per window
        ([windows, C] or [C], as block -1 gives) have nothing to choose and are only averaged. numpy or torch; the same kind comes
        back.
    types: letters of c (class), d (distillation), t (mean of the others), in any order; always taken as c, d, t.
    token_size: C. It tells the layouts apart: [3, C] are the three tokens of one average, never three windows of single vectors.

    Raises ConfigError for types, a reduction or a shape that do not fit.
    """
    chosen = check_types(types, reduce)
    shape = tuple(embeddings.shape)
    if shape in ((3 * token_size,), (3, token_size)):
        tokens = embeddings.reshape(3, token_size)
    elif (len(shape) == 2 and shape[1] == 3 * token_size) or (len(shape) == 3 and shape[1:] == (3, token_size)):
        tokens = embeddings.reshape(-1, 3, token_size).mean(0)
    elif shape == (token_size,):
        return embeddings
    elif len(shape) == 2 and shape[1] == token_size:
        return embeddings.mean(0)
    else:
        raise ConfigError(
            f"A track's embeddings of shape {list(shape)} are neither [windows, 3, {token_size}] nor "
            f"[windows, {3 * token_size}] nor [windows, {token_size}]. Set token_size to the network's width."
        )
    picked = tokens[chosen]
    return picked.reshape(len(chosen) * token_size) if reduce == "stack" else picked.mean(0)


@dataclass(frozen=True)
class Choice:
    """What of an embedding a probe sees. types, reduce: tokens, as in `select_tokens`. token_size: C, for layouts that do not show it."""

    types: str = TOKENS
    reduce: Reduce = "stack"
    token_size: int | None = None

    def __post_init__(self) -> None:
        check_types(self.types, self.reduce)

    def of(self, items: np.ndarray, size: int, where: str) -> np.ndarray:
        """The chosen tokens of many items, [R, 3, C], [R, 2, C], [R, 3C] or [R, C] -> [R, D]. size: C. Raises ConfigError for other shapes."""
        shape = items.shape[1:]
        if shape == (size,):
            return items
        if shape not in ((3, size), (2, size), (3 * size,)):
            raise ConfigError(
                f"The embeddings in {where} are {list(shape)} per window, which is not tokens of {size}: set token_size."
            )
        tokens = items.reshape(len(items), -1, size)
        if tokens.shape[1] == 2 and "d" in self.types:
            raise ConfigError(
                f"Token types are '{self.types}': {where} comes from a network with no distillation token; choose of c, t."
            )
        letters = TOKENS if tokens.shape[1] == 3 else "ct"
        picked = tokens[:, [i for i, letter in enumerate(letters) if letter in self.types]]
        return picked.reshape(len(picked), -1) if self.reduce == "stack" else picked.mean(axis=1)
