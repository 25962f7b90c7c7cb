"""Fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Before torch is imported, for this process and those that tests start. Two workers and their commands share the cores: a thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MAEST_MACHINE", "off")  # `auto` is 32 then: tests compute alike on every machine
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as helpers/__init__.py
# Compiled modules are kept, whatever the shell says: each worker and each command would compile the whole suite again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

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
