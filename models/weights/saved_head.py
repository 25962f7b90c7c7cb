"""The head of a fine-tuning in a weight file, given back to its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from ..encoder import AudioEncoder
from ..errors import WeightsError
from .checkpoints import AVERAGED, HEAD, RAW, read_checkpoint, read_settings
from .task_head import TaskHead, check_head, with_head
from .undrawn import build_filled

Encoder = TypeVar("Encoder", bound=AudioEncoder)


def with_saved_head(encoder: Encoder, path: str | Path, averaged: bool = True) -> Encoder:
    """The encoder that was loaded from a file, with the head that a fine-tuning left there; as it is where there is none.

    averaged: of a training checkpoint the averaged weights, where there are any. Raises WeightsError for a head that is none of this encoder's.
    """
    said = read_settings(path).get(HEAD)
    if said is None:
        return encoder
    arguments = check_head(said, encoder, str(path), WeightsError)
    state = read_checkpoint(path)
    for prefix in (*((AVERAGED, RAW) if averaged else (RAW, AVERAGED)), ""):
        start = f"{prefix}{HEAD}."
        if own := {name[len(start) :]: value for name, value in state.items() if name.startswith(start)}:
            head = build_filled(lambda: TaskHead(encoder, **arguments), own, str(path))
            return with_head(encoder, head)
    raise WeightsError(f"{path} says that it holds the head of a fine-tuning, and has no weights of one. Was it changed?")
