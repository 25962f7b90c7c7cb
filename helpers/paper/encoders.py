"""Encoders of samples that are pre-trained without labels, in the tables: their pre-training on the demo music, their extraction and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .citations import Citation
from .families import System
from .recipes import START, demo_data, music, train_tracks
from .scale import Scale, Target
from .steps import Estimate, ExternalPath, Ref, Step


@dataclass(frozen=True)
class Encoder:
    """A family whose networks read samples and give vectors at some rate.

    Args:
        name: the family's: its section of ex_ssl.py, and its named configs in a scale.
        title: for people.
        rate: of its audio, Hz.
        card: its published network in the tables.
        published_layer: of that network, the layer that is probed.
        demo_layer: of the demo's.
        epochs: of the demo's pre-training.
        crops_per_second: of the demo's network in training, with two steps side by side on two cores.
        origin: the data that the published weights were pre-trained on.
        megabytes: of a track's vectors, one by one.
    """

    name: str
    title: str
    rate: int
    card: str
    published_layer: int
    demo_layer: int
    epochs: int
    crops_per_second: float
    origin: str
    megabytes: float = 0.03

    def pretrained(self, scale: Scale) -> Step:
        """Return the pre-training of a small network on the demo music, without labels."""
        crops = self.epochs * train_tracks(scale)
        estimate = Estimate(START + crops / self.crops_per_second, 15.0, f"{crops} crops at {self.crops_per_second:g}/s")
        settings = {**demo_data(scale, waveform=self.rate), "seed": scale.seed}
        named = tuple(scale.named_configs[self.name])
        return Step(f"pre-train {self.title}", "ex_ssl.py", "main", named, settings, estimate=estimate)

    def layer(self, scale: Scale) -> int:
        """Return the layer that is probed."""
        return self.published_layer if scale.published else self.demo_layer

    def extracted(self, scale: Scale, target: Target | None = None, trained: bool = True, frames: bool = False) -> Ref:
        """Return the vectors of the probed layer: of every window, or (frames) of every moment.

        Args:
            scale: the table's.
            target: the data set; None: the demo music.
            trained: by this scale's weights, published or trained here; else by random ones.
            frames: every vector in time.
        """
        settings: dict[str, Any] = {"seed": scale.seed, f"{self.name}.pretrained": trained and scale.published}
        settings |= {"predict.frames": frames, "predict.transformer_block": self.layer(scale)}
        if target is None:
            settings["datamodule.base_dir"] = Ref(music(scale, waveform=self.rate), f"samples-{self.rate}")
        else:
            place = target.waveform_dir(self.rate)
            cure = f"{target.cure}, then python -m datasets.prepare AUDIO {place} --waveform {self.rate}"
            settings["datamodule.base_dir"] = ExternalPath(place, cure)
        if trained and not scale.published:
            settings[f"{self.name}.checkpoint"] = Ref(self.pretrained(scale), "checkpoint")
        if target is None:
            settings["datamodule.tail"] = "pad"
        tracks = scale.demo_tracks if target is None else target.tracks
        per_track = 30.0 if target is None else 0.05  # a published network reads 30 s in 20 s of one core
        megabytes = tracks * (self.megabytes if frames else 0.001)
        estimate = Estimate(START + tracks / per_track, megabytes, f"{tracks} tracks at {per_track:g}/s")
        what = "frames of " if frames else ""
        title = f"extract {what}{'' if trained else 'untrained '}{self.title}" + ("" if target is None else f" on {target.data}")
        weights = (self.card,) if trained and scale.published else ()
        named = tuple(scale.named_configs[self.name])
        step = Step(title, "ex_ssl.py", "extract_embeddings", named, settings, weights, estimate=estimate)
        return Ref(step, str(self.layer(scale)))

    def systems(self, scale: Scale, target: Target | None, citations: Sequence[Citation]) -> list[System]:
        """Return the main network and one of its size with random weights: the probed layer, one vector per window."""
        trained, random = self.extracted(scale, target), self.extracted(scale, target, trained=False)
        return [
            System(self.title, trained, citations=citations, origin=self.origin if scale.published else ""),
            System(f"untrained {self.title}", random, trained=False),
        ]
