"""Loading that leaves nothing out and nothing over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ..errors import WeightsError


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], source: str, prefixes: tuple[str, ...] = ("",)) -> None:
    """Load a state dict of which every entry must fit, and none may be left: `check_fit`."""
    check_fit(model, state, source, prefixes)
    model.load_state_dict({**model.state_dict(), **state})


def check_fit(model: nn.Module, state: Mapping[str, Tensor], source: str, prefixes: tuple[str, ...] = ("",)) -> None:
    """Compare a state dict with the weights of a model, which may be on the meta device. prefixes: of the names that are compared.

    Batch normalisation's counters of batches may be missing: older files lack them, and nothing is computed with them.

    Raises WeightsError that lists what is missing, left over or of another shape.
    """
    own = {k: v for k, v in model.state_dict().items() if k.startswith(prefixes)}
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    missing, unknown = sorted(set(own) - set(state) - counters), sorted(set(state) - set(own))
    shapes = [f"{k} {unlike}" for k, v in state.items() if k in own and (unlike := difference(v, own[k]))]
    if missing or unknown or shapes:
        said = [
            f"{what}: {some(names)}" for what, names in (("missing", missing), ("unknown", unknown), ("shape", shapes)) if names
        ]
        raise WeightsError(
            f"The weights of {source} do not fit this {type(model).__name__}: {'; '.join(said)}. Are they of another family or size?"
        )


def difference(found: Tensor, own: Tensor) -> str:
    """What a file's tensor is in place of the network's; "" where it fits. Precision may be another, whole numbers are no weights."""
    if found.shape != own.shape:
        return f"{list(found.shape)} (wanted {list(own.shape)})"
    halves = found.is_floating_point() and found.element_size() > 1  # 8 bits would be other numbers
    return "" if halves or not own.is_floating_point() else f"{found.dtype} (wanted {own.dtype})"


def some(names: Sequence[str], count: int = 4) -> str:
    """Return the first names for a message."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")
