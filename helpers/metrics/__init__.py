"""Metrics, the tasks that they score, and how windows become tracks."""

from .tagging import aggregate_tracks, tagging_scores

__all__ = ["aggregate_tracks", "tagging_scores"]
