"""Audio files of every format."""

from __future__ import annotations

import pytest

from tests.sound import write_formats


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder with one file of 2 s per format; tests change nothing in it."""
    return write_formats(tmp_path_factory.mktemp("formats"))
