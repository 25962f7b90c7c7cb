"""CLMR's published weight files, and this suite's own, as state dicts of SampleCNN's names.

Published encoders come in two forms: Lightning's checkpoints ("model.encoder.*", the same again as "encoder.*", "model.projector.*")
and plain state dicts ("encoder.*", "projector.*"); none has an `fc`. Published heads are "0.*" (linear) or "0.*" and "2.*" (one hidden
layer), under "model." in Lightning's form. Own training checkpoints and exports have the network's own names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from ..untrained import note_untrained
from ..weights.checkpoints import check_own_settings, read_state
from ..weights.foreign import network_settings
from ..weights.head_origin import LOSS, check_origin, header
from ..weights.saved_head import with_saved_head
from ..weights.strict import some
from ..weights.undrawn import build_filled
from .network import SampleCNN

log = logging.getLogger(__name__)
State = dict[str, Tensor]
_FIRST = "sequential.0.0.weight"
MOST_BLOCKS = 64


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds a SampleCNN in any of the forms above."""
    return any(f"{prefix}{_FIRST}" in state for prefix in ("", "encoder.", "model.encoder."))


def remap_encoder(state: Mapping[str, Tensor], source: str = "The file") -> State:
    """The encoder's part of any of the forms, under SampleCNN's names (with `fc` where the file has one).

    Raises WeightsError for a file that is no SampleCNN.
    """
    for prefix in ("model.encoder.", "encoder.", ""):
        found = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if _FIRST in found:
            return {k: v for k, v in found.items() if k.startswith(("sequential.", "fc."))}
    raise WeightsError(
        f"{source} is no CLMR encoder: it has no {_FIRST}, plain or under encoder. Its entries: {some(sorted(state))}."
    )


def remap_head(state: Mapping[str, Tensor], source: str = "The head's file") -> State:
    """A head's weights as `fc.*`: linear "fc.weight", "fc.bias", or with a hidden layer "fc.0.*", "fc.2.*".

    A probe of this suite ("layers.*", ex_tl.py's head.safetensors) is one too; the standardisation of its inputs becomes part of it.

    Raises WeightsError for another file, such as an encoder given as a head.
    """
    if any(k.startswith("layers.") for k in state):
        return _probe(state, source)
    own = {k.removeprefix("model."): v for k, v in state.items()}
    linear, mlp = {"0.weight", "0.bias"}, {"0.weight", "0.bias", "2.weight", "2.bias"}
    if set(own) == linear:
        return {f"fc.{k.removeprefix('0.')}": v for k, v in own.items()}
    if set(own) == mlp:
        return {f"fc.{k}": v for k, v in own.items()}
    raise WeightsError(
        f"{source} is no CLMR head: wanted {', '.join(sorted(linear))} (and 2.weight, 2.bias of one with a hidden layer); "
        f"it has {some(sorted(state))}."
    )


def _probe(state: Mapping[str, Tensor], source: str) -> State:
    """A probe's linear layers as `fc.*`. Raises WeightsError for one that SampleCNN's heads cannot be."""
    numbers = sorted({int(found[1]) for k in state if (found := re.fullmatch(r"layers\.(\d+)\.weight", k))})
    if "layer_logits" in state or len(numbers) not in (1, 2):
        raise WeightsError(
            f"{source} is a probe of several layers' vectors or of {len(numbers)} linear layers; a SampleCNN has one or two."
        )
    linears = [(state[f"layers.{k}.weight"], state[f"layers.{k}.bias"]) for k in numbers]
    weight, bias = linears[0]
    if len(linears) == 2 and weight.shape[0] != weight.shape[1]:
        raise WeightsError(
            f"{source} is a probe with {weight.shape[0]} hidden units on {weight.shape[1]} inputs; a SampleCNN's head has as many "
            f"as inputs: train the probe with model.hidden_units={weight.shape[1]}."
        )
    if "input_scale" in state:  # (x - shift) / scale, before the first layer
        weight = weight / state["input_scale"]
        linears[0] = (weight, bias - weight @ state["input_shift"])
    names = ["fc."] if len(linears) == 1 else ["fc.0.", "fc.2."]
    return {f"{name}{kind}": v for name, pair in zip(names, linears) for kind, v in zip(("weight", "bias"), pair)}


