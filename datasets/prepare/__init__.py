"""Preparation: a folder of audio to a track store, `python -m datasets.prepare AUDIO_DIR OUT`."""

from .preparation import Preparation, prepare

__all__ = ["Preparation", "prepare"]
