"""Trainings of little memory: what the gradients need is computed again, in place of being kept."""

from __future__ import annotations

from models.encoder import AudioEncoder
from models.errors import ConfigError


def checkpoint_gradients(encoder: AudioEncoder, key: str) -> AudioEncoder:
    """Return the encoder, whose trainings from now on keep each block's input alone. key: the setting that asks for it.

    Raises ConfigError for a network that has no such way.
    """
    if encoder.gradient_checkpointing is None:
        raise ConfigError(f"{key}: networks of the family {encoder.family} cannot compute their blocks again; leave it out.")
    encoder.gradient_checkpointing = True
    return encoder
