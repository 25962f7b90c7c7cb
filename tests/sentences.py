"""What a refusal looks like."""

from __future__ import annotations

MOST_LETTERS = 4000


def one_sentence(error: BaseException) -> None:
    """One line that a terminal shows as it is, of a length that is read."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < MOST_LETTERS
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text), repr(text)
