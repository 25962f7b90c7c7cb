"""The encoder of transformers' Data2VecAudioModel in a loop of our own: it stops at a layer, keeps what is asked for, and minds padding.

Letters: B clips, T vectors in time, C width. The library's own loop always runs to the end, and lets its padding reach a clip's last vectors: five
convolutions of positions stand behind each other, and only the first one's input is made silent there. Here each one's is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._torchvision import ensure_torchvision

ensure_torchvision()  # before transformers is imported anywhere, by a user too
Call = Callable[..., Any]


def transformers_model(shape: Mapping[str, Any], sdpa: bool) -> Any:
    """A Data2VecAudioModel of transformers with random weights: nothing is read from the network. Raises ImportError without transformers."""
    try:  # here for start-up time
        from transformers import Data2VecAudioConfig, Data2VecAudioModel
    except ImportError as error:
        raise ImportError(f"music2vec's blocks are transformers' ({error}): pip install 'transformers>=5'.") from error
    # the library's own layerdrop and masking are not used: what is dropped and masked is said by who trains
    config = Data2VecAudioConfig(**shape, layerdrop=0.0)
    config._attn_implementation = "sdpa" if sdpa else "eager"
    return Data2VecAudioModel(config)


def plainly(function: Call, *given: Any) -> Any:
    """Call a function."""
    return function(*given)


def begin(encoder: nn.Module, x: Tensor, heard: Tensor | None = None) -> Tensor:
    """Features [B, T, C] -> what the first block reads [B, T, C]: with positions, normed. heard: [B, T] bool, False for padding."""
    y = x.transpose(1, 2)
    for layer in encoder.pos_conv_embed.layers:  # type: ignore[union-attr]
        y = layer(y if heard is None else y * heard[:, None].to(y.dtype))
    found: Tensor = encoder.dropout(encoder.layer_norm(x + y.transpose(1, 2)))  # type: ignore[operator]
    return found


def block(layer: nn.Module, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """One block [B, T, C] -> (its output, what its feed-forward layer gave before it was added) [B, T, C] each."""
    attended, _ = layer.attention(x, attention_mask=bias)  # type: ignore[operator]
    x = layer.layer_norm(x + layer.dropout(attended))  # type: ignore[operator]
    inner: Tensor = layer.feed_forward(x)  # type: ignore[operator]
    return layer.final_layer_norm(x + inner), inner  # type: ignore[operator]


def run(
    encoder: nn.Module,
    x: Tensor,
    heard: Tensor | None = None,
    last: int | None = None,
    keep: Sequence[bool] | None = None,
    call: Call = plainly,
) -> tuple[list[Tensor], list[Tensor]]:
    """Features [B, T, C] -> (hidden states 0 .. last, feed-forward outputs of blocks 1 .. last), [B, T, C] each; no further block is computed.

    heard: [B, T] bool, False for padding. last: number of blocks; None: all. keep: blocks that are not left out (layerdrop). call: how a block is
    called (checkpointing).
    """
    bias = None
    if heard is not None:
        bias = torch.zeros_like(heard, dtype=x.dtype).masked_fill(~heard, torch.finfo(x.dtype).min)[:, None, None]
    states, inner = [begin(encoder, x, heard)], []
    for number, layer in enumerate(list(encoder.layers)[:last]):  # type: ignore[arg-type]
        if keep is None or keep[number]:
            out, given = call(block, layer, states[-1], bias)
            states.append(out)
            inner.append(given)
        else:
            states.append(states[-1])
    return states, inner
