"""The package's name is also Hugging Face's: whoever asks for theirs is told, and transformers is not misled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import datasets

ROOT = Path(__file__).resolve().parents[2]


def test_asking_for_hugging_face_explains():
    with pytest.raises(ImportError, match=r"music suite's own package 'datasets'.*another folder"):
        from datasets import load_dataset  # noqa: F401
    with pytest.raises(AttributeError, match="music suite's own package"):
        datasets.load_dataset("squad")
    assert not hasattr(datasets, "load_dataset")
    with pytest.raises(ImportError, match="it has no 'Dataset'"):
        datasets.Dataset()
    with pytest.raises(AttributeError, match="it has no 'Dataset'"):
        datasets.Dataset.from_dict({})


def test_other_names_are_plain_errors():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        datasets.nonsense  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        from datasets import nonsense  # noqa: F401


def test_submodules_import():
    from datasets.store import track_store as store

    assert store.TrackStore


@pytest.mark.slow
def test_what_transformers_asks_of_it_is_answered():
    """Run in the checkout, transformers' trainer takes this package for the other and asks whether its inputs are of that one's types."""
    pytest.importorskip("transformers")
    code = """
import transformers.trainer as trainer
import torch.utils.data as data
mine = data.TensorDataset()
module = getattr(trainer, "datasets", None)  # set where is_datasets_available() says so
assert module is None or not any(isinstance(mine, getattr(module, t)) for t in ("Dataset", "IterableDataset", "DatasetDict"))
print("asked" if module is not None else "not asked")
"""
    code = "import models._torchvision as t; t.ensure_torchvision()" + code
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("asked", "not asked"), done.stderr
