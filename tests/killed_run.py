"""Runs a command that meets its end at a chosen moment: python killed_run.py WHAT NUMBER ex_maest.py|ex_ssl.py WORDS...

WHAT: batch, validation, write (a checkpoint), start, end: SIGKILL there, the NUMBERth time; term: SIGTERM in the NUMBERth training batch; term0:
the same, in the first process of several alone; full: from the NUMBERth checkpoint on no file can grow beyond 100 kB; none: nothing happens.
"""

from __future__ import annotations

import importlib
import io
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: object, name: str, number: int, act: Callable[..., object]) -> None:
    """Let `act` happen before the `number`th call (from 1) of owner.name."""
    original, calls = getattr(owner, name), [0]

    def counted(*args, **kwargs):
        calls[0] += 1
        if calls[0] == number:
            act(*args)
        return original(*args, **kwargs)

    setattr(owner, name, counted)


def prepare(what: str, number: int) -> None:
    import torch

    import helpers.commands.train
    from helpers.experiments.run_folder import RunFolder
    from helpers.training.lightning_module import LitObjective

    save, rank = torch.save, int(os.environ.get("RANK", 0))

    def half(checkpoint, file):
        whole = io.BytesIO()
        save(checkpoint, whole)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        file.flush()
        die()

    def full(*_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    places = {
        "batch": (LitObjective, "training_step", lambda *_: die()),
        "validation": (LitObjective, "validation_step", lambda *_: die()),
        "write": (torch, "save", half),
        "start": (helpers.commands.train, "fit", lambda *_: die()),
        "end": (RunFolder, "completed_event", lambda *_: die()),
        "term": (LitObjective, "training_step", lambda *_: os.kill(os.getpid(), signal.SIGTERM)),
        "term0": (LitObjective, "training_step", lambda *_: None if rank else os.kill(os.getpid(), signal.SIGTERM)),
        "full": (torch, "save", full),
    }
    if what != "none":
        owner, name, act = places[what]
        before(owner, name, number, act)


if __name__ == "__main__":
    what, number, *sys.argv = sys.argv[1:]
    script = importlib.import_module(Path(sys.argv[0]).stem)
    prepare(what, int(number))
    script.ex.run_commandline(sys.argv)
