"""Foreign state dicts -> MAEST's names and shapes: PaSST, DeiT, AST (ast.py), and MAEST of another length or label count.

Strict: what starts fresh is said in the log, what may be ignored is listed here, anything else is an error with names and shapes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import WeightsError
from ..untrained import note_untrained
from ..weights.strict import difference
from ..weights.undrawn import fill, undrawn
from .ast import POSITIONS, PREFIX, is_ast, remap_ast
from .network import MAEST

log = logging.getLogger(__name__)
State = dict[str, Tensor]
# buffers of the published suite's front end: constants, not weights
IGNORED = ("melspectrogram.spec.window", "melspectrogram.mel_scale.fb")
HEADS = ("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias", "head_dist.weight", "head_dist.bias")
TABLES = ("freq_new_pos_embed", "time_new_pos_embed")
SHOWN = 5  # names in an error's text


def _resize(table: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A position table [1, C, f, t] bicubically resized along its axes; untouched when it fits."""
    if table.shape[2:] == torch.Size(shape[2:]):
        return table
    return functional.interpolate(table.float(), size=shape[2:], mode="bicubic", align_corners=False).to(table.dtype)


def remap_passt(state_dict: Mapping[str, Tensor], model: MAEST) -> State:
    """A PaSST (or MAEST) state dict for `model`: tables resized to its size, heads of another class count left out.

    PaSST's 527-class heads go; the LayerNorm `head.0` before them stays. Raises WeightsError when a table is missing or of another width.
    """
    out = {k: v for k, v in state_dict.items() if k not in IGNORED}
    own = model.state_dict()
    for name in TABLES:
        table = out.get(name)
        if table is None or table.ndim != 4 or table.shape[1] != model.embed_dim:
            came = "is missing" if table is None else f"is {list(table.shape)}"
            raise WeightsError(
                f"{name} {came}, wanted [1, {model.embed_dim}, f, t]: these are no PaSST or MAEST weights of this width."
            )
        out[name] = _resize(table, tuple(own[name].shape))
    for name in ("head.1", "head_dist"):
        weight = out.get(f"{name}.weight")
        if weight is not None and (f"{name}.weight" not in own or weight.shape[0] != model.n_classes):
            out.pop(f"{name}.weight")
            out.pop(f"{name}.bias", None)
    return out


def remap_deit(state_dict: Mapping[str, Tensor], model: MAEST) -> State:
    """A DeiT's state dict (384 x 384 images, 24 * 24 positions behind those of its tokens) for `model`; its heads are left out.

    The three colour kernels are summed; the grid of positions is bicubically resized to the model's tables, then averaged over time for the frequency
    table and over frequency for the time table. Raises WeightsError when it is no DeiT, or has a DIST token and the model has none, or the reverse.
    """
    out = dict(state_dict)
    positions, kernel, distilled = out.pop("pos_embed", None), out.get("patch_embed.proj.weight"), "dist_token" in out
    extra = 2 if distilled else 1
    side = round(max(positions.shape[1] - extra, 0) ** 0.5) if positions is not None and positions.ndim == 3 else 0
    if (
        positions is None
        or kernel is None
        or side < 1
        or side * side != positions.shape[1] - extra
        or distilled != model.distilled
    ):
        came = (
            "no pos_embed" if positions is None else f"pos_embed {list(positions.shape)}, {'a' if distilled else 'no'} dist_token"
        )
        wanted, other = ("deit_base_distilled_patch16_384", "False") if model.distilled else ("deit_base_patch16_384", "True")
        raise WeightsError(
            f"Got {came}; wanted a DeiT whose tokens are the network's ({'dist_token, ' if model.distilled else ''}pos_embed "
            f"[1, {model.n_extra} + side * side, C]), as {wanted}; distilled={other} takes the other kind."
        )
    f, t = model.freq_new_pos_embed.shape[2], model.time_new_pos_embed.shape[3]
    grid = positions[:, extra:].transpose(1, 2).unflatten(2, (side, side))
    grid = _resize(grid, (1, 1, f, t))
    out["new_pos_embed"] = positions[:, :extra]
    out["freq_new_pos_embed"] = grid.mean(dim=3, keepdim=True)
    out["time_new_pos_embed"] = grid.mean(dim=2, keepdim=True)
    out["patch_embed.proj.weight"] = kernel.sum(dim=1, keepdim=True)
    return {k: v for k, v in out.items() if not k.startswith("head")}


def remap_hf(state_dict: Mapping[str, Tensor], model: MAEST) -> State:
    """Hugging Face's AST format: MAEST's names first, then as a MAEST of maybe another length or class count."""
    return remap_passt(remap_ast(state_dict, model), model)


