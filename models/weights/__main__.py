"""Weights by command: which are here, and fetch some.

python -m models.weights verify [PATTERN]     which cards' files are on this machine, whole, and where the others come from
python -m models.weights list [PATTERN]       what is known of the models: training, sizes, rates, licence
python -m models.weights fetch NAME           a card's file into the cache (and its encoder's), so that it works offline afterwards
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .card_table import card_table
from .cards import get_card, list_cards, load_all
from .locate import find_weights
from .verify import DAMAGED, as_lines, verify_all


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 1 where a file is damaged or could not be had, 2 for an unknown name."""
    parser = argparse.ArgumentParser(
        prog="python -m models.weights", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("verify", help="list the cards' files").add_argument("pattern", nargs="?", default="*")
    commands.add_parser("list", help="a table of the cards").add_argument("pattern", nargs="?", default="*")
    commands.add_parser("fetch", help="have a card's file in the cache").add_argument("name")
    chosen = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        if chosen.command == "verify":
            found = verify_all(chosen.pattern)
            _say(as_lines(found) if found else [f"No model's name matches '{chosen.pattern}'."])
            return 2 if not found else int(any(one.state == DAMAGED for one in found))
        load_all()
        if chosen.command == "list":
            names = list_cards(chosen.pattern)
            _say([card_table([get_card(name) for name in names])] if names else [f"No model's name matches '{chosen.pattern}'."])
            return 0 if names else 2
        card = get_card(chosen.name)
        cards = [card, *([get_card(card.encoder)] if card.encoder else [])]
        _say([f"{one.name}: {find_weights(one)} (licence: {one.licence})" for one in cards])
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201 (a command's message)
        return 1
    return 0


def _say(lines: Sequence[str]) -> None:
    print("\n".join(lines))  # noqa: T201 (what the command is for)


if __name__ == "__main__":
    sys.exit(main())
