from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.embeddings import embedding_names, load_rows
from helpers.extraction.tokens import Choice
from helpers.probe.run import load_embeddings, select_tokens
from models.errors import ConfigError, GroundtruthError, StoreError

C = 4


def test_published_table(fixtures):
    golden = np.load(fixtures / "clmr" / "probe_maest.npz")
    for types in ("c", "d", "t", "cd", "ct", "dt", "cdt"):
        for reduce in ("mean", "stack"):
            for order in (types, types[::-1]):
                for given in (golden["emb_in"], torch.from_numpy(golden["emb_in"])):
                    got = select_tokens(given, order, reduce)
                    assert type(got) is type(given)
                    np.testing.assert_allclose(np.asarray(got), golden[f"emb_{reduce}_{types}"], atol=1e-6, rtol=1e-5)


def test_every_layout_gives_the_same_vector():
    track = np.random.default_rng(0).random((3, 3, C))  # as many windows as tokens
    want = track.mean(0)[[0, 2]].reshape(-1)
    for given in (track, track.reshape(3, 3 * C), track.mean(0), track.mean(0).reshape(-1)):
        np.testing.assert_allclose(select_tokens(given, "tc", "stack", token_size=C), want)
    np.testing.assert_allclose(select_tokens(track[:2, 0], "cdt", "stack", token_size=C), track[:2, 0].mean(0))
    np.testing.assert_allclose(select_tokens(track[0, 0], "cdt", "stack", token_size=C), track[0, 0])


@pytest.mark.parametrize(
    ("types", "reduce", "shape", "match"),
    [
        ("x", "mean", (2, 3, C), "Token types are 'x'"),
        ("", "mean", (2, 3, C), "Token types are ''"),
        ("cc", "mean", (2, 3, C), "Token types are 'cc'"),
        ("c", "sum", (2, 3, C), "reduce is 'sum'"),
        ("c", "mean", (2, 5), "Set token_size"),
        ("c", "mean", (2, 2, 3, C), "Set token_size"),
    ],
)
def test_refusals(types, reduce, shape, match):
    with pytest.raises(ConfigError, match=match):
        select_tokens(np.zeros(shape), types, reduce, token_size=C)


@pytest.fixture
def tracks(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"a/{i}.flac": rng.standard_normal((i + 1, 3, C)).astype(np.float32) for i in range(4)}
    with TrackStore.create(tmp_path / "s" / "e.h5", (3, C), "float32", {"kind": "embeddings"}) as writer:
        for name, array in arrays.items():
            writer.append(name, array)
        writer.seal()
    for name, array in arrays.items():
        path = tmp_path / "npy" / f"{name}.embeddings.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array.reshape(len(array), -1))
    return tmp_path, arrays


def test_a_store_and_files_give_the_same_in_the_order_of_the_keys(tracks):
    folder, arrays = tracks
    keys = ["a/2.flac", "a/0.flac", "a/3"]
    want = np.stack([arrays[k].mean(0)[[0, 2]].mean(0) for k in ("a/2.flac", "a/0.flac", "a/3.flac")])
    for source in (folder / "s" / "e.h5", folder / "s", TrackStore.open(folder / "s")):
        got = load_embeddings(source, keys, "ct", "mean")
        np.testing.assert_allclose(got, want, atol=1e-6)
        assert got.dtype == np.float32
    np.testing.assert_allclose(load_embeddings(folder / "npy", keys, "ct", "mean", token_size=C), want, atol=1e-6)


def test_means_weighted_by_valid_frames(tracks):
    folder, arrays = tracks
    with TrackStore.create(folder / "windows.h5", (2,), "int32", {"kind": "windows"}) as writer:
        for name, array in arrays.items():
            writer.append(
                name, np.array([[10 * i, 10 * i + (10 if i < len(array) - 1 else 2)] for i in range(len(array))], np.int32)
            )
    got = load_embeddings(folder / "s", ["a/1.flac"], "c", "stack", windows=TrackStore.open(folder / "windows.h5"))[0]
    np.testing.assert_allclose(got, (10 * arrays["a/1.flac"][0, 0] + 2 * arrays["a/1.flac"][1, 0]) / 12, atol=1e-6)


def test_single_vectors_have_no_tokens_to_choose(tmp_path):
    with TrackStore.create(tmp_path / "e.h5", (C,), "float32", {"kind": "embeddings"}) as writer:
        writer.append("a", np.arange(3 * C, dtype=np.float32).reshape(3, C))
    np.testing.assert_allclose(load_embeddings(tmp_path / "e.h5", ["a"], "c")[0], [4, 5, 6, 7])


