"""OMAR-RQ's weight files and folders: `get_model` as published, `build` by a card's name, and `load` of whatever holds a network.

Forms: a folder of config.gin and weights (flat, or a Lightning checkpoint of a training, .ckpt or .safetensors), a weight file with its config.gin
beside it, this suite's checkpoints and exports, which say themselves what they hold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, WeightsError, WeightsNotFoundError
from ..weights import downloads
from ..weights.build import build_from_card
from ..weights.cards import get_card, has_card
from ..weights.checkpoints import encoder_state, read_checkpoint
from ..weights.foreign import network_settings
from ..weights.locate import find_weights
from ..weights.strict import check_fit, load_strictly, some
from ..weights.undrawn import build_filled
from .archs import ARCHS, FILES
from .gin_config import read_gin
from .network import OmarRQ
from .settings import OmarSettings, settings_of
from .targets import OmarRQWithTargets

log = logging.getLogger(__name__)
State = dict[str, Tensor]
_OWN = ("net.", "embedding_layer.")  # of published files
_TRAINED = ("linear.", "quantizers.", "representation.", "input_rep.")  # what files of a training hold beside
_FIRST = "layers.0.attention.qkv.weight"
_LAST = "conv_block.module.2.weight"
CONFIG = FILES[0]
_NAMES = ("model.safetensors", "model.ckpt")


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds an OMAR-RQ, with the network's prefix or without."""
    return any(f"{p}{_FIRST}" in state and f"{p}layers.0.{_LAST}" in state for p in ("", "net.", "net.net."))


def get_model(
    model_id: str | Path | None = None,
    config_file: str | Path | None = None,
    device: str | torch.device = "cpu",
    quantization_targets: bool = False,
    load_weights: bool = True,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    ignore_prefixes: Sequence[str] = (),
) -> OmarRQ:
    """An OMAR-RQ model in eval mode, as the published package gives it.

    Args:
        model_id: "mtg-upf/omar-rq-base" or another repository of the Hugging Face hub in that layout, or a local folder or config.gin.
        config_file: config.gin of a model; its weights stand beside it, under the base name of `build_module.ckpt_path`.
        device: of the network.
        quantization_targets: build target representations, quantisers and the prediction layer too (OmarRQWithTargets); else only what inference
            needs.
        load_weights: False: random weights; only the config is read.
        revision, cache_dir, token: of the hub.
        ignore_prefixes: beginnings of names in the weight file that are another network's ("text_encoder.").

    Raises ConfigError for both or neither of model_id and config_file, and a config that cannot be honoured; WeightsNotFoundError naming the file to
    place; WeightsError, naming the weights, for a file that does not fit.
    """
    if (model_id is None) == (config_file is None):
        came = "neither" if model_id is None else "both"
        raise ConfigError(
            f"get_model takes a model_id ('mtg-upf/omar-rq-base', or a folder) or a config_file (path of a config.gin); got {came}."
        )
    if config_file is None and Path(str(model_id)).is_file():  # the published examples give a config first too
        model_id, config_file = None, model_id
    if config_file is not None:
        config = Path(config_file)
    else:
        config = _folder(str(model_id), revision, cache_dir, token) / CONFIG
    if not config.is_file():
        raise WeightsNotFoundError(f"There is no {config}: a model is a folder of {' and '.join(FILES)}.")
    settings = settings_of(read_gin(config))
    targets = quantization_targets or settings.masking.quantization_targets
    if not load_weights:
        model = _from_settings(settings, targets)
    else:
        path = _weights_beside(config, settings.checkpoint)
        model = _load_published(
            lambda: _from_settings(settings, targets), read_checkpoint(path), str(path), tuple(ignore_prefixes)
        )
        if model_id is not None and has_card(str(model_id)):
            model.card = get_card(str(model_id), "omar_rq")
            log.info("Weights: %s (%s).", path, model.card.licence)
    return model.to(device).eval()


def load(path: str | Path, averaged: bool = True, **settings: Any) -> OmarRQ:
    """The network in a weight file or folder of any form, in eval mode.

    averaged: of an own training checkpoint the averaged weights, where there are any. settings: of OmarRQ, in place of the file's.

    Raises WeightsNotFoundError, WeightsError for files that do not fit or do not say what they hold.
    """
    path = Path(path)
    if path.is_dir() and (path / CONFIG).is_file():
        return get_model(config_file=path / CONFIG)
    said = {key: value for key, value in network_settings(path, "omar_rq").items() if key not in ("targets", "masking")}
    state = read_checkpoint(path)
    if said:
        own = encoder_state(state, path, averaged, "net.")  # an export's own names begin so too
        kept = {k: v for k, v in own.items() if not k.startswith(_TRAINED[:2])}
        return _load_strictly(lambda: OmarRQ(**{**said, **settings}), kept, str(path)).eval()
    beside = path.parent / CONFIG
    if not beside.is_file():
        raise WeightsError(f"{path} does not say what its network was built with: place its {CONFIG} beside it ({beside}).")
    found = settings_of(read_gin(beside))
    return _load_published(lambda: _from_settings(found, False), state, str(path)).eval()


