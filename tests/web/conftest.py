"""What the page's tests share: exported networks, the page's server, sounds."""

from __future__ import annotations

import numpy as np
import pytest

from models import export_model
from tests.sound import tune, write, write_av
from tests.web.browser import chromium, serving, small_maest, small_musicnn, small_samplecnn


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Exported networks as the page's folder of models, and the networks themselves: {"maest": ..., "musicnn": ..., "samplecnn": ...}."""
    chromium()  # skips before the export where there is no browser
    folder = tmp_path_factory.mktemp("networks")
    found = {"maest": small_maest(), "musicnn": small_musicnn(), "samplecnn": small_samplecnn()}
    for name, net in found.items():
        export_model(net, folder / f"{name}.onnx", "onnx", **({} if name == "samplecnn" else {"blocks": []}))
    return folder, found


@pytest.fixture(scope="session")
def url(networks):
    with serving(networks[0]) as address:
        yield address


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """The same changing music as wav, mp3 (both 44.1 kHz stereo) and m4a."""
    folder = tmp_path_factory.mktemp("sounds")
    music = np.concatenate([(0.3 + 0.2 * k) * tune(3.1, 44100, 2, seed=k) for k in range(4)])
    write_av(folder / "music.m4a", music, 44100, "aac")
    return {"wav": write(folder / "music.wav", music), "mp3": write(folder / "music.mp3", music), "m4a": folder / "music.m4a"}
