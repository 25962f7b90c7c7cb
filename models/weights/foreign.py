"""What is said of weights that are another network's than the one that is asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..bounded_files import parsed, read_bytes
from ..errors import WeightsError
from ..settings import shown
from .checkpoints import FAMILY, own_settings, read_settings
from .strict import some

CONFIG, MOST_CONFIG = "config.json", 1 << 24  # bytes


def without_prefix(state: Mapping[str, Tensor], first: str, prefixes: tuple[str, ...], source: str) -> dict[str, Tensor]:
    """A file's entries without the prefix under which its network stands; where none of them is known, as they are.

    Args:
        state: by name.
        first: an entry that every such network has.
        prefixes: that are known.
        source: of the entries, for the error's text.

    Raises WeightsError for entries beside such a network, which would be left out silently.
    """
    prefix = next((one for one in prefixes if f"{one}{first}" in state), "")
    if other := sorted(name for name in state if not name.startswith(prefix)):
        raise WeightsError(
            f"{source} holds under '{prefix}' the network that is wanted, and beside it what is no part of it: {some(other)}. Nothing is left out "
            "silently: save the network's entries alone."
        )
    return {name[len(prefix) :]: value for name, value in state.items()}


def network_settings(path: str | Path, family: str) -> dict[str, Any]:
    """What a weight file or folder says of its network, a `family`: the arguments of that family's class; {} for one that does not say.

    Raises WeightsError for another family's, and as `read_settings` does.
    """
    said = read_settings(path)
    if said.get(FAMILY, family) != family:
        raise WeightsError(another_family(path, said[FAMILY], family))
    return own_settings(said)


def another_family(source: str | Path, found: str, wanted: str) -> str:
    """A sentence for weights of the family `found` where `wanted` ones are asked for: what they are, and who takes them."""
    return (
        f"{source} holds a network of the family {found}, {wanted} is wanted. In Python models.load_model({str(source)!r}) loads it; a command takes "
        f"it as {found}.checkpoint={source}, with a named config of {found} in place of one of {wanted}."
    )


def without_shape(path: Path, family: str, known: str) -> str:
    """A sentence for weights whose shape nothing says: what stands in the config.json beside them, where one does.

    path: of the file or folder. family: that is wanted. known: what the config.json of such a network says as model_type.
    """
    config = (path if path.is_dir() else path.parent) / CONFIG
    if not config.is_file():
        return f"{path} does not say its shape: place the {CONFIG} that belongs to it beside it, as transformers writes it."
    try:
        content = parsed(read_bytes(config, WeightsError, MOST_CONFIG))
    except (OSError, ValueError):
        content = None
    kind = content.get("model_type") if isinstance(content, dict) else None
    return f"{path} is no {family}: {config} says the model type {shown(kind)}, and {family}'s is {known}. Networks of other types are not read here."
