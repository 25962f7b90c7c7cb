"""Which encoder's which layer embeddings come from: a head that is trained on them is of use behind these only (models/head_origin.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.store.track_store import TrackStore
from models.bounded_files import read_json
from models.weights.head_origin import LAYER, SHA


def origin_of(embeddings: str | Path, layers: Sequence[int] = ()) -> dict[str, str]:
    """Hash of the weights and layer that embeddings come from, as SHA and LAYER; {} where they do not say.

    embeddings: a store, or a folder of .npy files with this suite's settings.json; with layers: the folder above theirs.
    """
    folder = Path(embeddings)
    source = folder / str(layers[0]) if layers else folder
    try:
        if (source / "settings.json").is_file():
            attrs = read_json(source / "settings.json")
        else:
            attrs = TrackStore.open(source).attrs
    except (OSError, ValueError):  # what cannot be read says nothing here; reading the embeddings says why
        return {}
    if not isinstance(attrs, Mapping) or "weights_sha256" not in attrs:
        return {}
    layer = ",".join(map(str, layers)) if layers else str(attrs.get("block", ""))
    return {SHA: str(attrs["weights_sha256"]), **({LAYER: layer} if layer else {})}
