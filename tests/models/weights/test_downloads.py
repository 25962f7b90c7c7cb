"""Downloads from servers made here: resumed after a cut, checked, never half under the real name; the registry's order of places."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import export_model, get_maest
from models.errors import WeightsError, WeightsNotFoundError
from models.maest import MAEST
from models.weights import cards, downloads
from tests.server import serving

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
ARCH = "discogs-maest-5s-pw-129e"
FILE = f"{ARCH}-swa.ckpt"
SIZE = dict(embed_dim=32, depth=2, num_heads=4)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No cache, no setting and no proxy of this machine."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "MAEST_WEIGHTS", "MAEST_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def server():
    with serving() as state:
        state.files["/a.bin"] = CONTENT
        yield state


def left(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


# ---- one file
def test_a_download_is_whole_and_its_hash_is_kept(server, tmp_path):
    assert downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin").read_bytes() == CONTENT
    assert left(tmp_path) == ["w.bin", "w.bin.sha256"]
    assert (tmp_path / "w.bin.sha256").read_text() == f"{SHA}  w.bin\n"
    downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin")
    assert len(server.log) == 1


def test_cuts_are_resumed_where_they_were(server, tmp_path):
    server.cuts = [1_100_000, 700_000]
    assert downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", SHA).read_bytes() == CONTENT
    assert [r for _, _, r in server.log] == [None, "bytes=1100000-", "bytes=1800000-"]


def test_a_later_run_goes_on(server, tmp_path):
    server.cuts = [1_500_000, 0]  # the second attempt brings nothing: the line is dead
    with pytest.raises(downloads.DownloadError, match="cut off after 1500000 of 3000000"):
        downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin")
    assert left(tmp_path) == ["w.bin.part", "w.bin.part.json"]
    downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin")
    assert (tmp_path / "w.bin").read_bytes() == CONTENT
    assert server.log[-1][2] == "bytes=1500000-"


def test_two_different_files_are_never_spliced(server, tmp_path):
    server.cuts = [1_500_000, 0]
    with pytest.raises(downloads.DownloadError):
        downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin")
    server.files["/a.bin"] = CONTENT[::-1]
    assert downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(("validators", "ranges"), [(False, True), (True, False)])
def test_servers_that_cannot_resume_are_asked_from_the_start(server, tmp_path, validators, ranges):
    server.validators, server.ranges, server.cuts = validators, ranges, [1_500_000]
    assert downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", SHA).read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_not_fetched_again(server, tmp_path):
    url = f"{server.address}/a.bin"
    server.cuts = [2_999_999, 0]
    with pytest.raises(downloads.DownloadError):
        downloads.download(url, tmp_path / "w.bin")
    with open(tmp_path / "w.bin.part", "ab") as file:  # as a run that was killed before it gave the file its name
        file.write(CONTENT[-1:])
    assert downloads.download(url, tmp_path / "w.bin", SHA).read_bytes() == CONTENT
    assert server.log[-1][2] == "bytes=3000000-"


@pytest.mark.parametrize("known", ["0" * 64, "d0272ac0"])
def test_another_file_is_refused_and_not_kept(server, tmp_path, known):
    with pytest.raises(WeightsError, match=f"{SHA}, wanted {known}"):
        downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", known)
    assert left(tmp_path) == []
    assert downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", SHA[:8]).is_file()


def test_a_later_download_must_have_the_first_ones_hash(server, tmp_path):
    path = downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin")
    path.unlink()
    server.files["/a.bin"] = CONTENT[:-1]
    with pytest.raises(WeightsError, match="from an earlier download"):
        downloads.download(f"{server.address}/a.bin", path)


def test_no_such_file_and_no_network(server, tmp_path):
    with pytest.raises(downloads.DownloadError, match="Not Found"):
        downloads.download(f"{server.address}/absent.bin", tmp_path / "w.bin")
    with pytest.raises(downloads.DownloadError, match="refused"):
        downloads.download("http://127.0.0.1:9/a.bin", tmp_path / "w.bin")
    with pytest.raises(downloads.DownloadError, match="no http"):
        downloads.download("file:///etc/hosts", tmp_path / "w.bin")
    assert left(tmp_path) == []
    assert [m for m, _, _ in server.log] == ["GET"]  # what is not there is not asked for again


def test_many_at_once_download_once(server, tmp_path):
    threads = [
        threading.Thread(target=downloads.download, args=(f"{server.address}/a.bin", tmp_path / "w.bin")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "w.bin").read_bytes() == CONTENT
    assert len(server.log) == 1


# ---- the registry
@pytest.fixture(scope="module")
def net() -> MAEST:
    torch.manual_seed(1)
    return MAEST(input_t=312, **SIZE).eval()


@pytest.fixture
def released(server, net, monkeypatch):
    """The arch's card with its release on the server."""
    import huggingface_hub

    huggingface_hub.close_session()  # its client keeps the proxies of the test before
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    server.files[f"/release/{FILE}"] = buffer.getvalue()
    card = replace(cards.get_card(ARCH), url=f"{server.address}/release/{FILE}", sha256=None, size=None)
    monkeypatch.setitem(cards._CARDS, ARCH, card)
    return server


