"""The page of sounds: its spectrograms can be compared."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.reports.sounds_page import SoundsPage, write_sounds


@dataclass(frozen=True)
class _Sound:
    name: str
    samples: np.ndarray
    words: str = "A sound."


def _brightness(page: Path) -> list[float]:
    pictures = re.findall(r'base64,([^"]+)"', page.read_text(encoding="utf-8"))
    return [float(np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("L")).mean()) for one in pictures]


def test_quieter_sound_is_darker(tmp_path: Path) -> None:
    noise = (np.random.default_rng(0).standard_normal(22050) * 0.1).astype(np.float32)
    sounds = [_Sound("first", noise), _Sound("same", -noise), _Sound("quiet", noise / 100), _Sound("silence", noise * 0)]
    *_, page = write_sounds(tmp_path, 22050, SoundsPage("Sounds", "", {"all": sounds}))
    first, same, quiet, silence = _brightness(page)
    assert first == same > quiet > silence
