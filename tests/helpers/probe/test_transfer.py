"""What of the embeddings a probe sees: windows, tokens, layers; targets of every task; draws of few labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.store.track_store import TrackStore
from helpers.evaluation.comparison import compare_systems
from helpers.evaluation.few_label import drawn, subset
from helpers.extraction.embeddings import load_rows
from helpers.extraction.tokens import Choice
from helpers.probe.inputs import Inputs, check_tracks, layer_folders, read_split
from helpers.probe.protocol import Protocol
from helpers.probe.run import ProbeSettings, Split
from helpers.probe.targets import TableReading, read_targets
from models.errors import ConfigError, GroundtruthError, StoreError

C = 4
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """Three blocks of ten tracks with 1 to 3 windows; what they hold, block -> track -> [windows, 3, C]."""
    folder = tmp_path_factory.mktemp("blocks")
    held = {}
    for block in (0, 1, 11):
        held[block] = {f"{i}.wav": rng.standard_normal((1 + i % 3, 3, C)).astype(np.float32) for i in range(10)}
        attrs = {"kind": "embeddings", "block": block, "network": {"embed_dim": C}}
        with TrackStore.create(folder / str(block) / "embeddings.h5", (3, C), "float32", attrs) as writer:
            for name, array in held[block].items():
                writer.append(name, array)
            writer.seal()
    return folder, held


KEYS = [f"{i}.wav" for i in (7, 2, 5, 0)]


@pytest.mark.parametrize("block_size", [16, 4_000_000])  # many blocks of reading, and one
def test_windows_of_tracks(blocks, monkeypatch, block_size):
    folder, held = blocks
    monkeypatch.setattr("helpers.extraction.embeddings._BLOCK", block_size)
    of, choice = held[1], Choice("ct", "stack")
    x, track = load_rows(folder / "1", KEYS, choice, "each")
    np.testing.assert_array_equal(track, np.repeat(np.arange(4), [len(of[k]) for k in KEYS]))
    np.testing.assert_array_equal(x, np.concatenate([of[k][:, [0, 2]].reshape(-1, 2 * C) for k in KEYS]))
    x, track = load_rows(folder / "1", KEYS, choice, "mean")
    assert track is None
    np.testing.assert_allclose(x, [of[k].mean(0)[[0, 2]].reshape(-1) for k in KEYS], atol=1e-6)
    x, track = load_rows(folder / "1", KEYS, choice, "first")
    np.testing.assert_array_equal(x, [of[k][0, [0, 2]].reshape(-1) for k in KEYS])
    drawn_rows = [load_rows(folder / "1", KEYS, choice, "random", seed=s)[0] for s in range(8)]
    for row in np.stack(drawn_rows).transpose(1, 0, 2)[1]:  # track 2 has three windows
        assert any(np.array_equal(row, w[[0, 2]].reshape(-1)) for w in of[KEYS[1]])
    assert len({row.tobytes() for row in np.stack(drawn_rows)[:, 1]}) > 1
    np.testing.assert_array_equal(drawn_rows[3], load_rows(folder / "1", KEYS, choice, "random", seed=3)[0])


def test_a_memory_map_holds_the_same(blocks):
    folder, _ = blocks
    for rows in ("mean", "each"):
        mapped = load_rows(folder / "0", KEYS, Choice(), rows, memory=10)[0]
        assert isinstance(mapped, np.memmap)
        np.testing.assert_array_equal(mapped, load_rows(folder / "0", KEYS, Choice(), rows)[0])


def test_files_and_stores_give_the_same_windows(blocks, tmp_path):
    folder, held = blocks
    for name, array in held[0].items():
        np.save(tmp_path / f"{name}.embeddings.npy", array.reshape(len(array), -1))
    for rows in ("mean", "each", "first", "random"):
        want, got = load_rows(folder / "0", KEYS, Choice("cd"), rows), load_rows(tmp_path, KEYS, Choice("cd", token_size=C), rows)
        np.testing.assert_allclose(got[0], want[0], atol=1e-6)
        np.testing.assert_array_equal(got[1] is None, want[1] is None)


def test_layers_are_averaged_stacked_or_left_to_the_head(blocks):
    folder, held = blocks
    of = np.stack([[held[b][k].mean(0)[0] for k in KEYS] for b in (0, 11)], axis=1)  # [N, K, C]
    for how, want in (("mean", of.mean(1)), ("stack", of.reshape(4, -1)), ("learned", of)):
        x, _ = Inputs("c", layers=(0, 11), layer_reduce=how).read(folder, KEYS, "train")
        np.testing.assert_allclose(x, want, atol=1e-6)
    assert list(layer_folders(folder)) == [0, 1, 11]
    with pytest.raises(StoreError, match="blocks 0, 1, 11, not 5"):
        layer_folders(folder, [5])
    with pytest.raises(StoreError, match="sub-folder per block"):
        layer_folders(folder / "1")


def test_training_windows_are_drawn_anew_and_so_all_read(blocks):
    folder, held = blocks
    truth = Groundtruth.from_rows(KEYS, [["a"], ["b"], ["a"], ["b"]])
    inputs = Inputs("c", train="random", val="random", test="each")
    parts = {part: read_split(part, folder / "1", truth, inputs, data="set") for part in ("train", "val", "test")}
    assert [parts[p].name for p in parts] == ["set training", "set validation", "set test"]
    n = sum(len(held[1][k]) for k in KEYS)
    assert [len(parts[p].x) for p in parts] == [n, 4, n]
    with pytest.raises(ConfigError, match="never hear the rest"):
        Inputs(train="first")
    with pytest.raises(ConfigError, match="chance"):
        Inputs(test="random")


def test_a_network_without_a_distillation_token(tmp_path):
    with TrackStore.create(tmp_path / "e.h5", (2, C), "float32", {}) as writer:
        writer.append("a", np.arange(2 * C, dtype=np.float32).reshape(1, 2, C))
    np.testing.assert_array_equal(load_rows(tmp_path / "e.h5", ["a"], Choice("tc"))[0], [np.arange(2 * C)])
    np.testing.assert_array_equal(load_rows(tmp_path / "e.h5", ["a"], Choice("t"))[0], [np.arange(C, 2 * C)])
    with pytest.raises(ConfigError, match="no distillation token"):
        load_rows(tmp_path / "e.h5", ["a"], Choice("cd"))


def test_the_width_is_read_from_the_store(tmp_path):
    with TrackStore.create(tmp_path / "e.h5", (3 * C,), "float32", {"network": {"embed_dim": C}, "block": 2}) as writer:
        writer.append("a", np.arange(3 * C, dtype=np.float32)[None])
    np.testing.assert_array_equal(load_rows(tmp_path / "e.h5", ["a"], Choice("d"))[0], [np.arange(C, 2 * C)])


def test_targets_by_task(tmp_path):
    for part, rows in {"train": "a.mp3,b\nb.mp3,a\n", "val": "c.mp3,a\n", "test": "d.mp3,b\n"}.items():
        (tmp_path / f"groundtruth-{part}.csv").write_text("path,labels\n" + rows)
    (tmp_path / "labels.txt").write_text("b\na\nzither\n")
    found = read_targets("single-label", None, str(tmp_path), None, 0)
    assert all(truth.labels == ["b", "a", "zither"] for truth in found.values())  # the order of the file, and what no track has
    (tmp_path / "v.csv").write_text("path,split,x\na,train,1\nb,train,3\nc,val,2\nd,test,9\n")
    values = read_targets("regression", str(tmp_path / "v.csv"), None, None, 0)
    assert values["train"].matrix().ravel().tolist() == pytest.approx([-(1.5**0.5), 1.5**0.5])
    (tmp_path / "w.csv").write_text("path,split,x\na,train,1\nc,val,2\n")
    with pytest.raises(GroundtruthError, match="no test tracks"):
        read_targets("regression", str(tmp_path / "w.csv"), None, None, 0)
    with pytest.raises(ConfigError, match="No labels"):
        read_targets("multi-label", None, None, None, 0)


def test_draws_lie_within_each_other():
    small, large = (set(drawn(500, share, 3).tolist()) for share in (0.01, 0.1))
    assert (len(small), len(large)) == (5, 50)
    assert small < large
    assert drawn(500, 1.0, 3).tolist() == list(range(500))
    assert drawn(500, 0.1, 4).tolist() != drawn(500, 0.1, 3).tolist()
    assert len(drawn(30, 0.001, 0)) == 1
    for share in (0, -1, 1.5):
        with pytest.raises(ConfigError, match="above 0 and is 1 at most"):
            drawn(10, share, 0)


def test_a_subset_takes_its_windows_along():
    track = np.repeat(np.arange(4), [1, 3, 2, 2])
    split = Split("train", list("abcd"), np.arange(8)[:, None].astype(np.float32), np.eye(4, dtype=bool), track)
    part = subset(split, np.array([1, 3]))
    assert part.keys == ["b", "d"]
    assert part.x.ravel().tolist() == [1, 2, 3, 6, 7]
    assert part.track.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(part.y, np.eye(4, dtype=bool)[[1, 3]])


def test_missing_tracks_of_all_splits_are_told_at_once(blocks, tmp_path):
    folder, _ = blocks
    files = tmp_path / "files"
    files.mkdir()
    for i in range(10):
        np.save(files / f"{i}.wav.embeddings.npy", np.zeros((1, 3 * C), np.float32))
    truths = {
        p: Groundtruth.from_mapping({k: ["a"] for k in keys})
        for p, keys in {"train": ["x/7.wav", "1.wav"], "val": ["y.wav"]}.items()
    }
    for source in (folder / "0", files):
        with pytest.raises(GroundtruthError) as error:
            check_tracks(source, truths)
        for words in ("1 of 2 training, 1 of 1 validation", "'x/7.wav', 'y.wav'", "is named '7.wav'"):
            assert words in str(error.value)
        assert "skip_missing" not in str(error.value)  # it would leave a split empty
        with pytest.raises(GroundtruthError, match="1 of 2 training tracks.*data.skip_missing=True leaves them out"):
            check_tracks(source, {"train": truths["train"]})
        with pytest.raises(GroundtruthError, match="^1 of 1 validation tracks"):  # none is left to score
            check_tracks(source, truths, skip_missing=True)
        check_tracks(source, {"train": truths["train"]}, skip_missing=True)
    assert read_split("train", files, truths["train"], Inputs(token_size=C), skip_missing=True).keys == ["1.wav"]
    with pytest.raises(StoreError, match="extract_embeddings"):
        check_tracks(tmp_path / "nowhere", truths)


def test_folders_of_tracks_and_single_blocks_are_no_blocks(blocks, tmp_path):
    folder, _ = blocks
    with pytest.raises(StoreError, match=f"single block's folder: name the one above it, data.base_dir={folder};"):
        layer_folders(folder / "0")
    for block, name in ((5, "a"), (6, "b")):
        (tmp_path / str(block)).mkdir()
        np.save(tmp_path / str(block) / f"{name}.embeddings.npy", np.zeros((1, 3 * C)))
    with pytest.raises(StoreError, match="folders 5, 6 in .* hold different tracks"):
        layer_folders(tmp_path, (5, 6))
    np.save(tmp_path / "6" / "a.embeddings.npy", np.zeros((1, 3 * C)))
    assert list(layer_folders(tmp_path, (6, 5))) == [6, 5]


@pytest.fixture
def artists(tmp_path):
    """Embeddings that tell the artist and nothing of the labels, which each artist has at random: thirty artists with four tracks."""
    rng = np.random.default_rng(0)
    vectors, has = rng.standard_normal((30, C)), rng.random((30, 3)) < 0.5
    with TrackStore.create(tmp_path / "e.h5", (C,), "float32", {}) as writer:
        for i in range(120):
            writer.append(f"{i}.wav", (vectors[i // 4] + 0.05 * rng.standard_normal((1, C))).astype(np.float32))
        writer.seal()
    rows = [["abc"[j] for j in np.flatnonzero(has[i // 4])] for i in range(120)]
    packed = Groundtruth.from_rows([f"{i}.wav" for i in range(120)], rows, labels=list("abc"))
    return tmp_path / "e.h5", {
        "all": Groundtruth(packed.keys, packed.labels, packed.packed, group=[f"artist {i // 4}" for i in range(120)])
    }


def test_cross_validation_does_not_reward_knowing_the_artist(artists):
    store, truths = artists
    quick = ProbeSettings(hidden=32, max_epochs=15, batch_size=32, max_lr=3e-2, warmup_epochs=1, max_lr_epochs=8)
    options = dict(folds=5, repeats=1)
    how = Protocol(quick, Inputs("t", "mean"))
    (grouped,), _ = compare_systems({"x": store}, truths, how, **options)
    bare = {"all": Groundtruth(truths["all"].keys, truths["all"].labels, truths["all"].packed)}
    (torn,), _ = compare_systems({"x": store}, bare, how, **options)
    assert torn.mean() > 0.75
    assert grouped.mean() < 0.65
    assert all(len(set(grouped.folds[0][4 * i : 4 * i + 4])) == 1 for i in range(30))
    assert grouped.settings["n_groups"] == 30
    assert "n_groups" not in torn.settings
    one_epoch = replace(quick, max_epochs=1)
    (other,), _ = compare_systems({"x": store}, truths, Protocol(one_epoch, Inputs("t", "mean", seed=7)), **options)
    assert (other.folds != grouped.folds).any()  # data.split_seed


def test_a_track_in_two_splits_is_refused_by_the_name_that_it_has_in_the_store(blocks):
    folder, _ = blocks
    truth = Groundtruth.from_rows(KEYS, [["a"], ["b"], ["a"], ["b"]])
    alias = Groundtruth.from_rows([f"./{KEYS[0]}"], [["a"]], labels=["a", "b"])
    for parts, words in (
        ({"train": truth, "val": alias}, "1 validation tracks are also used as training tracks"),
        ({"train": truth, "test": alias}, "1 test tracks are also used as training tracks"),
    ):
        with pytest.raises(GroundtruthError, match=words):
            check_tracks(folder / "1", parts)


def test_a_folder_of_blocks_is_no_block(tmp_path):
    for block in (0, 3):
        (tmp_path / str(block)).mkdir()
        np.save(tmp_path / str(block) / "a.embeddings.npy", np.zeros((2, 3, C), dtype=np.float32))
    with pytest.raises(
        GroundtruthError, match=r"a folder per block \(0, 3\): name one, data\.base_dir=.*0, or several, data\.layers=\[0\]"
    ):
        check_tracks(tmp_path, {"train": Groundtruth.from_rows(["a"], [["x"]])})
    with pytest.raises(
        GroundtruthError, match=r"A track that is there is named '[03]/a'"
    ):  # folders of tracks, as MagnaTagATune's 0 to f
        check_tracks(tmp_path, {"train": Groundtruth.from_rows(["0/a", "3/b"], [["x"], ["x"]])})


def test_groups_of_files_per_split_are_read_and_torn_ones_told(tmp_path, caplog):
    for part, rows in {"train": "a.mp3,x,one\nb.mp3,y,two\n", "val": "c.mp3,x,one\n", "test": "d.mp3,y,three\n"}.items():
        (tmp_path / f"groundtruth-{part}.csv").write_text("path,labels,band\n" + rows)
    read_targets("multi-label", None, str(tmp_path), None, 0, TableReading("band"))
    assert "1 of 3 groups stand in several splits ('one')" in caplog.text
    with pytest.raises(GroundtruthError, match="nope"):
        read_targets("multi-label", None, str(tmp_path), None, 0, TableReading("nope"))
    (tmp_path / "v.csv").write_text("path,split,x,band\na,train,1,u\nb,train,3,v\nc,val,2,v\nd,test,9,w\n")
    for task in ("regression", "ordinal"):
        caplog.clear()
        found = read_targets(task, str(tmp_path / "v.csv"), None, "x", 0, TableReading("band"))
        assert found["train"].group == ["u", "v"]
        assert "1 of 3 groups stand in several splits ('v')" in caplog.text
    with pytest.raises(GroundtruthError, match="no column 'nope' for the group; there are path, split, x, band"):
        read_targets("regression", str(tmp_path / "v.csv"), None, None, 0, TableReading("nope"))
