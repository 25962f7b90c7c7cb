"""What a named backend computed says so: it goes on by that backend alone, whatever precision `auto` takes here."""

from __future__ import annotations

import logging

import pytest

from datasets.store.track_store import TrackStore
from helpers.commands import extract as commands
from helpers.commands.networks import Loaded
from helpers.extraction.extract import ExtractionSettings
from models.backends import with_backend
from models.errors import StoreMismatchError
from tests.helpers.commands.test_extract_command import context_of
from tests.helpers.extraction.small_extraction import network

pytest.importorskip("onnxruntime")
BACKENDS = ("onnx", "onnx-int8")


@pytest.fixture
def extracted(mels, tmp_path, monkeypatch):
    """Extract the mels as the command does; `auto` takes bfloat16 here."""
    monkeypatch.setenv("MAEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "helpers.extraction.job.resolve_precision", lambda asked, *_: {"auto": "bf16-mixed", "32": "32-true"}.get(asked, asked)
    )
    store = mels if isinstance(mels, TrackStore) else TrackStore.open(mels)

    def run(backend, names=None, precision="auto"):
        context = context_of(tmp_path, backend=backend)
        loaded = Loaded(with_backend(network(), backend), "own", precision)
        settings = ExtractionSettings(precision=precision)
        return commands._extract(context, context.config, loaded, store, names, tmp_path / "out", (1,), settings), store

    return run


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_goes_on_where_it_was_stopped(extracted, monkeypatch, backend):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("helpers.extraction.outputs.StoreOutput.finish", stop)
        with pytest.raises(KeyboardInterrupt):
            extracted(backend)
    done, store = extracted(backend)
    assert done.names == list(store.names)
    assert TrackStore.open(done.paths[1]).attrs["precision"] == backend
    assert extracted(backend)[0].n_new == 0
    assert extracted(backend, precision="32")[0].n_new == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", ["auto", "32"])
def test_another_backend_does_not_go_on_with_it(extracted, backend, precision):
    done, _ = extracted(backend)
    before = done.paths[1].read_bytes()
    for other in ("torch", "auto", *({*BACKENDS} - {backend})):
        with pytest.raises(StoreMismatchError, match=f"precision is '{backend}'") as refused:
            extracted(other, precision=precision)
        assert list(refused.value.differing) == ["precision"]
    assert done.paths[1].read_bytes() == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_log_says_who_computes(backend, caplog):
    with caplog.at_level(logging.INFO):
        with_backend(network(), backend)
    assert f"(predict.backend={backend})" in caplog.text
