from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings, extract_logits
from helpers.extraction.job import Job
from helpers.probe.run import load_embeddings
from models.errors import ConfigError, StoreError
from models.frontend import normalise
from models.maest import MAEST
from models.weights.head_origin import weights_sha256
from models.windows import left_padding, plan_windows

LENGTH, WIDTH, CLASSES = 48, 16, 5
ATTRS = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
FRAMES = (48, 100, 20, 53, 240, 3, 96, 49)  # one window, several, short ones, with and without a tail worth a window


def network(seed: int = 0, **more) -> MAEST:
    torch.manual_seed(seed)
    settings = {"input_t": LENGTH, "n_classes": CLASSES, "embed_dim": WIDTH, "depth": 3, "num_heads": 2, **more}
    return MAEST(**settings).eval()


def mel_store(folder: Path, frames=FRAMES, attrs=ATTRS, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    path = folder / "mels.h5"
    with TrackStore.create(path, (96,), "float16", attrs) as writer:
        for i, n in enumerate(frames):
            writer.append(f"a/{i}.flac", (4 * rng.random((n, 96))).astype(np.float16))
        writer.seal()
    return path


@pytest.fixture
def mels(tmp_path) -> Path:
    return mel_store(tmp_path)


def plain(net: MAEST, mel: np.ndarray, hop: int, tail: str, block: int) -> np.ndarray:
    """One window after the other, one block a pass, through the published call."""
    rows = []
    for start, stop in plan_windows(len(mel), LENGTH, hop, tail):
        x = np.zeros((96, LENGTH), np.float32)
        left = left_padding(stop - start, LENGTH)
        x[:, left : left + stop - start] = mel[start:stop].T
        with torch.no_grad():
            a, b = net(normalise(torch.from_numpy(x))[None], transformer_block=block)
        rows.append((b if block == -1 else b.reshape(1, -1, WIDTH))[0].numpy() if block != -2 else a[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(("half_overlap", "tail"), [(False, "pad"), (True, "pad"), (False, "shift"), (True, "drop")])
def test_every_window_of_every_track_and_block(mels, tmp_path, half_overlap, tail):
    net = network()
    done = extract_embeddings(
        net, mels, tmp_path / "out", [2, 0, -1], settings=ExtractionSettings(half_overlap=half_overlap, tail=tail, batch_size=4)
    )
    store, hop = TrackStore.open(mels), LENGTH // 2 if half_overlap else LENGTH
    assert set(done.paths) == {0, 2, -1}
    assert done.n_new == done.n_tracks == len(FRAMES)
    for block, path in done.paths.items():
        assert path == tmp_path / "out" / str(block) / "embeddings.h5"
        got = TrackStore.open(path)
        windows = TrackStore.open(path.parent / "windows")
        assert got.names == windows.names == store.names
        for name in store.names:
            want = plain(net, store.read(name).astype(np.float32), hop, tail, block)
            np.testing.assert_allclose(got.read(name), want, atol=2e-5)
            np.testing.assert_array_equal(windows.read(name), plan_windows(len(store.read(name)), LENGTH, hop, tail))
        assert got.dtype == np.float32
        wanted = {"kind": "embeddings", "block": block, "clip_frames": LENGTH, "hop_frames": hop, "tail": tail}
        wanted |= {"front_end": "maest-essentia", "weights_sha256": weights_sha256(net), "precision": "32-true"}
        assert wanted.items() <= got.attrs.items()


def test_logits(mels, tmp_path):
    net = network(labels=list("vwxyz"))
    path = extract_logits(net, mels, tmp_path / "out", settings=ExtractionSettings(batch_size=5)).paths["logits"]
    store, got = TrackStore.open(mels), TrackStore.open(path)
    for name in store.names:
        mel = store.read(name).astype(np.float32)
        rows = []
        for start, stop in plan_windows(len(mel), LENGTH):
            x = np.pad(mel[start:stop], ((left_padding(stop - start, LENGTH), 0), (0, 0)))
            x = np.pad(x, ((0, LENGTH - len(x)), (0, 0)))
            with torch.no_grad():
                rows.append(net(normalise(torch.from_numpy(x.T.copy()))[None])[0][0].numpy())
        np.testing.assert_allclose(got.read(name), np.stack(rows), atol=2e-5)
    assert got.attrs["labels"] == list("vwxyz")


def test_separated_heads_give_the_logits_of_their_mean_probability(mels, tmp_path):
    net = network(distilled_type="separated")
    got = TrackStore.open(extract_logits(net, mels, tmp_path / "out").paths["logits"]).read("a/0.flac")
    mel = TrackStore.open(mels).read("a/0.flac").astype(np.float32)
    with torch.no_grad():
        want = net.probabilities(normalise(torch.from_numpy(mel.T.copy()))[None])
    np.testing.assert_allclose(1 / (1 + np.exp(-got)), want, atol=1e-5)


def test_an_undistilled_network_has_two_tokens(mels, tmp_path):
    path = extract_embeddings(network(distilled=False), mels, tmp_path / "out", [1]).paths[1]
    assert TrackStore.open(path).item_shape == (2, WIDTH)
    keys = TrackStore.open(mels).names
    both = load_embeddings(path, keys, "ct", "stack")
    np.testing.assert_array_equal(load_embeddings(path, keys, "t", "stack"), both[:, WIDTH:])
    with pytest.raises(ConfigError, match="no distillation token"):
        load_embeddings(path, keys, "cd", "stack")


def test_only_the_asked_tracks_in_the_order_of_the_store(mels, tmp_path):
    path = extract_embeddings(network(), mels, tmp_path / "out", [1], names=["a/4.flac", "a/1.flac"]).paths[1]
    assert TrackStore.open(path).names == ["a/1.flac", "a/4.flac"]
    with pytest.raises(StoreError, match=r"1 of 2 tracks are not in .*'b\.flac'"):
        extract_embeddings(network(), mels, tmp_path / "other", [1], names=["a/1.flac", "b.flac"])
    assert not (tmp_path / "other").exists()


def test_memory_format_and_mode_are_left_alone(mels, tmp_path):
    net = network().train()
    before = weights_sha256(net)
    extract_embeddings(net, mels, tmp_path / "out", [1])
    assert net.training
    assert weights_sha256(net) == before


def test_files_per_track(mels, tmp_path):
    net, names = network(), TrackStore.open(mels).names
    stored = TrackStore.open(extract_embeddings(net, mels, tmp_path / "s", [1]).paths[1])
    windows = TrackStore.open(tmp_path / "s" / "1" / "windows")
    extract_embeddings(net, mels, tmp_path / "n", [1, -1], settings=ExtractionSettings(format="npy"))
    extract_embeddings(net, mels, tmp_path / "m", [1], settings=ExtractionSettings(format="npy", pool="mean"))
    extract_logits(net, mels, tmp_path / "l", settings=ExtractionSettings(format="npy"))
    for name in names:
        want = stored.read(name)
        got = np.load(tmp_path / "n" / "1" / f"{name}.embeddings.npy")
        np.testing.assert_array_equal(got, want.reshape(len(want), 3 * WIDTH))
        assert np.load(tmp_path / "n" / "-1" / f"{name}.embeddings.npy").shape == (len(want), WIDTH)
        weights = np.diff(windows.read(name))[:, 0]
        pooled = np.load(tmp_path / "m" / "1" / f"{name}.embeddings.npy")
        np.testing.assert_allclose(pooled, np.average(want, axis=0, weights=weights), atol=1e-6)
        assert np.load(tmp_path / "l" / f"{name}.logits.npy").shape == (len(want), CLASSES)
    for folder in ("s", "n"):
        vectors = load_embeddings(tmp_path / folder / "1", names, token_size=WIDTH)
        np.testing.assert_allclose(vectors, [stored.read(name).mean(0).reshape(-1) for name in names], atol=1e-6)
    again = extract_embeddings(net, mels, tmp_path / "n", [1, -1], settings=ExtractionSettings(format="npy"))
    assert (again.n_new, again.n_windows) == (0, 0)
    with pytest.raises(StoreError, match="pool is 'none', now 'mean'"):
        extract_embeddings(net, mels, tmp_path / "n", [1], settings=ExtractionSettings(format="npy", pool="mean"))
    (tmp_path / "n" / "1" / "settings.json").unlink()
    with pytest.raises(StoreError, match="files of unknown settings"):
        extract_embeddings(net, mels, tmp_path / "n", [1], settings=ExtractionSettings(format="npy"))


def test_names_that_would_leave_the_folder_are_refused(tmp_path):
    with TrackStore.create(tmp_path / "mels.h5", (96,), "float16", ATTRS) as writer:
        writer.append("../../evil.flac", np.ones((48, 96), np.float16))
        writer.seal()
    with pytest.raises(StoreError, match="cannot be file names"):
        extract_embeddings(network(), tmp_path / "mels.h5", tmp_path / "out", [1], settings=ExtractionSettings(format="npy"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["mels.h5"]


def test_run_again_does_no_work(mels, tmp_path, monkeypatch):
    net = network()
    first = extract_embeddings(net, mels, tmp_path / "out", [0, 1])
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.h5")}
    monkeypatch.setattr(Job, "_forward", lambda *a: pytest.fail("computed"))
    again = extract_embeddings(net, mels, tmp_path / "out", [0, 1])
    assert again.paths == first.paths
    assert (again.n_new, again.n_windows) == (0, 0)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.h5")}


def test_other_data_under_the_same_names_are_refused(mels, tmp_path):
    net, other = network(), tmp_path / "other"
    other.mkdir()
    longer = mel_store(other, frames=(*FRAMES[:6], 200, *FRAMES[7:]))
    for kind in (extract_logits, lambda *arguments: extract_embeddings(*arguments, [0])):
        kind(net, mels, tmp_path / "out")
        with pytest.raises(
            StoreError, match=r"has 2 windows of 'a/6.flac', .*gives 5, and so of 1 of 8 tracks: it was made of other data"
        ):
            kind(net, longer, tmp_path / "out")


def content(folder: Path) -> dict[str, list]:
    stores = {path.relative_to(folder).as_posix(): TrackStore.open([path]) for path in sorted(folder.rglob("*.h5"))}
    return {key: [(name, store.read(name).tobytes()) for name in store.names] for key, store in stores.items()}


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_stopped_anywhere_and_resumed_it_writes_the_same_bits(mels, tmp_path, monkeypatch, batch_size):
    net = network()
    extract_embeddings(net, mels, tmp_path / "whole", [0, 2], settings=ExtractionSettings(batch_size=batch_size))
    want, n_batches = content(tmp_path / "whole"), []
    forward = Job._forward

    def stops(after):
        def limited(self, mel, compute):
            n_batches.append(len(mel))
            if len(n_batches) > after:
                raise KeyboardInterrupt
            return forward(self, mel, compute)

        return limited

    total = -(-sum(len(plan_windows(n, LENGTH)) for n in FRAMES) // batch_size)
    for after in [n for n in (0, 1, 2, 4) if n < total]:
        out = tmp_path / f"{after}"
        n_batches.clear()
        monkeypatch.setattr(Job, "_forward", stops(after))
        with pytest.raises(KeyboardInterrupt):
            extract_embeddings(net, mels, out, [0, 2], settings=ExtractionSettings(batch_size=batch_size))
        monkeypatch.setattr(Job, "_forward", forward)
        extract_embeddings(net, mels, out, [0, 2], settings=ExtractionSettings(batch_size=batch_size))
        assert content(out) == want


def test_killed_between_sealing_and_tidying_up(mels, tmp_path, monkeypatch):
    from datasets.store import files as store_files

    net = network()
    part_path = store_files.part_path
    with monkeypatch.context() as patched:
        patched.setattr(
            Path, "unlink", lambda self, **k: (_ for _ in ()).throw(KeyboardInterrupt) if self.suffix == ".part" else None
        )
        with pytest.raises(KeyboardInterrupt):
            extract_embeddings(net, mels, tmp_path / "out", [1])
    sealed = tmp_path / "out" / "1" / "embeddings.h5"
    assert sealed.exists()
    assert part_path(sealed).exists()
    extract_embeddings(net, mels, tmp_path / "out", [1])
    assert sorted(p.name for p in sealed.parent.iterdir()) == ["embeddings.h5", "windows"]
    assert [p.name for p in (sealed.parent / "windows").iterdir()] == ["windows.h5"]


@pytest.mark.parametrize("fails_at", [0, 3, 10, 21])
def test_a_full_disk_leaves_what_was_written(mels, tmp_path, monkeypatch, fails_at):
    import errno
    import os

    from datasets.store import writer as store_writer

    net = network()
    extract_embeddings(net, mels, tmp_path / "whole", [0, 2])
    write, calls = store_writer._write_all, []

    def full(handle, data):
        calls.append(1)
        if len(calls) > 4 + fails_at:  # 4 headers first
            os.write(handle, bytes(data)[: len(data) // 2])  # a torn write, then no more room
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(handle, data)

    monkeypatch.setattr(store_writer, "_write_all", full)
    with pytest.raises(StoreError, match="no space left"):
        extract_embeddings(net, mels, tmp_path / "out", [0, 2])
    whole = TrackStore.open(tmp_path / "whole" / "0")
    for path in (tmp_path / "out").rglob("*.journal"):
        if TrackStore.state(path.with_name(path.name.removesuffix(".journal"))) == "parts" and path.parent.name == "0":
            written = TrackStore.open(path.parent)
            for name in written.names:
                np.testing.assert_array_equal(written.read(name), whole.read(name))
    monkeypatch.setattr(store_writer, "_write_all", write)
    extract_embeddings(net, mels, tmp_path / "out", [0, 2])
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_full_disk_with_files_per_track(mels, tmp_path, monkeypatch):
    import errno

    net, save, calls = network(), np.save, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StoreError, match=r"Could not write .*a/3\.flac\.embeddings\.npy: No space left"):
        extract_embeddings(net, mels, tmp_path / "out", [1], settings=ExtractionSettings(format="npy"))
    assert sorted(p.name for p in (tmp_path / "out" / "1" / "a").iterdir()) == [f"{i}.flac.embeddings.npy" for i in range(3)]
    monkeypatch.setattr(np, "save", save)
    assert (
        extract_embeddings(net, mels, tmp_path / "out", [1], settings=ExtractionSettings(format="npy")).n_new == len(FRAMES) - 3
    )


class TestRefusals:
    @pytest.mark.parametrize(
        ("attrs", "match"),
        [
            ({"front_end": "maest-torch"}, "front_end"),
            ({"sample_rate": 24000}, "sample_rate"),
            ({"kind": "embeddings"}, "kind"),
            ({"hop": 160}, "hop"),
        ],
    )
    def test_a_store_of_another_front_end(self, tmp_path, attrs, match):
        path = mel_store(tmp_path, attrs={**ATTRS, **attrs})
        with pytest.raises(StoreError, match=match):
            extract_embeddings(network(), path, tmp_path / "out", [1])
        assert not (tmp_path / "out").exists()

    def test_output_of_other_settings_or_weights(self, mels, tmp_path):
        extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(batch_size=4))
        for change, match in (({"tail": "shift"}, "tail"), ({"half_overlap": True}, "hop_frames"), ({"model": "other"}, "model")):
            with pytest.raises(StoreError, match=match):
                extract_embeddings(network(), mels, tmp_path / "out", [1], ExtractionSettings(**change))
        with pytest.raises(StoreError, match="weights_sha256"):
            extract_embeddings(network(seed=1), mels, tmp_path / "out", [1])
        with pytest.raises(StoreError, match="float16"):
            extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(dtype="float16"))
        extract_embeddings(
            network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(batch_size=7)
        )  # not a setting of the result
        extract_embeddings(network(), mels, tmp_path / "few", [1], names=["a/1.flac"])
        with pytest.raises(
            StoreError, match="lacks 7 of the 8 tracks asked for: it was made of other data. Give each collection"
        ):
            extract_embeddings(network(), mels, tmp_path / "few", [1])

    def test_unsealed_output_of_other_weights(self, mels, tmp_path, monkeypatch):
        with monkeypatch.context() as patched:
            patched.setattr(Job, "_forward", lambda *a: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                extract_embeddings(network(), mels, tmp_path / "out", [1])
        with pytest.raises(StoreError, match="weights_sha256"):
            extract_embeddings(network(seed=1), mels, tmp_path / "out", [1])
        assert extract_embeddings(network(), mels, tmp_path / "out", [1]).n_new == len(FRAMES)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"blocks": [3]}, "Blocks \\[3\\] .* 0 to 2"),
            ({"blocks": []}, "Blocks none"),
            ({"clip_frames": 500}, "Windows of 500 frames"),
            ({"tail": "cut"}, "tail is 'cut'"),
            ({"batch_size": 0}, "batch_size is 0"),
            ({"precision": "16-true"}, "16-true' is not known"),
            ({"dtype": "int8"}, "dtype is 'int8'"),
            ({"format": "csv"}, "format is 'csv'"),
            ({"pool": "mean"}, "pool is for format npy"),
            ({"format": "npy", "pool": "max"}, "pool is 'max'"),
        ],
    )
    def test_settings(self, mels, tmp_path, change, match):
        change = dict(change)
        blocks = change.pop("blocks", [1])
        with pytest.raises(ConfigError, match=match):
            extract_embeddings(network(), mels, tmp_path / "out", blocks, ExtractionSettings(**change))
        assert not (tmp_path / "out").exists()

    def test_values_that_are_not_finite_name_the_track(self, mels, tmp_path):
        net = network()
        with torch.no_grad():
            net.blocks[0].mlp.fc1.bias[0] = float("nan")
        with pytest.raises(StoreError, match=r"NaN or infinite values for 'a/0\.flac'"):
            extract_embeddings(net, mels, tmp_path / "out", [1])

    def test_float16_does_not_overflow_silently(self, mels, tmp_path):
        net = network()
        with torch.no_grad():
            net.cls_token.fill_(1e5)
        with pytest.raises(StoreError, match="more than float16 holds"):
            extract_embeddings(net, mels, tmp_path / "out", [0], settings=ExtractionSettings(dtype="float16"))


def test_float16_and_autocast_are_close(mels, tmp_path):
    net, names = network(), TrackStore.open(mels).names
    exact = load_embeddings(extract_embeddings(net, mels, tmp_path / "a", [1]).paths[1], names)
    half = TrackStore.open(
        extract_embeddings(net, mels, tmp_path / "b", [1], settings=ExtractionSettings(dtype="float16")).paths[1]
    )
    assert half.dtype == np.float16
    np.testing.assert_allclose(load_embeddings(half, names), exact, atol=2e-3)
    coarse = load_embeddings(
        extract_embeddings(net, mels, tmp_path / "c", [1], settings=ExtractionSettings(precision="bf16-mixed")).paths[1], names
    )
    np.testing.assert_allclose(coarse, exact, atol=5e-2)
    assert not np.array_equal(coarse, exact)


def test_the_hash_sees_every_change():
    net = network()
    first = weights_sha256(net)
    assert first == weights_sha256(network())
    with torch.no_grad():
        net.head[1].bias[2] += 1e-6
    assert weights_sha256(net) != first


def test_progress_tells_rate_and_time_left_without_a_terminal(mels, tmp_path, caplog, monkeypatch):
    from datasets.utils import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level("INFO", logger="datasets.utils.progress"):
        extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(batch_size=4))
    n = sum(len(plan_windows(f, LENGTH)) for f in FRAMES)
    assert any(line.startswith("Extracting: ") and "windows/s" in line and "left" in line for line in caplog.messages)
    assert f"{n} of {n}" in caplog.messages[-1]
