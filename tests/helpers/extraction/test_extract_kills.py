from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from tests.helpers.extraction.small_extraction import content, mel_store, network
from tests.kill import run_with_kills

FRAMES = tuple(48 + 37 * (i % 11) for i in range(250))


def job(mels: str, out: str, format: str) -> None:
    torch.set_num_threads(1)
    extract_embeddings(network(), mels, out, [0, 2, -1], settings=ExtractionSettings(batch_size=3, format=format))


@pytest.mark.slow
@pytest.mark.parametrize("format", ["store", "npy"])
def test_twenty_kills_at_random_moments(tmp_path: Path, format: str):
    mels = mel_store(tmp_path, FRAMES)
    torch.set_num_threads(1)
    job(str(mels), str(tmp_path / "whole"), format)

    def everything(folder: Path) -> dict:
        if format == "store":
            return content(folder)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    whole = everything(tmp_path / "whole")

    def check() -> None:
        found = everything(tmp_path / "out")
        assert found.keys() == whole.keys()
        for key, tracks in found.items():
            if format == "store":
                names = [name for name, _ in tracks]
                assert names == TrackStore.open(mels).names  # none twice, none missing
            assert tracks == whole[key]
        if format == "store":
            assert sorted(p.suffix for p in (tmp_path / "out").rglob("*") if p.is_file()) == [".h5"] * len(whole)

    run_with_kills(
        job,
        (str(mels), str(tmp_path / "out"), format),
        check,
        lambda: shutil.rmtree(tmp_path / "out"),
        longest=1.2,
        seed=3,
        preload=["helpers.extraction.extract", "models.maest", "tests.helpers.extraction.test_extract"],
    )
