"""What a probe's head was trained on: it is of use behind that encoder and that layer only, and its file says which."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.store import TrackStore
from models.encoder import AudioEncoder
from models.errors import ConfigError, WeightsError

from .extraction_job import weights_sha256

log = logging.getLogger(__name__)
SHA, LAYER = "encoder_sha256", "encoder_layer"  # in the header of head.safetensors, and in the settings of scores


def origin_of(embeddings: str | Path, layers: Sequence[int] = ()) -> dict[str, str]:
    """Hash of the weights and layer that embeddings come from, as SHA and LAYER; {} where they do not say.

    embeddings: a store, or a folder of .npy files with this suite's settings.json; with layers: the folder above theirs.
    """
    folder = Path(embeddings)
    source = folder / str(layers[0]) if layers else folder
    try:
        if (source / "settings.json").is_file():
            attrs = json.loads((source / "settings.json").read_text(encoding="utf-8"))
        else:
            attrs = TrackStore.open(source).attrs
    except (OSError, ValueError):  # what cannot be read says nothing here; reading the embeddings says why
        return {}
    if "weights_sha256" not in attrs:
        return {}
    layer = ",".join(map(str, layers)) if layers else str(attrs.get("block", ""))
    return {SHA: str(attrs["weights_sha256"]), **({LAYER: layer} if layer else {})}


def check_origin(head: str | Path, load: Callable[[], AudioEncoder], name: str) -> None:
    """Raise ConfigError where a head's file says that it was trained on another encoder's embeddings, or on another layer than the last.

    load: gives the encoder without that head, as it was when embeddings were extracted. name: of its weights. A file that says
    nothing (a published head, one of another program) is named in the log.
    """
    about = _header(Path(head))
    if SHA not in about:
        log.info("%s does not say which encoder it was trained behind: that it is %s cannot be checked.", head, name)
        return
    encoder = load()
    if about[SHA] != (own := weights_sha256(encoder)):
        raise ConfigError(
            f"The head {head} was trained on embeddings of other weights (sha256 {about[SHA][:12]}) than {name} has ({own[:12]}): what it says of "
            "these would mean nothing. Name the checkpoint whose embeddings it was trained on, or extract from this one and train a head (ex_tl.py)."
        )
    last, layer = encoder.depth - 1, about.get(LAYER, "")
    if layer not in (str(last), "-1", ""):
        raise ConfigError(
            f"The head {head} was trained on layer {layer}; a head stands behind the last layer, {last}. Train one on the embeddings of layer {last} "
            f"(predict.transformer_block={last})."
        )


def _header(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is no readable safetensors file: {error}.") from error
