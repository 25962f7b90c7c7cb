"""The published classes of MAEST: the most frequent styles of Discogs."""

from __future__ import annotations

from ..weights.cards import load_labels

PUBLISHED = (400, 519)  # numbers of styles


def default_labels(n_classes: int) -> tuple[str, ...] | None:
    """The published label list of that length, None where there is none."""
    return load_labels(f"discogs_{n_classes}") if n_classes in PUBLISHED else None
