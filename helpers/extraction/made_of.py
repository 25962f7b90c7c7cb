"""What embeddings were made of: the store, the network's config, the time that it took, and which tracks the network had heard in its training.

It stands as made_of.json beside the embeddings. From it a probe makes its baselines and says that test tracks were heard; the numbers do not
depend on it. What it names is opened where that lies in the working folder: embeddings of somebody else do not say what is read here.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets.utils.files import atomic
from models.bounded_files import read_json

from .settings import ExtractionSettings

log = logging.getLogger(__name__)
FILE = "made_of.json"
MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class MadeOf:
    """What one extraction was made of.

    Attributes:
        family: of the network. config: of the command that extracted, as nested plain values. seed: of the run.
        store: that was extracted. kind: of what it holds ("mel", "waveform"). audio_dir: its audio, where that was named. demo: whether it is of the
        demo music. layer: block. settings: of the extraction.
        heard: "train" and "val" -> tracks of the store that the network was trained on, or chosen by. labelled: whether with their labels.
        seconds: that a track took; None: not measured. parameters: of the network without its head; None: not said.
    """

    family: str
    config: Mapping[str, Any]
    seed: int
    store: str
    kind: str
    layer: int
    settings: Mapping[str, Any]
    audio_dir: str | None = None
    demo: bool = False
    heard: Mapping[str, list[str]] = field(default_factory=dict)
    labelled: bool = False
    seconds: float | None = None
    parameters: int | None = None

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[type, ...]] = {
            "family": (str,), "config": (dict,), "seed": (int,), "store": (str,), "kind": (str,), "layer": (int,), "settings": (dict,),
            "audio_dir": (str, type(None)), "demo": (bool,), "heard": (dict,), "labelled": (bool,), "seconds": (int, float, type(None)),
            "parameters": (int, type(None)),
        }  # fmt: skip
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                raise ValueError(f"its {name} is of another kind than is written here")
        names = [name for part in self.heard.values() for name in (part if isinstance(part, list) else [None])]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("its heard holds something else than names of tracks")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise ValueError("its seconds are no time")

    @property
    def files(self) -> list[str]:
        """The files that its network is built of, weights aside: paths among the family's settings."""
        section = self.config.get(self.family)
        settings = section.items() if isinstance(section, dict) else ()
        return [value for key, value in settings if isinstance(value, str) and "/" in value and not key.endswith("checkpoint")]

    @property
    def extraction(self) -> ExtractionSettings:
        """The settings of the extraction, as it takes them, without a rule of its own for windows: that is its family's to give, by `config`."""
        return ExtractionSettings(**{**self.settings, "rule": None})

    def write(self, folder: Path) -> None:
        """Write it beside embeddings; the time that an earlier one measured is kept where this one has none."""
        before = read_made_of(folder) if self.seconds is None else None
        content = asdict(self) | ({"seconds": before.seconds} if before is not None else {})
        with atomic(folder / FILE) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def elsewhere(paths: Iterable[str]) -> str | None:
    """Return the first of these paths that lies outside the working folder; None where none does."""
    here = Path.cwd().resolve()
    return next((path for path in paths if not Path(path).resolve().is_relative_to(here)), None)


def folder_of(embeddings: str | Path) -> Path:
    """Return the folder that embeddings lie in: a store's, or the folder itself."""
    path = Path(embeddings)
    return path if path.is_dir() else path.parent


def read_made_of(embeddings: str | Path) -> MadeOf | None:
    """Return what embeddings were made of; None where that is not said, or not as it is written here."""
    path = folder_of(embeddings) / FILE
    if not path.is_file():
        return None
    try:
        found = MadeOf(**read_json(path, MOST_BYTES))
        found.extraction  # noqa: B018 (its values are checked)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be used: %s.", path, error)
        return None
    return found
