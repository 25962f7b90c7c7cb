"""Words of a command line before Sacred reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from configs.naming import Alias
from helpers.experiments.command_line import as_texts


@dataclass
class _Inner:
    names: list[str] | None = None
    either: str | list[str] = "auto"
    numbers: list[int] | None = None


@dataclass
class _Lists:
    inner: _Inner = field(default_factory=_Inner)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("inner.names=mel,cqt", "inner.names=['mel', 'cqt']"),
        ("inner.names=[mel, cqt]", "inner.names=['mel', 'cqt']"),
        ("inner.names=mel", "inner.names=['mel']"),
        ("inner.names=['mel','cqt']", "inner.names=['mel','cqt']"),
        ("names_alias=mel,cqt", "names_alias=['mel', 'cqt']"),
        ("inner.names=None", "inner.names=None"),
        ("inner.names=[1,2]", "inner.names=[1,2]"),  # refused by its type, as it is
        ("inner.either=mel,cqt", "inner.either=mel,cqt"),
        ("inner.numbers=[a,b]", "inner.numbers=[a,b]"),
    ],
)
def test_lists_of_texts_need_no_quotes(word, wanted):
    assert as_texts(["main", "with", word], _Lists, {"names_alias": Alias("inner.names")}) == ["main", "with", wanted]
