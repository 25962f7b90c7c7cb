"""Published hashes: a file that differs is refused with both; `python -m models.weights` lists and fetches."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from models import get_maest, list_models
from models.errors import WeightsError, WeightsNotFoundError
from models.maest import hashes
from models.weights import cards
from models.weights.__main__ import main
from models.weights.files import check_file
from models.weights.locate import find_weights

ARCH = "discogs-maest-30s-pw-129e"


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """An empty MAEST_WEIGHTS, empty caches, no network."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("MAEST_WEIGHTS", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def test_every_published_file_has_its_hash_size_and_source():
    list_models()
    by_file = {card.file: card for card in (cards.get_card(name) for name in cards.list_cards()) if card.family == "maest"}
    assert set(hashes.FILES) <= set(by_file)
    for file, (sha256, size) in hashes.FILES.items():
        card = by_file[file]
        assert (card.sha256, card.size, len(sha256)) == (sha256, size, 64)
        assert "maest-infer 0.2.0" in card.hashes_from
    assert by_file[f"{ARCH}-swa.ckpt"].sha256.startswith("2e8ac8eb")


@pytest.mark.parametrize(
    "name", ["discogs-maest-5s-pw-129e", "passt_s_swa_p16_128_ap476", "deit_base_patch16_384", "passt_deit_bd_p16_384"]
)
def test_a_file_that_differs_is_refused_with_both_hashes(weights, name):
    list_models()
    card = cards.get_card(name)
    (weights / card.file).write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(WeightsError, match=f"its sha256 is {found}, wanted {card.sha256}") as error:
        get_maest(name)
    assert "fetch it again" in str(error.value)
    assert (weights / card.file).read_bytes() == b"something else"


def test_a_file_is_hashed_again_when_it_changes(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"good")
    sha = hashlib.sha256(b"good").hexdigest()
    check_file(path, sha)
    path.write_bytes(b"bad!!")
    with pytest.raises(WeightsError, match="is not the published file"):
        check_file(path, sha)
    check_file(path, None)
    with pytest.raises(WeightsNotFoundError, match="cannot be read"):
        check_file(tmp_path / "absent", sha)


def test_whoever_has_no_weights_is_offered_a_tagger_that_can_be_had():
    with pytest.raises(WeightsNotFoundError) as found:
        get_maest(ARCH)
    assert "'musicnn-mtt'" in str(found.value)
    assert "python ex_maest.py predict with musicnn_mtt predict.audio=FILE_OR_DIR" in str(found.value)
    with pytest.raises(WeightsNotFoundError) as found:
        find_weights(cards.get_card("musicnn-msd"))
    assert "Try `" not in str(found.value)


def test_the_list_says_what_is_here_whole_and_where_the_rest_comes_from(weights, capsys, monkeypatch):
    list_models()
    content = b"weights"
    whole = replace(cards.get_card(ARCH), sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    monkeypatch.setitem(cards._CARDS, ARCH, whole)
    (weights / whole.file).write_bytes(content)
    (weights / "discogs-maest-5s-pw-129e-swa.ckpt").write_bytes(b"cut")
    (weights / "clmr_checkpoint_1550.pt").write_bytes(b"x")
    assert main(["verify"]) == 1
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(cards.list_cards()) < set(lines)
    assert lines[ARCH].split()[1] == "whole"
    assert "maest-infer 0.2.0" in lines[ARCH]
    assert lines["discogs-maest-5s-pw-129e"].split()[1] == "DAMAGED"
    assert "wanted cc626ee9" in lines["discogs-maest-5s-pw-129e"]
    assert lines["clmr-magnatagatune-1550"].split()[1] == "present"
    assert "no sha256 of it is known" in lines["clmr-magnatagatune-1550"]
    assert lines["musicnn-mtt"].split()[1:5] == ["absent", "29.3", "MB,", "`pip"]
    assert lines["passt_s_swa_p16_128_ap476"].split()[1] == "absent"
    assert main(["verify", "musicnn*"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["verify", "nothing*"]) == 2


def test_what_cannot_be_fetched_is_said(capsys):
    assert main(["fetch", "musicnn-mtt"]) == 1
    assert "pip download --no-deps musicnn==0.1.0" in capsys.readouterr().err
    assert main(["fetch", "musicn-mtt"]) == 1
    assert "Did you mean" in capsys.readouterr().err
