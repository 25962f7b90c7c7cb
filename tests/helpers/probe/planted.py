"""Splits with planted labels, and settings with which a head learns them in a moment."""

from __future__ import annotations

import numpy as np

from helpers.probe.run import ProbeSettings, Split

LABELS = ["a", "b", "c", "d", "e", "f"]
QUICK = ProbeSettings(hidden=64, max_epochs=20, batch_size=64, max_lr=5e-3, warmup_epochs=2, max_lr_epochs=4)


def planted(seed: int = 0, n: int = 700, width: int = 24, shuffled: bool = False) -> tuple[Split, Split, Split]:
    """Labels that are a noisy linear function of the embeddings; or, shuffled, of other tracks' embeddings."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, width)).astype(np.float32)
    y = x @ rng.standard_normal((width, len(LABELS))) + 0.5 * rng.standard_normal((n, len(LABELS))) > 1.0
    if shuffled:
        y = rng.permutation(y)
    keys = [f"{i}.flac" for i in range(n)]
    cut = [0, n * 5 // 7, n * 6 // 7, n]
    return tuple(Split(name, keys[a:b], x[a:b], y[a:b]) for name, a, b in zip(("train", "validation", "test"), cut, cut[1:]))
