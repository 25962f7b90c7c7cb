"""Networks whose weights a file brings are built without drawing random ones first: for MAEST that takes longer than importing torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from .strict import check_fit

Network = TypeVar("Network", bound=nn.Module)


@contextmanager
def undrawn() -> Iterator[None]:
    """A block in which the parameters of new networks are on the meta device: sizes without numbers, that cannot be computed with.

    Buffers are computed as ever, and no random number is drawn, so that the generators stand where they stood. `fill` brings the numbers.
    """
    here = threading.get_ident()  # the hook is every thread's

    def without_numbers(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if threading.get_ident() != here or parameter is None or parameter.is_meta:
            return None
        return nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    handle = register_module_parameter_registration_hook(without_numbers)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network, one built undrawn too, copies of the numbers of `state`; entries that it lacks stay as they are.

    Raises RuntimeError where a parameter is still without numbers.
    """
    own = model.state_dict()
    if not any(tensor.is_meta for tensor in own.values()):
        model.load_state_dict({**own, **state})
        return
    copies = {k: torch.empty(v.shape, dtype=own[k].dtype).copy_(v) for k, v in state.items()}
    model.load_state_dict({**own, **copies}, assign=True)
    if left := [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]:
        raise RuntimeError(
            f"{type(model).__name__} was built without numbers, and nothing brought those of {', '.join(left[:4])}."
        )


def build_filled(
    build: Callable[[], Network], state: Mapping[str, Tensor], source: str, prefixes: tuple[str, ...] = ("",)
) -> Network:
    """Return the network that `build` makes, with the weights of `state`: every entry must fit, and none may be left (`check_fit`).

    prefixes: of the names that are compared; all parameters are among them.

    Raises WeightsError that lists what is missing, left over or of another shape.
    """
    with undrawn():
        model = build()
    check_fit(model, state, source, prefixes)
    fill(model, state)
    return model
