"""What a probe's head was trained on: it is of use behind that encoder and that layer only, and its file says which."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import ConfigError
from .safetensors_files import read_metadata

if TYPE_CHECKING:
    from ..encoder import AudioEncoder

log = logging.getLogger(__name__)
# In the header of head.safetensors: hash of the encoder's weights, its layer, the loss that the head was trained with (bce, ce, mse).
SHA, LAYER, LOSS = "encoder_sha256", "encoder_layer", "loss"


def weights_sha256(network: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers that the network saves: one checkpoint, one hash."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update((array if array.ndim else array[None]).view(torch.uint8).numpy())  # the bytes where they lie
    return digest.hexdigest()


def check_origin(head: str | Path, load: Callable[[], AudioEncoder], name: str) -> None:
    """Raise ConfigError where a head's file says that it was trained on another encoder's embeddings, or on another layer than the last.

    load: gives the encoder without that head, as it was when embeddings were extracted. name: of its weights. A file that says
    nothing (a published head, one of another program) is named in the log.
    """
    about = header(Path(head))
    if SHA not in about:
        log.info("%s does not say which encoder it was trained behind: that it is %s cannot be checked.", head, name)
        return
    encoder = load()
    if about[SHA] != (own := weights_sha256(encoder)):
        raise ConfigError(
            f"The head {head} was trained on embeddings of other weights (sha256 {about[SHA][:12]}) than {name} has ({own[:12]}): what it says of "
            "these would mean nothing. Name the checkpoint whose embeddings it was trained on, or extract from this one and train a head."
        )
    last, layer = encoder.depth - 1, about.get(LAYER, "")
    if layer not in (str(last), "-1", ""):
        raise ConfigError(
            f"The head {head} was trained on layer {layer}; a head stands behind the last layer, {last}. Train one on the embeddings of layer {last} "
            f"(predict.transformer_block={last})."
        )


def header(path: Path) -> dict[str, str]:
    """What a head's file says of itself; {} for other formats. Raises WeightsError for one that cannot be read."""
    if path.suffix != ".safetensors":
        return {}
    return read_metadata(path)
