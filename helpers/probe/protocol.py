"""The protocol that all systems of an experiment share: how they are probed, on which inputs, with which seeds, on which data set."""

from __future__ import annotations

from dataclasses import dataclass, field

from .inputs import Inputs
from .settings import ProbeSettings


@dataclass(frozen=True)
class Protocol:
    """What makes the scores of several systems comparable.

    settings: how a head is trained, and the task. inputs: what of the embeddings it sees. seeds: one head each. skip_missing: tracks without
    embeddings are left out instead of refused. data: the data set's name, which scores carry.
    """

    settings: ProbeSettings = field(default_factory=ProbeSettings)
    inputs: Inputs = field(default_factory=Inputs)
    seeds: tuple[int, ...] = (0, 1, 2)
    skip_missing: bool = False
    data: str = ""

    @property
    def heads(self) -> int:
        """How many heads are trained on one training split."""
        return len(self.seeds) * len(self.settings.rates)
