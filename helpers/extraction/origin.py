"""Which encoder's which layer embeddings come from: a head that is trained on them is of use behind these only (models/head_origin.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.groundtruth.groundtruth import match
from datasets.store.track_store import TrackStore
from models.bounded_files import read_json
from models.weights.head_origin import LAYER, SHA

from ..data.heard import PARTS
from ..reports.wording import RANDOM, RANDOM_EMBEDDINGS
from .made_of import read_made_of


def origin_of(embeddings: str | Path, layers: Sequence[int] = ()) -> dict[str, str]:
    """Hash of the weights and layer that embeddings come from, as SHA and LAYER; {} where they do not say.

    embeddings: a store, or a folder of .npy files with this suite's settings.json; with layers: the folder above theirs.
    """
    folder = Path(embeddings)
    attrs = _attrs(folder / str(layers[0]) if layers else folder)
    if "weights_sha256" not in attrs:
        return {}
    layer = ",".join(map(str, layers)) if layers else str(attrs.get("block", ""))
    return {SHA: str(attrs["weights_sha256"]), **({LAYER: layer} if layer else {})}


def random_notes(embeddings: str | Path | None, layers: Sequence[int] = ()) -> list[str]:
    """Return the sentence that stands under scores of embeddings whose network had RANDOM weights; else []. Arguments: as of `origin_of`."""
    if embeddings is None:
        return []
    attrs = _attrs(Path(embeddings) / str(layers[0]) if layers else Path(embeddings))
    return [RANDOM_EMBEDDINGS] if str(attrs.get("model", "")).startswith(RANDOM) else []


def heard_tracks(embeddings: str | Path, keys: Sequence[str], layers: Sequence[int] = ()) -> dict[str, int]:
    """Return how many of the scored tracks the embeddings' network was trained on ("trained_on") and chosen by ("chosen_by"); {} for none known.

    keys: names of the scored tracks. embeddings, layers: as of `origin_of`.
    """
    made = read_made_of(Path(embeddings) / str(layers[0]) if layers else embeddings)
    if made is None:
        return {}
    counts = [int((match(keys, names).numbers >= 0).sum()) if (names := made.heard.get(part)) else 0 for part in PARTS]
    if not any(counts):
        return {}
    return {"trained_on": counts[0], "chosen_by": counts[1], "with_labels": int(made.labelled), "of": len(keys)}


def heard_notes(heard: Mapping[str, int]) -> list[str]:
    """Return the sentence that stands under scores of tracks that the network had heard; [] for none. heard: as of `heard_tracks`."""
    if not heard:
        return []
    trained, chosen = heard["trained_on"], heard["chosen_by"]
    what = [*([f"{trained} were trained on"] if trained else []), *([f"{chosen} chose its epoch"] if chosen else [])]
    return [
        f"Of the {heard['of']} scored tracks {' and '.join(what)} in the pre-training of this network, "
        f"{'with' if heard['with_labels'] else 'without'} their labels: scores of new tracks may be lower."
    ]


def _attrs(source: Path) -> Mapping[str, Any]:
    """What embeddings say of themselves; {} where they cannot be read: reading them says why."""
    try:
        found = read_json(source / "settings.json") if (source / "settings.json").is_file() else TrackStore.open(source).attrs
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}
