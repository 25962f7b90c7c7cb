"""The published architectures and training starts of MAEST by name, and `get_maest`, which builds them.

Sources: the MAEST paper (arXiv 2309.16418) section 4 and its GitHub release; PaSST (arXiv 2110.05069); DeiT (arXiv 2012.12877).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WeightsError, WeightsNotFoundError
from ..weights.cards import ModelCard, did_you_mean, get_card, has_card, register
from ..weights.checkpoints import (
    check_own_settings,
    read_state,
    register_config_reader,
    register_settings_check,
)
from ..weights.foreign import network_settings
from ..weights.locate import find_weights
from . import ast, ast_config, convert, hashes, sizes
from .labels import default_labels
from .network import MAEST

register_config_reader(ast_config.MODEL_TYPE, ast_config.settings_of)
register_settings_check("maest", sizes.check)
log = logging.getLogger(__name__)
FRAMES = {5: 312, 10: 625, 20: 1250, 30: 1875}  # floor(seconds * 16000 / 256)
HEAD_WIDTH = 64  # channels per attention head of the published networks; a state dict does not tell their number
_MAEST_RELEASE = "https://github.com/palonso/MAEST/releases/download/v0.0.0-beta/"
_MAEST_LICENCE = "CC BY-NC-SA 4.0 (no commercial use; share alike)"


@dataclass(frozen=True)
class Arch:
    """Geometry of an `arch` name: what MAEST is built with unless the caller says otherwise."""

    input_f: int
    input_t: int
    n_classes: int
    distilled: bool = True


ARCHS: dict[str, Arch] = {}


def _add(seconds: int, run: str, labels: int, *aliases: str) -> None:
    name = f"discogs-maest-{seconds}s-{run}"
    ARCHS[name] = Arch(96, FRAMES[seconds], labels)
    file = f"{name}-swa.ckpt"
    sha256, size, source = hashes.known(file)
    register(
        ModelCard(
            name, "maest", file, _MAEST_RELEASE + file, "maest", labels, 16000, "maest-essentia", float(seconds), _MAEST_LICENCE,
            labels=f"discogs_{labels}", hub=f"mtg-upf/{name}", aliases=aliases, default="maest_30s" in aliases,
            sha256=sha256, size=size, hashes_from=source, paradigm="supervised", depth=12, embed_dim=768, training_seconds=float(seconds),
        )
    )  # fmt: skip


# the aliases are for those who spell no runs: torch.hub's and timm's names
_add(10, "fs-129e", 400)
_add(10, "dw-75e", 400)
_add(10, "pw-129e", 400, "maest_10s")
_add(5, "pw-129e", 400, "maest_5s")
_add(20, "pw-129e", 400, "maest_20s")
_add(30, "pw-129e", 400, "maest_30s")
_add(30, "pw-73e-ts", 400, "maest_30s_ts")
_add(30, "pw-129e-519l", 519, "maest_30s_519l")


def _add_start(name: str, url: str, form: str, classes: int, rate: int, note: str, distilled: bool = True, **more: Any) -> None:
    """A training start: the geometry is that of the network it begins, 10 s of 96 bands unless asked otherwise."""
    ARCHS[name] = Arch(96, FRAMES[10], 400, distilled)
    file = url.rsplit("/", 1)[-1]
    sha256, size, source = hashes.known(file)
    known = {"sha256": sha256, "size": size, "hashes_from": source} if sha256 else {}
    front_end = "passt" if form == "passt" else "image"
    register(
        ModelCard(
            name, "maest", file, url, form, classes, rate, front_end, 10.0, "Apache-2.0", note=f"training start{note}", **{**known, **more}
        )
    )  # fmt: skip


_PASST = "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/"
_DEIT = "https://dl.fbaipublicfiles.com/deit/"
_add_start(
    "passt_s_swa_p16_128_ap476", f"{_PASST}passt-s-f128-p16-s10-ap.476-swa.pt", "passt", 527, 32000,
    ": tables are resized, the 527-class heads start fresh",
)  # fmt: skip
_add_start(
    "passt_deit_bd_p16_384", f"{_DEIT}deit_base_distilled_patch16_384-d0272ac0.pth", "deit", 1000, 16000,
    " from ImageNet: the 1000-class heads start fresh", sha256="d0272ac0", hub="timm/deit_base_distilled_patch16_384.fb_in1k",
    hashes_from="the file's own name (its first digits)",
)  # fmt: skip
_add_start(
    "deit_base_patch16_384", f"{_DEIT}deit_base_patch16_384-8de9b5d1.pth", "deit", 1000, 16000,
    " from ImageNet, without a DIST token (distilled=False): the 1000-class head starts fresh", distilled=False,
)  # fmt: skip


def get_maest(
    arch: str,
    pretrained: bool = True,
    n_classes: int | None = None,
    checkpoint: str | Path | None = None,
    distilled_type: str = "mean",
    s_patchout_t: int = 0,
    checkpoint_swa_weights: bool = True,
    checkpoint_discard_head: bool = False,
    **kwargs: Any,
) -> MAEST:
    """A MAEST by its published name.

    Args:
        arch: a name of `list_models("*maest*")`, or of a training start (PaSST, DeiT).
        pretrained: with the published weights (MAEST_WEIGHTS, the cache, or a download). False, without a checkpoint: random weights.
        n_classes: L; None for that of an own training checkpoint, else the arch's. A head of another size starts fresh, and the log says so.
        checkpoint: a file instead of the published one: published or own .ckpt, .safetensors, a folder that `export_model` wrote or one in Hugging
            Face's AST format, PaSST or DeiT for those archs.
        checkpoint_swa_weights: from an own training checkpoint take the averaged weights, where there are any.
        checkpoint_discard_head: start with fresh heads.
        distilled_type, s_patchout_t, **kwargs: of `MAEST` (embed_dim, depth, input_t, labels, patchouts, ...).

    Raises:
        ValueError: unknown arch (names the nearest) or impossible settings. WeightsNotFoundError: no weights. WeightsError: weights that do not fit.
    """
    card = get_card(arch, "maest")
    geometry = ARCHS[card.name]
    shape = {"input_f": geometry.input_f, "input_t": geometry.input_t, "distilled": geometry.distilled}
    settings: dict[str, Any] = {**shape, **kwargs}
    own = network_settings(checkpoint, "maest") if checkpoint is not None else {}
    check_own_settings(own, "maest", str(checkpoint))
    for name in ("norm_mean", "norm_std"):  # what the weights were trained on
        if name in own:
            settings.setdefault(name, own[name])
    if n_classes is None:
        n_classes = own.get("n_classes", geometry.n_classes)
    if settings.get("labels") is None and n_classes == own.get("n_classes"):
        settings["labels"] = own.get("labels")
    settings["n_classes"] = n_classes
    if settings.get("labels") is None:
        settings["labels"] = default_labels(settings["n_classes"])
    settings |= {"distilled_type": distilled_type, "s_patchout_t": s_patchout_t}
    if checkpoint is None and not pretrained:
        return MAEST(**settings)
    path = Path(checkpoint) if checkpoint is not None else find_weights(card)
    state = read_state(path, averaged=checkpoint_swa_weights)
    source = path.name if checkpoint is not None else card.name  # a hub folder's own name is a commit's number
    if own:
        sizes.compare(own, state, source, said=True)
    sizes.compare({"embed_dim": 768, "depth": 12, **settings}, state, source)
    model = convert.build(lambda: MAEST(**settings), state, card.format, source, discard_head=checkpoint_discard_head)
    if checkpoint is None:
        model.card = card
    log.info("Weights: %s%s.", path, "" if checkpoint is not None else f" ({card.licence})")
    return model


def load_maest(source: str | Path, averaged: bool = True, **kwargs: Any) -> MAEST:
    """A trained MAEST by name, or from a weight file or folder, in eval mode; its size is read from the file.

    Args:
        source: the name or alias of a card (with its published weights), else a path: own or published .ckpt, an export, an AST folder.
        averaged: of an own training checkpoint, the averaged weights where there are any.
        **kwargs: of `MAEST`, over what the file says.

    Raises: ValueError for what is neither (names the nearest), WeightsNotFoundError, WeightsError for a file that is no MAEST.
    """
    path = Path(source)
    if not path.exists():
        if has_card(str(source)):
            return get_maest(str(source), **{"checkpoint_swa_weights": averaged, **kwargs}).eval()
        raise WeightsNotFoundError(
            f"There is no file or folder '{source}', and no model of that name.{did_you_mean(str(source))}"
        )
    state = read_state(path, averaged)
    own = network_settings(path, "maest")
    check_own_settings(own, "maest", str(path))
    sizes.compare(own, state, path.name, said=True)
    settings = {**_shapes(state, path), **own, **kwargs}
    sizes.compare(settings, state, path.name)
    return convert.build(lambda: MAEST(**settings), state, "maest", path.name).eval()


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds a MAEST, under its own names or AST's."""
    return ast.is_ast(state) or {"freq_new_pos_embed", "time_new_pos_embed"} <= set(state)


def _shapes(state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The size of a MAEST under its published names; {} for an AST, whose config says it. Raises WeightsError for other weights."""
    if ast.is_ast(state):
        return {}
    wanted = ("cls_token", "freq_new_pos_embed", "time_new_pos_embed", "head.1.weight")
    if absent := [name for name in wanted if name not in state]:
        raise WeightsError(
            f"{path} is no MAEST: missing {', '.join(absent)}. A training start (PaSST, DeiT) goes through get_maest."
        )
    width, columns = state["cls_token"].shape[-1], state["time_new_pos_embed"].shape[-1]
    return {
        "embed_dim": width,
        "num_heads": max(width // HEAD_WIDTH, 1),
        "depth": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "input_f": {9: 96, 12: 128}.get(state["freq_new_pos_embed"].shape[2], state["freq_new_pos_embed"].shape[2] * 10),
        "input_t": next((n for n in FRAMES.values() if n // 10 == columns), columns * 10),
        "n_classes": state["head.1.weight"].shape[0],
        "distilled": "dist_token" in state,
    }
