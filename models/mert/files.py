"""What is read of MERT's weight files: the weights under transformers' present names, and the settings that say their shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..bounded_files import check_regular, parsed
from ..errors import WeightsError
from ..settings import shown
from ..weights.checkpoints import CONFIG, FAMILY, own_settings, read_settings, read_state
from ..weights.foreign import another_family, without_prefix, without_shape
from .settings import MODEL_TYPES

PROCESSOR = "preprocessor_config.json"
UNUSED = "masked_spec_embed"  # stands in place of masked vectors in training; files of trainings without masks lack it
PREFIXES = ("mert.", "hubert.")
_POSITIONS = "encoder.pos_conv_embed.conv."
_OLD_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_FAIRSEQ = "post_extract_proj.weight"
_FIRST = "feature_extractor.conv_layers.0.conv.weight"
_MOST = 1 << 20  # bytes of preprocessor_config.json
State = dict[str, Tensor]


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds a MERT (or a HuBERT: their names are the same), with a known prefix or without."""
    return any(f"{p}{_FIRST}" in state and any(k.startswith(p + _POSITIONS) for k in state) for p in ("", *PREFIXES))


def published_state(state: Mapping[str, Tensor], source: str) -> State:
    """A file's entries under the names of the network.

    Known differences are mapped: a prefix, the weight norm's older names, a file without the unused masking vector.

    Raises WeightsError for fairseq's checkpoints, for entries beside the network's, and for weights of the constant-Q branch.
    """
    if _FAIRSEQ in state:
        raise WeightsError(
            f"{source} is a checkpoint of fairseq: take the folder in transformers' layout ({CONFIG}, pytorch_model.bin) beside it."
        )
    state = without_prefix(state, _FIRST, PREFIXES, source)
    if cqt := [name for name in state if name.startswith("feature_extractor_cqt")]:
        raise WeightsError(
            f"{source} has a constant-Q branch ({cqt[0]} and {len(cqt) - 1} more): such a MERT computes something else than the HuBERT that is built "
            "here, and its vectors would be wrong. Take one without (published v1: MERT-v1-95M, MERT-v1-330M), or its own code."
        )
    found = {_renamed(name): value for name, value in state.items()}
    width = found.get("encoder.layer_norm.weight")
    if UNUSED not in found and width is not None:
        found[UNUSED] = torch.zeros_like(width)
    return found


def _renamed(name: str) -> str:
    last = name.removeprefix(_POSITIONS)
    return _POSITIONS + _OLD_NORM[last] if name.startswith(_POSITIONS) and last in _OLD_NORM else name


def read(source: str | Path, averaged: bool = True) -> tuple[State, dict[str, Any]]:
    """(state, settings) of a weight file or folder.

    averaged: of an own training checkpoint the averaged weights, where there are any.

    Raises WeightsNotFoundError for what is not there, WeightsError for weights of another family, or without the config.json that says their shape.
    """
    path = Path(source)
    said = read_settings(path)
    if not said and path.is_file() and (path.parent / CONFIG).is_file():  # the weight file of a folder
        path = path.parent
        said = read_settings(path)
    if said.get(FAMILY, "mert") != "mert":
        raise WeightsError(another_family(source, said[FAMILY], "mert"))
    if not said:
        raise WeightsError(without_shape(path, "MERT", " or ".join(MODEL_TYPES)))
    own = own_settings(said)
    if path.is_dir() and (path / PROCESSOR).is_file():
        own |= _processing(path / PROCESSOR, own["sample_rate"])
    return published_state(read_state(source, averaged), str(source)), own


def _processing(path: Path, rate: int) -> dict[str, Any]:
    """What a preprocessor_config.json says of the audio. Raises WeightsError for one that is no json, and for another rate than config.json's."""
    check_regular(path, WeightsError, _MOST)
    try:
        content = parsed(path.read_bytes())
    except ValueError as error:
        raise WeightsError(f"{path} is no readable json: {error}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, wanted names and values.")
    said, normalize = content.get("sampling_rate", rate), content.get("do_normalize", True)
    if said != rate:
        raise WeightsError(f"{path} says {shown(said)} Hz, {CONFIG} beside it {rate} Hz: one of them belongs to another network.")
    if not isinstance(normalize, bool):
        raise WeightsError(f"{path}: do_normalize is {shown(normalize)}; wanted true or false.")
    return {"normalize": normalize}
