"""What is said of a training that predicted masked tokens is what its numbers say."""

from __future__ import annotations

import pytest

from helpers.families.token_report import token_notes


@pytest.mark.parametrize(
    ("right", "words"),
    [(0.08, "less often right than"), (0.1, "no more often right than"), (0.105, "hardly more often right than"), (0.12, None)],
)
def test_more_and_less_than_the_most_frequent_token_are_told_apart(right, words):
    notes = token_notes({"val_accuracy": right, "val_majority": 0.1, "val_perplexity_mel_0": 20.0}, 32)
    said = [note for note in notes if "train longer" in note]
    assert (said == []) == (words is None)
    assert words is None or said == [f"The network is {words} always naming the most frequent token: train longer."]
