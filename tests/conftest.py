"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as helpers/__init__.py: test processes share the cores

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The small files that the project carries for its tests."""
    return FIXTURES


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder of further golden numbers and real audio that may stand beside the checkout; without it the test is skipped."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("no ../shared beside this checkout")
    return folder
