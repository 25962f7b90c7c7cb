"""The package's name is also Hugging Face's: whoever asks for theirs is told, and transformers is not misled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import datasets

ROOT = Path(__file__).resolve().parents[2]


def test_asking_for_hugging_face_explains():
    with pytest.raises(ImportError, match="music suite's own package 'datasets'.*another folder"):
        from datasets import load_dataset  # noqa: F401
    with pytest.raises(AttributeError, match="music suite's own package"):
        datasets.load_dataset("squad")
    assert not hasattr(datasets, "Dataset")
    assert getattr(datasets, "DatasetDict", None) is None


def test_other_names_are_plain_errors():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        datasets.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        from datasets import nonsense  # noqa: F401


def test_submodules_import():
    from datasets import store

    assert store.TrackStore


def test_transformers_is_not_misled():
    pytest.importorskip("transformers")
    code = "from transformers.utils import is_datasets_available; print(is_datasets_available())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
