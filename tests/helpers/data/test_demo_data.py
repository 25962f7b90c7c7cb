"""The demo data as commands come by them: made once, whoever asks."""

from __future__ import annotations

import logging
import threading

import pytest

from helpers.data import find as data
from helpers.data.find import demo_data
from tests.pools import without_workers


def test_commands_that_want_it_at_once_make_it_once(tmp_path, monkeypatch, caplog):
    without_workers(monkeypatch)
    monkeypatch.setattr(data, "DEMO", tmp_path / "demo")
    caplog.set_level(logging.INFO)
    met, found = threading.Barrier(3), []

    def ask() -> None:
        met.wait(60)
        found.append(demo_data(6))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [(tmp_path / "demo-6/mels/mel.h5", tmp_path / "demo-6/groundtruth.csv")] * 3
    said = [record.getMessage() for record in caplog.records]
    assert sum("Made 6 tracks" in line for line in said) == 1
    assert sum("Prepared 6 files" in line for line in said) == 1
    assert sum("waiting for it" in line for line in said) == 2


@pytest.mark.slow
def test_a_folder_that_cannot_be_locked_is_used_all_the_same(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(data, "DEMO", tmp_path / "demo")
    demo_data(6)
    (tmp_path / "demo-6/lock").unlink()
    (tmp_path / "demo-6/lock").mkdir()  # as where the folder may not be written
    assert demo_data(6)[1].is_file()
    assert "cannot be locked" in caplog.text