def _probe_classes(path: Path, hidden: bool) -> dict[str, Any]:
    """Labels and exclusive, as settings of SampleCNN, of the classes that a probe of this suite was trained on; {} for any other head.

    Raises WeightsError for a probe of values, and for a hidden layer whose activation is not ReLU, which a SampleCNN's is.
    """
    about = header(path)
    if hidden and path.suffix == ".safetensors" and about.get("activation") != "relu":
        raise WeightsError(
            f"{path} has a hidden layer of activation {about.get('activation', 'unknown')}; a SampleCNN's head has ReLU."
        )
    if about.get(LOSS) == "mse":
        raise WeightsError(
            f"{path} is a probe of values (a regression): it has no classes. Read its predictions from the probe's scores.npz."
        )
    labels = {"labels": about["labels"].split("\n")} if "labels" in about else {}
    return {**labels, "exclusive": about.get(LOSS) == "ce"} if about else {}


def sizes_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """channels, strides, out_dim and head of a network with this state, as far as shapes tell them. Raises WeightsError where they tell nothing."""
    blocks = 1 + max(int(found[1]) for k in state if (found := re.match(r"sequential\.(\d{1,6})\.", k)))
    names = [f"sequential.{k}.0.weight" for k in range(min(blocks, MOST_BLOCKS))]
    last = next((state[k] for k in ("fc.2.weight", "fc.weight") if k in state), None)
    if blocks > MOST_BLOCKS or any(k not in state or state[k].ndim != 3 for k in names) or (last is not None and last.ndim != 2):
        raise WeightsError(
            f"These tensors are not those of a SampleCNN: each of its {blocks} blocks has a sequential.*.0.weight [out, in, kernel]."
        )
    kernels = [state[k] for k in names]
    return {
        "channels": [int(k.shape[0]) for k in kernels],
        "strides": [int(k.shape[2]) for k in kernels[1:-1]],
        "out_dim": None if last is None else int(last.shape[0]),
        "head": "mlp" if "fc.2.weight" in state else "linear",
    }


def load_checkpoint(
    path: str | Path, head: str | Path | None = None, out_dim: int | None = None, averaged: bool = True, **settings: Any
) -> SampleCNN:
    """A SampleCNN from a weight file of any form, as wide as the file says, in eval mode.

    path: published encoder (Lightning's form or plain), own training checkpoint, or export. head: file of a published head, linear or
    with a hidden layer, or of a probe of this suite (which names the classes). out_dim: classes of a fresh head, all zeros, for an
    encoder without one (none: no head, `fc` is the identity).
    averaged: of an own training checkpoint the averaged weights, where there are any. settings: of SampleCNN (labels, sample_rate).

    Raises WeightsNotFoundError; WeightsError for files that are truncated, hold more than tensors, or do not fit (a head of another width);
    ConfigError for a head that was trained behind another encoder or layer, where its file says so.
    """
    path = Path(path)
    own = {k: v for k, v in network_settings(path, "clmr").items() if k != "supervised"}
    state = remap_encoder(read_state(path, averaged), str(path))
    check_own_settings(own, "clmr", str(path))
    if head is not None:
        fc = remap_head(read_state(head), str(head))
        state = {**{k: v for k, v in state.items() if not k.startswith("fc.")}, **fc}
        own = {k: v for k, v in own.items() if k not in ("labels", "exclusive")} | _probe_classes(Path(head), "fc.0.weight" in fc)
        width, wanted = fc["fc.0.weight" if "fc.0.weight" in fc else "fc.weight"].shape[1], sizes_of(state)["channels"][-1]
        if width != wanted:
            raise WeightsError(
                f"The head {head} reads {width} numbers, the encoder {path} gives {wanted}: they do not belong together."
            )
        check_origin(head, lambda: with_saved_head(lambda: load_checkpoint(path, averaged=averaged), path, averaged), str(path))
    found = {**own, **sizes_of(state)}
    fresh = out_dim is not None and found["out_dim"] is None
    if out_dim is not None and not fresh and found["out_dim"] != out_dim:
        raise WeightsError(f"{head or path} has a head of {found['out_dim']} classes, {out_dim} were asked for.")
    arguments = {**found, **({"out_dim": out_dim} if fresh else {}), **settings}
    if fresh:
        with torch.device("meta"):
            shapes = {k: v.shape for k, v in SampleCNN(**arguments).state_dict().items() if k.startswith("fc.")}
        zeros = {k: torch.zeros(shape) for k, shape in shapes.items()}
        log.warning("%s has no head: its %d classes start at 0 and say nothing yet.", path, out_dim)
        state = {**state, **zeros}
    model = build_filled(lambda: SampleCNN(**arguments), state, str(path))
    if fresh:
        note_untrained(model, zeros, f"its head of {out_dim} classes started at 0, {path} has none")
    return model.eval()
