"""Models side by side: the columns of music2vec's card (Hugging Face, m-a-p/music2vec-v1), and the licence of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..card import ModelCard

UNKNOWN = "-"


def _thousands(number: float | None, unit: float, letter: str) -> str:
    return UNKNOWN if number is None else f"{number / unit:g}{letter}"


def _layers(card: ModelCard) -> str:
    return UNKNOWN if card.depth is None else f"{card.depth}" + ("" if card.embed_dim is None else f"-{card.embed_dim}")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


COLUMNS: dict[str, Callable[[ModelCard], str]] = {
    "name": lambda card: card.name,
    "paradigm": lambda card: card.paradigm or UNKNOWN,
    "data, h": lambda card: UNKNOWN if card.training_hours is None else f"{card.training_hours:g}",
    "context, s": lambda card: _number(card.training_seconds),
    "parameters": lambda card: _thousands(card.parameters, 1e6, "M"),
    "layers-width": _layers,
    "vectors/s": lambda card: _number(card.embedding_rate),
    "audio, Hz": lambda card: str(card.sample_rate),
    "released": lambda card: card.released or UNKNOWN,
    "licence of the weights": lambda card: card.licence,
}


def card_table(cards: Sequence[ModelCard]) -> str:
    """One row per card as a Markdown table with aligned columns; `-` where a fact is not known."""
    rows = [list(COLUMNS), *([column(card) for column in COLUMNS.values()] for card in cards)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows)
