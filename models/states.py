"""Hidden states of a pass, by the names that transformers' outputs have for them."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Hidden(NamedTuple):
    """last_hidden_state: [B, T, C]. hidden_states: L + 1 of them, [B, T, C] each; None where they were not asked for.

    As attributes, by name in brackets, or by place.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None

    def __getitem__(self, which: Any) -> Any:
        return getattr(self, which) if isinstance(which, str) else tuple.__getitem__(self, which)


def answer(states: list[Tensor], output_hidden_states: bool, return_dict: bool | None) -> Tensor | Hidden:
    """What a call gives of states 0 .. L: the last one, or where all, or names, are asked for, `Hidden`."""
    if output_hidden_states or return_dict:
        return Hidden(states[-1], tuple(states) if output_hidden_states else None)
    return states[-1]
