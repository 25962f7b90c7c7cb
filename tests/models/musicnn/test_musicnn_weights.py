"""The wheel: fetched by pip from an index made here, read, and refused in every way that it can be damaged."""

from __future__ import annotations

import logging
import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from models import load_model, registry
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.export import export_model
from models.musicnn import MusiCNN, build, convert
from models.weights import package_index
from models.weights.cards import get_card
from models.weights.downloads import DownloadError
from tests.models.musicnn.bundles import bundle, entry, index_of, members_of, publish, random_network, variables, write_wheel

FILE = convert.FILE


@pytest.fixture(scope="module")
def net() -> MusiCNN:
    return random_network()


@pytest.fixture(scope="module")
def members(net) -> dict[str, bytes]:
    return members_of(net)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """An empty cache, no network, and pip set up for the folder `index`."""
    for name in ("MAEST_WEIGHTS", "MAEST_MIRROR", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "index").mkdir()
    return tmp_path


def cache_of(place: Path) -> list[str]:
    """What the cache holds beside its lock."""
    folder = place / "torch" / "hub" / "checkpoints"
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.is_dir() else []


@pytest.fixture
def wheel(place, members, monkeypatch) -> Path:
    """A wheel that counts as the published one, of a random network."""
    path = write_wheel(place / "index" / FILE, members)
    publish(monkeypatch, path, members)
    return path


