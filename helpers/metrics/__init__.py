"""Metrics, the tasks that they score, and how windows become tracks. A module per kind of task registers it with its metrics."""

from . import classes, keys, regression, tagging
from .aggregation import aggregate_tracks
from .tagging import tagging_scores

__all__ = ["aggregate_tracks", "classes", "keys", "regression", "tagging", "tagging_scores"]
