"""The scale a table is made at: on which music, with which networks and probes. Built once from the config, by ex_paper.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

DEMO_TRACKS = 2000  # of the whole demo music
TRAINED, PUBLISHED = "trained", "published"


@dataclass(frozen=True)
class Target:
    """A groundtruth of a published data set that embeddings are probed on.

    Args:
        data: the data set's name.
        variant: which of its groundtruths.
        task: multi-label, single-label, key or regression.
        about: what the labels are, for a note below a table.
        config: named config of ex_tl.py that probes it.
        base_dir: its mel store.
        metadata_dir: the tables of its groundtruth.
        data_dir: folder that the data set's stores are in.
        tracks: number of tracks, for estimates.
        seconds: length of a track, s, for estimates.
        cure: the command that makes the data.
    """

    data: str
    variant: str
    task: str
    about: str
    config: str
    base_dir: str
    metadata_dir: str
    data_dir: str
    tracks: int
    seconds: float
    cure: str

    def waveform_dir(self, rate: int) -> str:
        """Return the folder of its samples at `rate` Hz."""
        return f"{self.data_dir}waveform-{rate}/"


@dataclass(frozen=True)
class Scale:
    """How large, and of what, the networks and probes of a table are.

    Args:
        name: part of the folder of a table; of a changed scale with a hash of the changes.
        title: the name and what was changed, for people.
        networks: "trained" (here, on the demo music) or "published".
        targets: data sets that published networks are probed on, the first of them in every table.
        tracks: number of tracks of the demo music; None: the whole of it.
        start_tracks: number of tracks of the demo music for networks of the published size.
        seed: of one network's pre-training, or of its random weights.
        seeds: of the probes.
        named_configs: which networks or probes ("probe", "linear", ..., as the config's scale has it) -> their named configs.
        depth: number of blocks of a transformer.
        block: the block that is probed, 0-based.
        lengths: input lengths, s.
        shares: shares of the training labels.
        draws: number of samples of each share below 1.
        pretraining_seeds: of the networks, each pre-trained and probed by itself; `seed` is one of them.
    """

    name: str
    title: str
    networks: str
    targets: tuple[Target, ...]
    tracks: int | None
    start_tracks: int
    seed: int
    seeds: tuple[int, ...]
    named_configs: Mapping[str, tuple[str, ...]]
    depth: int
    block: int
    lengths: tuple[float, ...]
    shares: tuple[float, ...]
    draws: int
    pretraining_seeds: tuple[int, ...] = (0,)

    @property
    def each_network(self) -> list[Scale]:
        """Return the scale once for every network that is pre-trained, by its seed."""
        return [replace(self, seed=seed) for seed in self.pretraining_seeds]

    @property
    def published(self) -> bool:
        """Return whether networks have the published weights."""
        return self.networks == PUBLISHED

    @property
    def demo_tracks(self) -> int:
        """Return the number of tracks of the demo music."""
        return self.tracks or DEMO_TRACKS

    @property
    def target(self) -> Target | None:
        """Return the data set that a table is about; None: the demo music."""
        return self.targets[0] if self.published else None

    @property
    def dataset(self) -> str:
        """Return the name of the data set that a table is about, or "demo"."""
        return self.target.data if self.target is not None else "demo"
