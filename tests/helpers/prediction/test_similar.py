"""Nearest recordings: the cosine as defined, centred or not; a file finds itself; names and settings that do not fit."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from datasets.prepare import prepare
from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.prediction.predict import PredictionSettings
from helpers.prediction.similar import Collection, name_among, print_similar, tokens_of
from helpers.prediction.similar_pages import Search, write_search
from helpers.reports.wording import RANDOM
from models.clmr import SampleCNN
from models.errors import AudioError, ConfigError
from models.maest import MAEST
from tests.sound import tune, write


@pytest.fixture(scope="module")
def net() -> MAEST:
    torch.manual_seed(0)
    return MAEST(input_t=125, n_classes=3, embed_dim=32, depth=3, num_heads=4, init_std=0.2).eval()


@pytest.fixture(scope="module")
def made(net, tmp_path_factory):
    """Audio folder, and the store of its embeddings of block 1."""
    root = tmp_path_factory.mktemp("similar")
    for i in range(5):
        write(root / "audio" / f"sub {i % 2}" / f"{i}.wav", tune(2.0 + 0.9 * i, 16000, 1, i), 16000)
    store = prepare(root / "audio", root / "mels", jobs=1).store
    return root / "audio", extract_embeddings(net, store, root / "out", [1]).paths[1]


def plain(net, made):
    """The definition: mean tokens of every track, weighted by valid frames."""
    store, windows = TrackStore.open(made[1]), TrackStore.open(made[1].parent / "windows")
    out = {}
    for name in store.names:
        span = windows.read(name)
        out[name] = np.average(store.read(name).astype(np.float64), axis=0, weights=span[:, 1] - span[:, 0])
    return out


@pytest.mark.parametrize(("types", "reduce"), [("cdt", "stack"), ("ct", "mean"), ("d", "stack")])
@pytest.mark.parametrize("center", [True, False])
def test_the_cosine_is_as_defined(net, made, types, reduce, center):
    there = Collection.open(made[1], None, types, reduce, center)
    chosen = ["cdt".index(letter) for letter in types]
    vectors = {k: v[chosen].reshape(-1) if reduce == "stack" else v[chosen].mean(0) for k, v in plain(net, made).items()}
    mean = np.mean(list(vectors.values()), axis=0) if center else 0.0
    query = there.names[2]
    a = vectors[query] - mean
    want = {k: a @ (v - mean) / np.linalg.norm(a) / np.linalg.norm(v - mean) for k, v in vectors.items()}
    found = there.nearest(there.vector(query), 4, leave_out=[query])
    assert [name for name, _ in found] == sorted((k for k in want if k != query), key=lambda k: -want[k])
    assert dict(found) == pytest.approx({k: v for k, v in want.items() if k != query}, abs=1e-5)


def test_a_file_is_nearest_to_itself(net, made):
    audio, store = made
    there = Collection.open(store)
    for name in there.names:
        vector = there.of_tokens(tokens_of(net, audio / name, 1, ExtractionSettings(batch_size=2)))
        assert vector @ there.vector(name) > 0.999
        assert there.nearest(vector, 1)[0][0] == name
        assert name_among(str(audio / name), str(audio)) == name
    assert name_among("elsewhere.wav", str(audio)) == "elsewhere.wav"
    assert name_among(str(audio / there.names[0]), None) == str(audio / there.names[0])


def test_a_part_of_the_collection(made):
    names = TrackStore.open(made[1]).names[:2]
    there = Collection.open(made[1], names)
    assert [name for name, _ in there.nearest(there.vector(names[0]), 10)] == [names[0], names[1]]


def test_a_collection_of_one_has_no_direction_of_its_own(made):
    names = TrackStore.open(made[1]).names[:1]
    there = Collection.open(made[1], names)
    assert there.nearest(there.vector(names[0]))[0][1] == 0.0


def test_networks_without_a_distillation_token(made, tmp_path):
    torch.manual_seed(0)
    net = MAEST(input_t=125, n_classes=3, embed_dim=32, depth=2, num_heads=4, distilled=False, init_std=0.2).eval()
    store = extract_embeddings(net, made[1].parents[2] / "mels", tmp_path, [0]).paths[0]
    there = Collection.open(store, types="ct")
    name = there.names[0]
    assert there.nearest(there.of_tokens(tokens_of(net, made[0] / name, 0, ExtractionSettings())), 1)[0][0] == name
    with pytest.raises(ConfigError, match="no distillation token"):
        Collection.open(store)


def test_refusals(net, made, tmp_path):
    there = Collection.open(made[1])
    with pytest.raises(AudioError, match=r"sub 1/1\.waw is no file.*Did you mean 'sub 1/1\.wav'"):
        there.vector("sub 1/1.waw")
    with pytest.raises(ConfigError, match="at least one"):
        there.nearest(there.vectors[0], 0)
    with pytest.raises(ConfigError, match="Token types"):
        Collection.open(made[1], types="x")
    features = extract_embeddings(net, made[1].parents[2] / "mels", tmp_path, [-1]).paths[-1]
    with pytest.raises(ConfigError, match="block"):
        Collection.open(features)


def test_the_list(made):
    console = Console(file=io.StringIO(), width=80)
    print_similar("a\nb.wav", [("sub 1/1.wav", 0.51234)], True, RANDOM, console)
    assert "sub 1/1.wav" in console.file.getvalue()
    assert "0.512" in console.file.getvalue()
    assert "RANDOM weights" in console.file.getvalue()


def test_the_page_shows_the_neighbours_first_each_with_player_and_page(net, made, tmp_path):
    audio = str(made[0])
    found = [("sub 1/1.wav", 0.9), ("sub 0/0.wav", 0.2)]
    page = write_search(net, Search("sub 0/2.wav", found, audio, 1, True), tmp_path, PredictionSettings())
    text = page.read_text()
    assert page == tmp_path / "sub 0/2.wav" / "index.html"
    assert text.index("Nearest recordings") < text.index("sub 1/1.wav") < text.index("sub 0/0.wav")
    assert text.index("sub 0/0.wav") < text.index("The recording itself")
    assert text.count("<audio") == 3
    for href in ("tracks/sub%201/1.wav/index.html", "tracks/sub%200/0.wav/index.html", "tracks/sub%200/2.wav/index.html"):
        assert f'href="{href}"' in text
        assert "Most probable" in (page.parent / href.replace("%20", " ")).read_text()


def test_random_weights_are_named_and_name_nothing(net, made, tmp_path):
    search = Search("sub 0/2.wav", [("sub 1/1.wav", 0.9)], str(made[0]), 1, True)
    text = write_search(net, search, tmp_path, PredictionSettings(weights=RANDOM)).read_text()
    assert text.index("RANDOM weights") < text.index("Nearest recordings")
    assert text.count("<audio") == 2
    assert "<a href" not in text


def test_a_network_without_classes_has_players_and_a_collection_without_audio_names(made, tmp_path):
    cnn = SampleCNN([4, 4, 6, 8], [9, 9], out_dim=None).eval()
    found = [("sub 1/1.wav", 0.9)]
    text = write_search(cnn, Search("sub 0/2.wav", found, str(made[0]), 1, False), tmp_path, PredictionSettings()).read_text()
    assert text.count("<audio") == 2
    assert "<a href" not in text
    text = write_search(cnn, Search("sub 0/2.wav", found, None, 1, False), tmp_path / "names", PredictionSettings()).read_text()
    assert "sub 1/1.wav" in text
    assert "<audio" not in text


def test_a_neighbour_that_is_no_audio_any_more_is_named_and_said(net, tmp_path, caplog):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "gone.wav").write_bytes(b"RIFF")
    search = Search("x.wav", [("gone.wav", 0.5), ("../gone.wav", 0.1)], str(tmp_path / "audio"), 1, True)
    text = write_search(net, search, tmp_path / "out", PredictionSettings()).read_text()
    assert "gone.wav" in text
    assert "gone.wav has neither player nor page" in caplog.text
