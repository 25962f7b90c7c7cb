"""Whether a score is over enough tracks, or groups of tracks, for an interval: of fewer, resamples hardly differ, and none is given."""

from __future__ import annotations

LEAST_TRACKS = 10  # a bootstrap of fewer covers far less than it says
LEAST_GROUPS = 5  # whose resamples are few enough to be counted: four groups have 35


def too_few(n_tracks: int, n_groups: int | None = None) -> bool:
    """Return whether no interval can be had of so many scored tracks, and (None: without groups) so many groups of them."""
    return n_tracks < LEAST_TRACKS or (n_groups is not None and n_groups < LEAST_GROUPS)