def test_absent_keys_are_counted_and_listed_before_reading(tracks, monkeypatch):
    folder, _ = tracks
    monkeypatch.setattr(TrackStore, "read", lambda *a: pytest.fail("read"))
    for source in (folder / "s", folder / "npy"):
        with pytest.raises(
            GroundtruthError,
            match=r"2 of 3 tracks of the groundtruth have no embeddings in .*: 'z\.flac', 'a/9\.flac'.*failed\.csv.*data\.skip_missing",
        ):
            load_embeddings(source, ["z.flac", "a/1.flac", "a/9.flac"], token_size=C)
        with pytest.raises(GroundtruthError, match="groundtruth is empty"):
            load_embeddings(source, [], token_size=C)


def test_a_key_that_could_be_two_tracks_is_refused(tmp_path):
    with TrackStore.create(tmp_path / "e.h5", (3, C), "float32", {}) as writer:
        for name in ("a.wav", "a.mp3"):
            writer.append(name, np.zeros((1, 3, C), np.float32))
    with pytest.raises(GroundtruthError, match=r"may mean 'a\.wav', 'a\.mp3'"):
        load_embeddings(tmp_path / "e.h5", ["a"])
    assert load_embeddings(tmp_path / "e.h5", ["a.mp3"]).shape == (1, 3 * C)


def test_damaged_files_are_named(tracks):
    folder, _ = tracks
    path = folder / "npy" / "a" / "1.flac.embeddings.npy"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"1\.flac\.embeddings\.npy cannot be read"):
        load_embeddings(folder / "npy", ["a/1.flac"], token_size=C)
    np.save(path, np.full((1, 3 * C), np.nan))
    with pytest.raises(StoreError, match="NaN"):
        load_embeddings(folder / "npy", ["a/1.flac"], token_size=C)


def test_a_folder_above_the_store_is_told_from_an_empty_one(tmp_path):
    store = tmp_path / "emb" / "5sec" / "2" / "embeddings.h5"
    store.parent.mkdir(parents=True)
    with pytest.raises(
        StoreError, match=r"5sec holds no store of embeddings, and no files .*command extract_embeddings writes them"
    ):
        load_embeddings(store.parents[1], ["a"])
    with TrackStore.create(store, (3, C), "float32", {"kind": "embeddings"}) as writer:
        writer.append("a", np.zeros((1, 3, C), np.float32))
        writer.seal()
    (store.parent / "windows").mkdir()
    (store.parent / "windows" / "windows.h5").write_bytes(b"")  # as extraction leaves it
    with pytest.raises(StoreError) as error:
        load_embeddings(store.parents[1], ["a"])
    assert str(error.value).endswith(f"there is one at {store.parent}: name that folder.")


def npy(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.embeddings.npy", array.astype(np.float32))
    return folder


def test_files_without_tokens_may_have_any_number_of_windows(tmp_path):
    """Three windows of vectors look like three tokens of one: the folder's other files tell."""
    three, five = np.arange(3 * C).reshape(3, C), np.arange(5 * C).reshape(5, C)
    folder = npy(tmp_path, three=three, five=five)
    for keys in (["three", "five"], ["three"]):  # also a split in which all tracks have three
        rows, track = load_rows(folder, keys, Choice("c", "mean", C), "each")
        np.testing.assert_array_equal(rows[:3], three)
        assert np.bincount(track).tolist() == [3, 5][: len(keys)]


def test_three_tokens_stay_three_tokens_beside_longer_files(tmp_path):
    three, two = np.arange(3 * C).reshape(3, C), np.arange(6 * C).reshape(2, 3 * C)
    rows, track = load_rows(npy(tmp_path, three=three, two=two), ["three", "two"], Choice("d", "mean", C), "each")
    np.testing.assert_array_equal(rows, [three[1], two[0, C : 2 * C], two[1, C : 2 * C]])
    assert track.tolist() == [0, 1, 1]


def test_files_that_may_be_either_are_tokens_and_it_is_said(tmp_path, caplog):
    folder = npy(tmp_path, a=np.arange(3 * C).reshape(3, C))
    assert list(embedding_names(folder)) == ["a"]  # names alone say nothing
    assert caplog.text == ""
    np.testing.assert_array_equal(load_embeddings(folder, ["a"], "t", token_size=C)[0], np.arange(2 * C, 3 * C))
    assert f"All arrays in {folder} are [3, {C}]: they are taken as three tokens" in caplog.text
    caplog.clear()
    (folder / "settings.json").write_text(f'{{"network": {{"embed_dim": {C}}}}}')
    load_embeddings(folder, ["a"], "t")
    assert caplog.text == ""


def test_files_of_two_kinds_are_refused_by_name(tmp_path):
    folder = npy(tmp_path, a=np.zeros((2, 3 * C)), b=np.zeros((2, 3 * C)), odd=np.zeros((5, C)))
    with pytest.raises(StoreError, match=r"embeddings\.npy has the shape .* other files of .* are "):
        load_embeddings(folder, ["a", "odd"], token_size=C)
