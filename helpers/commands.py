"""What the command files share and Sacred does not know: which config a bare command means, and what commands say at their end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)
DATA_KEYS = ("audio_dir", "base_dir", "groundtruth", "groundtruth_train", "groundtruth_predict")


def demo_without_data(script: str, demo: str) -> Callable[[str, Mapping[str, Any], Sequence[str]], Sequence[str]]:
    """The rule by which a command of `script` without a named config and without data is the config `demo`'s."""

    def implied(command: str, updates: Mapping[str, Any], named: Sequence[str]) -> Sequence[str]:
        chosen = updates.get("datamodule", {})
        if command == "print_config" and not named:
            log.info(
                "`python %s` alone runs `with %s`; these are the recipe's values, on which all named configs build.", script, demo
            )
        if named or command == "print_config" or any(key in chosen for key in DATA_KEYS):
            return named
        return (demo,)

    return implied
