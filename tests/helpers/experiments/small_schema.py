"""A small schema. A module of its own: type hints are looked up in the module of a class, and all conftest.py share one name."""

from __future__ import annotations

from dataclasses import dataclass

from configs.options import opt, section


@dataclass
class Inner:
    rate: float = opt(0.5, "share", affects="nothing")
    kind: str = opt("a", "which", ("a", "b"), affects="nothing")
    blocks: int | list[int] = opt(7, "block or blocks", affects="nothing")


@dataclass
class Outer:
    root: str = opt("runs", "folder", affects="nothing")
    epochs: int = opt(3, "epochs", affects="nothing")
    name: str | None = opt(None, "a name", affects="nothing")
    flag: bool = opt(False, "a flag", affects="nothing")
    inner: Inner = section(Inner)