def build(
    name: str = "omar-rq-base",
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    averaged: bool = True,
    labels: Sequence[str] | None = None,
    out_dim: int | None = None,
    **settings: Any,
) -> OmarRQ:
    """An OmarRQ by its published name, or from files.

    pretrained: with the published weights (MAEST_WEIGHTS, the cache, or a download). checkpoint: a weight file or folder in their place.
    averaged: of an own training checkpoint the averaged weights, where there are any. labels, out_dim: of a fresh head, for random weights.
    settings: of OmarRQ, for random weights; the size of loaded ones is the file's.

    Raises ConfigError for an unknown name or a head that a file has not, WeightsNotFoundError, WeightsError for files that do not fit.
    """
    card = get_card(name, "omar_rq")

    def random() -> OmarRQ:
        return OmarRQ(**{**ARCHS[card.name], **settings}, out_dim=out_dim, labels=labels)

    return build_from_card(card, random, partial(load, averaged=averaged), pretrained, checkpoint, out_dim)


def _folder(model_id: str, revision: str | None, cache_dir: str | Path | None, token: str | None) -> Path:
    """The folder that a model id means: itself, one on this machine, or the hub's."""
    if Path(model_id).is_dir():
        return Path(model_id)
    if has_card(model_id) and revision is None and cache_dir is None and token is None:
        found = find_weights(get_card(model_id, "omar_rq"))
        return found if found.is_dir() else found.parent
    if model_id.count("/") != 1 or model_id.startswith((".", "/", "~")):
        raise WeightsNotFoundError(
            f"There is no folder '{model_id}', and it is no name of a model of the hub ('mtg-upf/omar-rq-base')."
        )
    options = {"revision": revision, "cache_dir": cache_dir, "token": token}
    cached = downloads.offline()
    if not cached:
        log.warning("Looking for %s on the Hugging Face hub. The licence of the weights stands on its page.", model_id)
    try:
        return downloads.from_hub(model_id, cached, FILES, {k: v for k, v in options.items() if v is not None})
    except downloads.DownloadError as error:
        raise WeightsNotFoundError(
            f"The model '{model_id}' is not on this machine and could not be downloaded ({error}). Get {' and '.join(FILES)} of "
            f"https://huggingface.co/{model_id} elsewhere, place them in a folder, and name that folder."
        ) from error


def _weights_beside(config: Path, named: str | None) -> Path:
    """The weight file of a config: the base name that it says, as it is or as .safetensors, or a usual name, in its folder."""
    said = [] if named is None else [named, str(Path(named).with_suffix(".safetensors"))]
    names = list(dict.fromkeys([*said, *_NAMES]))
    for name in names:
        if (config.parent / name).is_file():
            return config.parent / name
    raise WeightsNotFoundError(
        f"Beside {config} there is no weight file: place {names[0]} in {config.parent} (or {', '.join(names[1:])}). "
        "For random weights: models.omar_rq.get_model(..., load_weights=False)."
    )


def _from_settings(settings: OmarSettings, with_targets: bool) -> OmarRQ:
    arguments: dict[str, Any] = {**settings.conformer, "input": settings.input, "max_seconds": settings.seconds}
    if with_targets:
        return OmarRQWithTargets(settings.targets, settings.masking, **arguments)
    return OmarRQ(**arguments)


def _load_published(build: Callable[[], OmarRQ], state: State, source: str, ignored: tuple[str, ...] = ()) -> OmarRQ:
    """Build a model with the encoder's part of a published or Lightning file, and the prediction layer's where the model and the file have one."""
    state = {k: v for k, v in state.items() if not (ignored and k.startswith(ignored))}
    foreign = sorted(k for k in state if not k.startswith((*_OWN, *_TRAINED)))
    if foreign:
        raise WeightsError(
            f"{source} holds weights of another network ({some(foreign)}); name the beginnings of their names in ignore_prefixes if they are to be "
            "left out."
        )
    wanted = (*_OWN, "linear.") if any(k.startswith("linear.") for k in state) else _OWN
    model = _load_strictly(build, {k: v for k, v in state.items() if k.startswith(wanted)}, source, wanted)
    if isinstance(model, OmarRQWithTargets) and "linear." not in wanted:
        log.warning("%s has no prediction layer (published files have none): it is random.", source)
    return model


def _load_strictly(build: Callable[[], OmarRQ], state: State, source: str, prefixes: tuple[str, ...] = ("",)) -> OmarRQ:
    """Build a model with these weights: every entry must fit, and none may be left; that is looked at before room is made for any.

    Raises WeightsError that lists what is missing, left over or of another shape.
    """
    with torch.device("meta"):
        model = build()
    if not isinstance(model, OmarRQWithTargets):
        prefixes = tuple(one for one in prefixes if one != "linear.")
        state = {k: v for k, v in state.items() if k.startswith(prefixes)}
    check_fit(model, state, source, prefixes)
    if {name for name, _ in model.named_parameters()} <= set(state):
        return build_filled(build, state, source, prefixes)
    model = build()
    load_strictly(model, state, source, prefixes)
    return model
