"""Commands of ex_ssl.py on small networks, run in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TINY = {
    "clmr.channels": [4, 4, 6, 6, 8],
    "clmr.strides": [3, 3, 3],
    "trainer.accelerator": "cpu",
    "trainer.precision": "32",
    "trainer.max_epochs": 2,
    "datamodule.batch_size_train": 4,
    "datamodule.demo_tracks": 40,
}
SIZES = ("clmr.channels", "clmr.strides")


@contextmanager
def commands_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """run("extract_embeddings", "clmr_pretrain", **updates): a command in this process, in `folder`."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TORCH_HOME", str(folder / "no_weights_here"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MAEST_WEIGHTS", raising=False)
    handlers = logging.getLogger().handlers
    import ex_ssl
    import ex_tl

    def command(name: str, *named: str, script: str = "ex_ssl", **updates):
        ex = {"ex_ssl": ex_ssl, "ex_tl": ex_tl}[script].ex
        base = TINY if script == "ex_ssl" else {}
        if "clmr.checkpoint" in updates or "ckpt_path" in updates:  # the file says its sizes
            base = {key: value for key, value in base.items() if key not in SIZES}
        return ex.run(name, config_updates={**base, **updates}, named_configs=named, options={"--loglevel": "INFO"})

    yield command
    logging.getLogger().handlers = handlers
