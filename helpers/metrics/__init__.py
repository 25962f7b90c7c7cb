"""Metrics, the tasks that they score, and how windows become tracks. A module per kind of task registers it with its metrics."""

from . import beats, chords, classes, keys, ordinal, regression, structure, tagging
from .aggregation import aggregate_tracks
from .tagging import tagging_scores

__all__ = [
    "aggregate_tracks",
    "beats",
    "chords",
    "classes",
    "keys",
    "ordinal",
    "regression",
    "structure",
    "tagging",
    "tagging_scores",
]
