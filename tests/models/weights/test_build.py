"""A network by its card: which weights it takes, when it bears the card, and heads that a file has not."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import ConfigError, WeightsNotFoundError
from models.registry import get_card
from models.weights.build import build_from_card

CARD = get_card("omar-rq-base")


def network(path: Path | None, out_dim: int | None = None) -> Any:
    return SimpleNamespace(path=path, out_dim=out_dim, card=None)


def build(**options: Any) -> Any:
    return build_from_card(CARD, lambda: network(None), network, **options)


def test_random_only_where_nothing_else_is_asked_for(tmp_path: Path) -> None:
    assert build(pretrained=False).path is None
    assert build(pretrained=False, checkpoint=tmp_path).path == tmp_path
    assert build(pretrained=True, checkpoint=tmp_path).path == tmp_path


def test_published_weights_bear_the_card_and_own_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / CARD.name
    folder.mkdir()
    for part in CARD.parts:
        (folder / part).touch()
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    with caplog.at_level(logging.INFO):
        assert build().card is CARD
        assert build(checkpoint=tmp_path).card is None
    assert [CARD.licence in line for line in caplog.messages] == [True, False]


def test_absent_weights_are_never_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsNotFoundError, match="omar-rq-base"):
        build()


@pytest.mark.parametrize(("has", "said"), [(None, "no classes"), (3, "3 classes")])
def test_a_head_that_the_file_has_not(tmp_path: Path, has: int | None, said: str) -> None:
    with pytest.raises(ConfigError, match=f"has {said}, 5 were asked for"):
        build_from_card(CARD, lambda: network(None), lambda path: network(path, has), checkpoint=tmp_path, out_dim=5)