def same(got: MusiCNN, want: MusiCNN) -> None:
    x = torch.rand(2, 96, 187, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(got(x), want(x), atol=0, rtol=0)


# ---- had
@pytest.mark.slow  # pip itself
def test_it_is_fetched_once_by_pip_and_then_read_offline(wheel, place, net, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING):
        got = load_model("musicnn-mtt")
    assert "ISC" in caplog.text
    same(got, net)
    assert (got.card.name, got.label_names[0], got.training) == ("musicnn-mtt", "guitar", False)
    assert cache_of(place) == [FILE]
    wheel.unlink()
    monkeypatch.setattr(package_index.subprocess, "run", None)
    same(load_model("musicnn-mtt"), net)
    assert load_model("musicnn-msd").label_names[0] == "rock"
    assert not [name for name in sys.modules if name.split(".")[0] == "musicnn"]


def test_a_folder_of_weights_and_a_wheel_by_its_path_need_no_network(wheel, net, monkeypatch):
    monkeypatch.setattr(package_index.subprocess, "run", None)
    assert registry.family_of(wheel) == "musicnn"
    same(load_model(wheel), net)
    assert load_model(wheel, name="musicnn-msd").card.name == "musicnn-msd"
    same(build(checkpoint=wheel), net)
    monkeypatch.setenv("MAEST_WEIGHTS", str(wheel.parent))
    same(load_model("musicnn-mtt"), net)


def test_other_classes_start_fresh_and_are_said(wheel, net, caplog):
    got = build(checkpoint=wheel, labels=["a", "b"])
    assert (got.label_names, got.card) == (["a", "b"], None)
    assert "its last layer starts fresh for 2 other classes" in caplog.text
    torch.testing.assert_close(got.dense.weight, net.dense.weight)


def test_exports_are_read_back(net, tmp_path):
    export_model(net, tmp_path / "out")
    got = load_model(tmp_path / "out")
    same(got, net)
    assert got.label_names == net.label_names


# ---- not to be had
def refused(kind: type[Exception] = WeightsNotFoundError) -> str:
    with pytest.raises(WeightsError) as found:
        load_model("musicnn-mtt")
    assert type(found.value) is kind
    return str(found.value)


def test_offline_it_says_what_to_fetch_and_where_to_place_it(place, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text = refused()
    assert "pip download --no-deps musicnn==0.1.0" in text
    assert f"place {FILE} in a folder that MAEST_WEIGHTS names" in text
    assert str(place / "torch") in text
    assert cache_of(place) == []


def test_an_index_that_has_it_not(place):
    text = refused()
    assert "No matching distribution found" in text
    assert "pip download --no-deps musicnn==0.1.0" in text
    assert cache_of(place) == []


def test_no_index_is_reached(place, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    text = refused()
    assert "pip download" in text
    assert "secret" not in text
    assert cache_of(place) == []


def test_pip_is_absent(place, monkeypatch):
    interpreter = place / "python-without-pip"
    interpreter.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named pip' >&2\nexit 1\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(package_index.sys, "executable", str(interpreter))
    assert "has no pip: python -m ensurepip" in refused()


def test_a_folder_that_cannot_be_written(place):
    (place / "torch" / "hub").mkdir(parents=True)
    (place / "torch" / "hub" / "checkpoints").write_text("a file in the way")
    assert "cannot be written" in refused()


def test_pip_that_never_ends(place, monkeypatch):
    def never(*args, timeout, **kwargs):
        raise package_index.subprocess.TimeoutExpired(args, timeout)

    monkeypatch.setattr(package_index.subprocess, "run", never)
    assert "did not end within 600 s" in refused()
    assert cache_of(place) == []


def test_an_index_with_another_file_of_the_name(place, members, net, monkeypatch):
    write_wheel(place / "index" / FILE, {**members, "musicnn/more.py": b"x = 1"})
    text = refused(WeightsError)
    assert f"wanted {convert.SHA256}" in text
    assert "Nothing was kept" in text
    assert cache_of(place) == []


def test_what_pip_fetches_is_no_link_and_has_the_name(place, monkeypatch):
    def link(command, cwd, **kwargs):
        os.symlink("/etc/hostname", Path(cwd) / FILE)
        return package_index.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(package_index.subprocess, "run", link)
    with pytest.raises(DownloadError, match="is wanted"):
        package_index.fetch_wheel("musicnn==0.1.0", place / "w" / FILE)
    assert [p.name for p in (place / "w").iterdir()] == [f".{FILE}.lock"]


# ---- damaged
def cut(content: bytes, members: dict) -> bytes:
    return content[: len(content) // 2]


def rebuilt(**changes):
    """A wheel whose members are changed: name with its folder's letter -> content, None: left out."""

    def make(content: bytes, members: dict, folder: Path) -> bytes:
        new = {**members, **{k: v for k, v in changes.items() if v is not None}}
        new = {k: v for k, v in new.items() if changes.get(k, b"") is not None}
        return write_wheel(folder / "made.zip", new).read_bytes()

    return make


MTT = convert.MEMBERS["musicnn-mtt"].folder
INDEX, DATA = f"{MTT}.index", f"{MTT}.data-00000-of-00001"
OUTER = {  # the file is not the published one: kind -> (how it is made, what is said)
    "empty": (lambda c, m, f: b"", "cut off, or no wheel"),
    "cut off": (lambda c, m, f: c[: len(c) // 2], "cut off, or no wheel"),
    "its end missing": (lambda c, m, f: c[:-1], "cut off, or no wheel"),
    "bytes behind it": (lambda c, m, f: c + b"more", "wanted"),
    "a byte changed": (lambda c, m, f: c[:5000] + bytes([c[5000] ^ 1]) + c[5001:], "sha256 is"),
    "a text": (lambda c, m, f: b"<html>captive portal</html>" * 200000, "no wheel"),
    "another version": (
        rebuilt(**{"musicnn-0.1.0.dist-info/METADATA": None, "musicnn-0.2.0.dist-info/METADATA": b"x"}), "it is version 0.2.0, and 0.1.0 is wanted",
    ),
    "another distribution": (rebuilt(**{"musicnn-0.1.0.dist-info/METADATA": None}), "no wheel of musicnn"),
    "a member missing": (rebuilt(**{INDEX: None}), "it lacks musicnn/MTT_musicnn/.index"),
    "a member more": (rebuilt(**{"../../evil.py": b"x"}), "sha256 is"),
    "a member changed": (rebuilt(**{DATA: b"\0" * 100}), "sha256 is"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OUTER)
@pytest.mark.parametrize("where", ["cache", *(pytest.param(other, marks=pytest.mark.slow) for other in ("weights", "path"))])
def test_a_file_that_is_not_the_published_one_is_refused(kind, where, wheel, place, members, monkeypatch):
    make, words = OUTER[kind]
    folder = {"cache": place / "torch/hub/checkpoints", "weights": place / "own", "path": place / "given"}[where]
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(make(wheel.read_bytes(), members, place))
    if where == "weights":
        monkeypatch.setenv("MAEST_WEIGHTS", str(folder))
    before = (folder / FILE).read_bytes()
    with pytest.raises(WeightsError) as found:
        load_model(folder / FILE if where == "path" else "musicnn-mtt")
    text = str(found.value)
    assert convert.SHA256 in text
    assert str(folder / FILE) in text
    if where == "path":
        assert words in text
    assert "fetch it again" in text
    assert (folder / FILE).read_bytes() == before
    assert [p.name for p in folder.iterdir()] == [FILE]
    assert not (place / "evil.py").exists()
    assert not (place.parent / "evil.py").exists()


def half(net: MusiCNN) -> tuple[bytes, bytes]:
    """A bundle whose first variable is float16."""
    arrays = variables(net)
    _, data = bundle(arrays)
    name = next(iter(arrays))
    entries = {}
    offset = 0
    for key, x in arrays.items():
        entries[key] = entry(x.shape, offset, 4 * x.size, dtype=19 if key == name else 1)
        offset += 4 * x.size
    return index_of(entries), data


INNER = {  # the whole has the hash that is asked for, and still cannot be read
    "no index": (lambda m, net: {k: v for k, v in m.items() if k != INDEX}, "has no member"),
    "no data": (lambda m, net: {k: v for k, v in m.items() if k != DATA}, "has no member"),
    "another index": (lambda m, net: {**m, INDEX: m[INDEX][:-1]}, "is another file: its sha256 is"),
    "other data": (lambda m, net: {**m, DATA: m[DATA][:-4]}, "is another file: its sha256 is"),
}
HELD = {  # members have the hashes that are asked for, too
    "compressed": (lambda m, net: {**m, INDEX: index_of({"conv2d/bias": entry((204,), 0, 816)}, compression=1)}, "compressed"),
    "another dtype": (lambda m, net: {**m, INDEX: half(net)[0]}, "is float16, float32 is wanted"),
    "data cut off": (lambda m, net: {**m, DATA: m[DATA][:-4000]}, "its data are cut off"),
    "a variable missing": (lambda m, net: {**m, INDEX: index_of({"conv2d/bias": entry((204,), 0, 816)})}, "it has no "),
    "no table": (lambda m, net: {**m, INDEX: b"not a table"}, "does not end as such a table does"),
    "another shape": (lambda m, net: {**m, **narrower(net)}, r"do not fit this MusiCNN: shape"),
}


def narrower(net: MusiCNN) -> dict[str, bytes]:
    arrays = variables(net)
    arrays["dense_1/bias"] = arrays["dense_1/bias"][:40]
    index, data = bundle(arrays)
    return {INDEX: index, DATA: data}


@pytest.mark.parametrize("kind", [*INNER, *HELD])
def test_what_is_in_it_is_refused_too(kind, place, members, net, monkeypatch):
    make, words = {**INNER, **HELD}[kind]
    changed = make(members, net)
    path = write_wheel(place / FILE, changed)
    publish(monkeypatch, path, changed if kind in HELD else members)
    with pytest.raises(WeightsError, match=words) as found:
        load_model(path)
    assert "etch it again" in str(found.value) or "another family or size" in str(found.value)
    assert sorted(p.name for p in place.iterdir()) == sorted(["index", FILE])


def test_a_member_that_would_unpack_to_too_much(place, members, monkeypatch):
    path = write_wheel(place / FILE, members)
    publish(monkeypatch, path, members)
    monkeypatch.setattr(convert, "MOST", 1000)
    with pytest.raises(WeightsError, match="would unpack to"):
        load_model(path)


def test_encrypted_and_unknown_kinds_of_members(place, members, monkeypatch):
    path = write_wheel(place / FILE, members, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    place_of = content.index(b"PK\x01\x02", content.rindex(b"PK\x03\x04"))
    while place_of >= 0:
        content[place_of + 8] |= 1  # the flag of encryption, of every entry of the directory
        place_of = content.find(b"PK\x01\x02", place_of + 4)
    path.write_bytes(content)
    publish(monkeypatch, path, members)
    with pytest.raises(WeightsError, match="cannot be read as a wheel"):
        load_model(path)


def test_names_of_other_networks_are_refused(wheel):
    with pytest.raises(ConfigError, match="not of musicnn"):
        load_model(wheel, name="maest_30s")
    with pytest.raises(ConfigError, match="There is no model 'musicnn-vgg'"):
        load_model("musicnn-mtt", checkpoint=wheel) and load_model(wheel, name="musicnn-vgg")


def test_the_card():
    card = get_card("musicnn-mtt")
    assert (card.file, card.package, card.size) == (FILE, "musicnn==0.1.0", 29292476)
    assert "musicnn_mtt" in card.command
