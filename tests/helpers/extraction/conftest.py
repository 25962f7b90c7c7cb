"""A store of mels to extract from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.extraction.small_extraction import mel_store


@pytest.fixture
def mels(tmp_path) -> Path:
    return mel_store(tmp_path)
