"""For tests that ask servers made here: no proxy and no setting of this machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_network(monkeypatch):
    for name in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
