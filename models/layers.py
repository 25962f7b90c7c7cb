"""What names a layer: a whole number, 0-based, negatives from the end."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigError
from .settings import shown


def layer_numbers(layers: Any) -> list[int]:
    """Layers as they were asked for, a number or several, as whole numbers in their order.

    Raises ConfigError for what only looks like one ("1", 0.7, True, of a tensor too), and for names with values: it would be another layer
    than was meant, or a mistake elsewhere.
    """
    if isinstance(layers, Mapping):
        raise _no_number(layers)
    several = isinstance(layers, Iterable) and not isinstance(layers, (str, bytes)) and getattr(layers, "ndim", 1) > 0
    return [_number(one) for one in (layers if several else [layers])]


def resolved(layers: Any, depth: int) -> tuple[int, ...]:
    """Ascending, distinct, 0-based layers of a network of `depth`; a number is one of them, None the last.

    Raises ConfigError for none at all, for what is no whole number, and for a layer that the network has not.
    """
    asked = [-1] if layers is None else layer_numbers(layers)
    if not asked:
        raise ConfigError("No layer asked for: give at least one, or None for the last.")
    for k in asked:
        if not -depth <= k < depth:
            raise ConfigError(f"Layer {k} asked for; this network has {depth} layers: 0..{depth - 1} or -{depth}..-1.")
    return tuple(sorted({k % depth for k in asked}))


def _number(one: Any) -> int:
    if not isinstance(one, bool) and not str(getattr(one, "dtype", "")).endswith("bool"):
        try:
            return operator.index(one)
        except TypeError:
            pass
    raise _no_number(one)


def _no_number(one: Any) -> ConfigError:
    return ConfigError(f"Layers are whole numbers, 0-based or from the end, such as layers=[0, 6, -1]; got {shown(one)}.")
