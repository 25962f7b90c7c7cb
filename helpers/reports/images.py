"""Pictures that are part of a page: spectrograms and heat maps."""

from __future__ import annotations

import base64

import numpy as np
from markupsafe import Markup

from datasets.utils.terminal import visible

from .png import png


def spectrogram(mel: np.ndarray, summary: str, max_columns: int = 900, span: tuple[float, float] | None = None) -> Markup:
    """An <img> of a log-mel [frames, bands], low bands below; long ones are averaged down to `max_columns`. The picture is part of the page.

    span: the values that are darkest and brightest, where pictures are to be compared; None: this one's 1st and 99.5th percentile.
    """
    mel = np.asarray(mel, dtype=np.float32)
    if len(mel) > max_columns:
        edges = np.linspace(0, len(mel), max_columns + 1).astype(int)
        mel = np.add.reduceat(mel, edges[:-1], axis=0) / np.diff(edges)[:, None]
    low, high = np.quantile(mel, [0.01, 0.995]) if span is None else span
    return _picture(mel.T[::-1], low, max(high, low + 1e-6), "spectrogram", summary)


def heat_map(values: np.ndarray, summary: str, high: float = 1.0) -> Markup:
    """An <img> (class heat) of [rows, columns], the first row on top, dark for 0 and bright for `high`: a row per label, a column per moment."""
    return _picture(np.asarray(values, dtype=np.float32), 0.0, high, "heat", summary)


def _picture(values: np.ndarray, low: float, high: float, kind: str, summary: str) -> Markup:
    """Values [rows, columns], the first row on top, as an <img> that is part of the page."""
    data = base64.b64encode(png(values, low, high)).decode()
    return Markup('<img class="{}" alt="{}" src="data:image/png;base64,{}">').format(kind, visible(summary), data)
