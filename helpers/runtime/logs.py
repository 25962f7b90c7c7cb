"""Logging of commands: bare lines on what sys.stderr is at the time, without the libraries' chatter."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from datasets.utils.terminal import visible

from .place import is_first_process, place


class _CurrentStderr(logging.StreamHandler):
    """Writes to what sys.stderr is at the time: Sacred's capture and progress bars replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


class _Visible(logging.Formatter):
    """Lines whose control characters are shown as escapes: they may hold names and labels of files."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging's."""
        return visible(super().format(record))


def root_logger() -> logging.Logger:
    """Return the root logger, set up to show bare lines of level INFO, with libraries that talk much at WARNING."""
    root = logging.getLogger()
    if not any(isinstance(h, _CurrentStderr) for h in root.handlers):
        handler = _CurrentStderr()
        here = None if is_first_process() else place()
        handler.setFormatter(_Visible("%(message)s" if here is None else f"[process {here.rank}] %(message)s"))
        root.handlers = [handler]
    root.setLevel(logging.INFO if is_first_process() else logging.ERROR)  # the first process says it for all
    for noisy in (
        "onnxscript",
        "onnx_ir",
        "torch.onnx",
        "matplotlib",
        "numba",
        "fsspec",
        "urllib3",
        "h5py",
        "PIL",
        "torch",
        "lightning_fabric",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return root
