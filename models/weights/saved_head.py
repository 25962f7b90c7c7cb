"""The head of a fine-tuning in a weight file, given back to its encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..encoder import AudioEncoder
from ..errors import WeightsError, WeightsNotFoundError
from .checkpoints import HEAD, heads_kept, read_settings, read_state, weight_file
from .task_head import TaskHead, check_head, with_head
from .undrawn import build_filled

Encoder = TypeVar("Encoder", bound=AudioEncoder)


def with_saved_head(load: Callable[[], Encoder], path: str | Path, averaged: bool = True) -> Encoder:
    """The encoder that `load` makes of a file, with the head that a fine-tuning left there; as it is where there is none.

    The head is of the weights that the encoder is of, and read with them. averaged: of a training checkpoint the averaged weights, where there
    are any. Raises WeightsError for a head that is none of this encoder's, and what `load` raises.
    """
    try:
        said = read_settings(path).get(HEAD)
    except WeightsNotFoundError:  # a folder of files that its family knows by name, or what `load` refuses
        said = None
    if said is None:
        return load()
    file = weight_file(path)
    with heads_kept() as heads:
        encoder = load()
        if file not in heads:  # a family that reads its files itself
            read_state(path, averaged)
    arguments = check_head(said, encoder, str(path), WeightsError)
    own = {name[len(HEAD) + 1 :]: value for name, value in heads[file].items()}
    if not own:
        raise WeightsError(f"{path} says that it holds the head of a fine-tuning, and has no weights of one. Was it changed?")
    return with_head(encoder, build_filled(lambda: TaskHead(encoder, **arguments), own, str(path)))
