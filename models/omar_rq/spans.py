"""How many patches a masked span of OMAR-RQ has."""

from __future__ import annotations

import math

from ..errors import ConfigError
from .representations import Representation


def span_length(seconds: float, representation: Representation) -> int:
    """Patches that a masked span has: whole ones in `seconds`. Raises ConfigError for less than one."""
    length = math.ceil(seconds * representation.sr / representation.hop) // representation.patch_size[1]
    if length < 1:
        raise ConfigError(
            f"mask_seconds is {seconds}: a patch is {1 / representation.rate:.3f} s long, and a masked span has 1 patch or more."
        )
    return length