REMAPS = {"maest": remap_passt, "passt": remap_passt, "deit": remap_deit, "ast": remap_hf}


def build(
    make: Callable[[], MAEST], state_dict: Mapping[str, Tensor], form: str, source: str, discard_head: bool = False
) -> MAEST:
    """Return the network of `make` with a foreign state dict's weights: as `load`, and random weights are drawn only where some start fresh."""
    with undrawn():
        model = make()
    new = _converted(state_dict, model, form, source, discard_head)
    if set(model.state_dict()) - set(new):
        model = make()  # with all its draws, so that what starts fresh does not hang on what the file holds
    _fill(model, new, state_dict, form, source)
    return model


def load(model: MAEST, state_dict: Mapping[str, Tensor], form: str, source: str, discard_head: bool = False) -> None:
    """Load a foreign state dict into `model` in place, strictly; heads that it lacks or that do not fit keep their fresh weights.

    Args:
        form: "maest", "passt", "deit" or "ast": which conversion. A MAEST, own, published or in AST format, is recognised whatever is said.
        source: the file's name, for messages. discard_head: leave all heads fresh.

    Raises WeightsError listing names and shapes that do not fit.
    """
    _fill(model, _converted(state_dict, model, form, source, discard_head), state_dict, form, source)


def _form(state_dict: Mapping[str, Tensor], form: str) -> str:
    return "ast" if is_ast(state_dict) else "maest" if "time_new_pos_embed" in state_dict and form == "deit" else form


def _converted(state_dict: Mapping[str, Tensor], model: MAEST, form: str, source: str, discard_head: bool) -> State:
    """Return the state dict under the network's names, without what starts fresh. Raises WeightsError as `load`."""
    form = _form(state_dict, form)
    try:
        new = REMAPS[form](state_dict, model)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    if discard_head:
        new = {k: v for k, v in new.items() if k not in HEADS}
    own = model.state_dict()
    fresh = sorted(set(own) - set(new))
    # a head may be absent whole, never in half
    missing = [k for k in fresh if k not in HEADS or any(h in new for h in HEADS if h.rpartition(".")[0] == k.rpartition(".")[0])]
    unexpected = sorted(set(new) - set(own))
    misfits = [f"{k} {unlike}" for k in sorted(set(own) & set(new)) if (unlike := difference(new[k], own[k]))]
    if missing or unexpected or misfits:
        raise WeightsError(
            f"{source} does not fit this network. "
            + "; ".join(
                f"{what} ({len(names)}): {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
                for what, names in (("missing", missing), ("unknown", unexpected), ("other shape", misfits))
                if names
            )
            + ". Is it the checkpoint of another arch or family?"
        )
    return new


def _fill(model: MAEST, new: State, state_dict: Mapping[str, Tensor], form: str, source: str) -> None:
    """Give the network its weights, and have it and the log say what starts fresh."""
    own = model.state_dict()
    fresh = sorted(set(own) - set(new))
    fill(model, new)
    if fresh:
        log.warning("%s: these start fresh: %s.", source, ", ".join(fresh))
        note_untrained(model, fresh, _why_fresh(state_dict, model, source))
    if resized := _resized(state_dict, model, _form(state_dict, form)):
        note_untrained(model, [*TABLES, *(name for name in HEADS if name in own)], f"{source} {resized}")


def _why_fresh(state_dict: Mapping[str, Tensor], model: MAEST, source: str) -> str:
    found = next((state_dict[name].shape[0] for name in ("head.1.weight", "classifier.dense.weight") if name in state_dict), None)
    if found is not None and found != model.n_classes:
        return f"its head of {model.n_classes} classes started fresh, the one in {source} has {found}"
    return f"its head started fresh, {source} has none that was taken"


def _resized(state_dict: Mapping[str, Tensor], model: MAEST, form: str) -> str:
    """What is to be said where the file's position tables are of another size than the network's; "" where they fit."""
    if form == "ast":
        found = [(state_dict[f"{PREFIX}{POSITIONS}"].shape[1] - 2) // model.grid(model.input_t)[0]]
        wanted = [model.time_new_pos_embed.shape[3]]
    elif form == "deit":
        return ""  # its heads start fresh anyway
    else:
        found = [state_dict[TABLES[0]].shape[2], state_dict[TABLES[1]].shape[3]]
        wanted = [model.freq_new_pos_embed.shape[2], model.time_new_pos_embed.shape[3]]
    if found == wanted:
        return ""
    return (
        f"was trained on windows of {found[-1]} time columns{f' x {found[0]} rows' if found[0] != wanted[0] and len(found) > 1 else ''}, and this "
        f"network has {wanted[-1]}{f' x {wanted[0]}' if found[0] != wanted[0] and len(found) > 1 else ''} ({model.max_seconds:g} s)"
    )