def loads(net, atol=0.0):
    got = get_maest(ARCH, **SIZE).eval()
    x = torch.zeros(1, 96, 312)
    with torch.no_grad():
        torch.testing.assert_close(got(x)[0], net(x)[0], atol=atol, rtol=0)
    return got


def test_the_release_is_downloaded_once_and_its_licence_said(released, net, caplog):
    with caplog.at_level(logging.WARNING):
        assert loads(net).card.name == ARCH
    assert "CC BY-NC-SA 4.0" in caplog.text
    released.files.clear()
    loads(net)  # from the cache
    assert [path for _, path, _ in released.log] == [f"/release/{FILE}"]


def test_a_mirror_stands_before_the_release(released, net, monkeypatch):
    released.files[f"/mirror/{FILE}"] = released.files.pop(f"/release/{FILE}")
    monkeypatch.setenv("MAEST_MIRROR", f"{released.address}/mirror/")
    loads(net)
    assert released.log == [("GET", f"/mirror/{FILE}", None)]


def test_the_release_serves_what_the_mirror_lacks(released, net, monkeypatch):
    monkeypatch.setenv("MAEST_MIRROR", f"{released.address}/mirror")
    loads(net)
    assert [path for _, path, _ in released.log] == [f"/mirror/{FILE}", f"/release/{FILE}"]


def test_the_hub_serves_what_the_release_lacks_and_is_reused_offline(released, net, tmp_path, monkeypatch):
    export_model(net, tmp_path / "ast", "ast")
    for name in downloads.HUB_FILES:
        released.hub_file(f"mtg-upf/{ARCH}", name, (tmp_path / "ast" / name).read_bytes())
    released.files.pop(f"/release/{FILE}")
    monkeypatch.setenv("HF_ENDPOINT", released.address)
    loads(net, atol=1e-4)
    seen = len(released.log)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loads(net, atol=1e-4)
    assert len(released.log) == seen


def test_offline_asks_nobody_and_names_the_file(released, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsNotFoundError, match=f"(?s){FILE}.*HF_HUB_OFFLINE"):
        get_maest(ARCH, **SIZE)
    assert released.log == []


def test_a_folder_of_weights_needs_no_network(released, net, monkeypatch, tmp_path):
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    export_model(net, tmp_path / ARCH)
    loads(net)
    (tmp_path / FILE).write_bytes(released.files[f"/release/{FILE}"])
    loads(net)
    assert released.log == []


def test_a_wrong_file_is_refused_through_the_registry(released, monkeypatch):
    monkeypatch.setitem(cards._CARDS, ARCH, replace(cards.get_card(ARCH), sha256="ab" * 32))
    with pytest.raises(WeightsError, match="not the file it should be"):
        get_maest(ARCH, **SIZE)


def test_a_file_of_another_size_is_refused_before_it_is_read(server, tmp_path):
    with pytest.raises(WeightsError, match=r"it has 3000000 bytes, wanted 3000001"):
        downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", size=3_000_001)
    assert left(tmp_path) in ([], ["w.bin.part.json"])
    assert downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", size=3_000_000).stat().st_size == 3_000_000


def test_an_md5_is_held_where_that_is_what_the_publisher_gives(server, tmp_path):
    with pytest.raises(WeightsError, match=r"its md5 is .*, wanted 0000 \(the page\)"):
        downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", md5="0000", known_from="the page")
    assert left(tmp_path) == []
    downloads.download(f"{server.address}/a.bin", tmp_path / "w.bin", md5=hashlib.md5(CONTENT).hexdigest())
    assert (tmp_path / "w.bin").read_bytes() == CONTENT
