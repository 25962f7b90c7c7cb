"""Contexts of commands that ask for nothing but a config."""

from types import SimpleNamespace


def plain_context():
    return SimpleNamespace(
        config=SimpleNamespace(trainer=SimpleNamespace(accelerator="cpu")), print=lambda *lines: print(*lines, sep="\n")
    )
