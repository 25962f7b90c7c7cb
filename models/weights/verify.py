"""Which cards' files are on this machine, whole, and where the others come from: the table of `python -m models.weights verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..card import ModelCard
from ..errors import WeightsError
from .cards import get_card, list_cards, load_all
from .locate import check_weights, local_weights, place_of_files
from .package_index import pip_command

WHOLE, UNKNOWN, DAMAGED, ABSENT = "whole", "present", "DAMAGED", "absent"


@dataclass(frozen=True)
class Verified:
    """A card's file on this machine.

    state: WHOLE (its sha256 is the published one), UNKNOWN (there, and no sha256 is known of it), DAMAGED, or ABSENT. path: where it is; None:
    nowhere. said: who knows the sha256, why the file is refused, or where it comes from.
    """

    card: ModelCard
    state: str
    path: Path | None
    said: str


def verify(card: ModelCard) -> Verified:
    """Look for a card's file and check it; the network is not asked. Raises WeightsNotFoundError where MAEST_WEIGHTS names no folder."""
    path = local_weights(card)
    if path is None:
        return Verified(card, ABSENT, None, card.url if card.package is None else f"`{pip_command(card.package)}`")
    try:
        check_weights(card, path)
    except WeightsError as error:
        return Verified(card, DAMAGED, path, str(error))
    if card.sha256 is None or path.name != card.file:
        return Verified(card, UNKNOWN, path, "no sha256 of it is known")
    digits = "" if len(card.sha256) == 64 else f", its first {len(card.sha256)} digits"
    return Verified(card, WHOLE, path, f"sha256 by {card.hashes_from or 'its card'}{digits}")


def verify_all(pattern: str = "*") -> list[Verified]:
    """All registered cards whose names match a shell pattern."""
    load_all()
    return [verify(get_card(name)) for name in list_cards(pattern)]


def as_lines(found: Sequence[Verified]) -> list[str]:
    """A line per card: those that are here, then the absent ones with where they come from; and where an absent file goes."""
    width = max((len(one.card.name) for one in found), default=0)
    here, absent = [one for one in found if one.state != ABSENT], [one for one in found if one.state == ABSENT]
    lines = [f"{one.card.name:<{width}}  {one.state:<7}  {_where(one)}" for one in here]
    lines += [f"{one.card.name:<{width}}  {one.state:<7}  {_size(one.card.size)}{one.said}" for one in absent]
    lines.append(f"{len(found)} models: {len(here)} on this machine, {len(absent)} absent.")
    if absent:
        lines.append(f"An absent file goes, under the name that its address ends in, into {place_of_files()}.")
    return lines


def _size(size: int | None) -> str:
    return f"{size / 1e6:.1f} MB, " if size else ""


def _where(one: Verified) -> str:
    assert one.path is not None
    if one.state == DAMAGED:
        return one.said
    return f"{_size(one.path.stat().st_size if one.path.is_file() else None)}{one.path} ({one.said})"
