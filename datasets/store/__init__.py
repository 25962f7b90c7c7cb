"""TrackStore: ragged arrays of many tracks."""

from .track_store import TrackStore, shard_path

__all__ = ["TrackStore", "shard_path"]
