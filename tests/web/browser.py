"""The page in headless Chromium: networks exported for the tests, the page's own server, and one call per visit."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.sound import tune

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
READY = ["status", ["Ready", "No network", "This page"]]  # steps: wait until the page says one of these
DONE = ["status", ["Done", "Nothing", "Stopped"]]
REQUIRED = "WEB_TESTS"  # set to "require" where a missing browser is a failure, as in CI


def _missing(what: str) -> None:
    if os.environ.get(REQUIRED) == "require":
        pytest.fail(f"{what}, and {REQUIRED}=require wants the page's tests to run.")
    pytest.skip(what)


def node() -> str:
    """The node program, or a skip."""
    found = shutil.which("node")
    if found is None:
        _missing("node is not installed (Debian: nodejs, npm)")
    return str(found)


def chromium() -> str:
    """The browser, or a skip; with what npm installs."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        _missing("chromium is not installed")
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        _missing("web/node_modules is not there: run `make web`")
    return str(found)


def server_module() -> ModuleType:
    """web/serve.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("web_serve", WEB / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serving(models: Path, isolated: bool = True) -> Iterator[str]:
    """The page's server with a folder of networks; its address. isolated=False: without the headers that allow threads."""
    module = server_module()
    server = module.server(0, models)
    if not isolated:
        plain = module.Handler.__mro__[1]

        class NoHeaders(module.Handler):  # type: ignore[name-defined]
            models_folder = models

            def end_headers(self) -> None:
                plain.end_headers(self)

        server.RequestHandlerClass = lambda *args: NoHeaders(*args, directory=str(WEB))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def visit(url: str, steps: Sequence[Sequence[Any]], timeout: float = 240, **settings: Any) -> dict[str, Any]:
    """Take the steps of drive.mjs in a fresh browser; what they gave under "out". Fails with the page's text when a step does."""
    with tempfile.TemporaryDirectory() as folder:
        script = {"url": url, "chromium": chromium(), "profile": f"{folder}/profile", "steps": steps, **settings}
        (Path(folder) / "script.json").write_text(json.dumps(script))
        done = subprocess.run(
            [node(), str(Path(__file__).parent / "drive.mjs"), str(WEB), f"{folder}/script.json"],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert "broken" not in found, (found["broken"], found["page"], found["errors"], found["console"])
    return found


# ---- networks
def small_maest() -> nn.Module:
    """A small MAEST of 5 s windows whose 12 classes answer differently to different sounds."""
    from models._torchvision import ensure_torchvision

    ensure_torchvision()
    from models.maest import MAEST

    torch.manual_seed(5)
    net = MAEST(embed_dim=48, depth=2, num_heads=4, input_t=312, n_classes=12, labels=[f"Genre---style {i}" for i in range(12)])
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    return net.eval()


def small_samplecnn() -> nn.Module:
    """A narrow SampleCNN of the published window: running statistics and logits are standardised on a few sounds, so that it tells sounds apart."""
    from models.clmr import SampleCNN

    torch.manual_seed(7)
    net = SampleCNN(channels=[8] * 3 + [16] * 6 + [32] * 2, out_dim=10, labels=[f"tag {i}" for i in range(10)])
    sounds = torch.from_numpy(np.stack([(0.3 + 0.1 * k) * tune(3, 22050, 1, seed=k)[: net.window_length, 0] for k in range(8)]))
    with torch.no_grad():
        for _ in range(40):
            net.train()(sounds)
        logits = net.eval()(sounds)
        net.fc.weight.div_(logits.std(dim=0)[:, None])
        net.fc.bias.copy_((net.fc.bias - logits.mean(dim=0)) / logits.std(dim=0))
    return net


def small_musicnn() -> nn.Module:
    """A narrow MusiCNN of 1.5 s windows; its classes answer differently to different sounds."""
    from models.musicnn import MusiCNN

    torch.manual_seed(9)
    net = MusiCNN(10, labels=[f"tag {i}" for i in range(10)], input_t=94, timbral=6, temporal=4, middle=6, hidden=8)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    return net.eval()


def probabilities(net: Any, windows: np.ndarray) -> np.ndarray:
    """Windows [W, N] -> [W, L], by the suite's network in torch."""
    wave = torch.from_numpy(windows)
    with torch.no_grad():
        if net.family == "musicnn":
            return net.probabilities(net.window_logits(net.melspectrogram(wave)[..., : net.input_t])).numpy()
        if hasattr(net, "melspectrogram"):
            return net.probabilities(net.melspectrogram(wave)[..., : net.input_t]).numpy()
        return net(wave).sigmoid().numpy()
