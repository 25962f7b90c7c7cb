"""OMAR-RQ as a family: the published extraction's chunks in stores, and what a gin file says of a training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import configs
from datasets.store.track_store import TrackStore
from helpers.data.find import find_tracks
from helpers.extraction.extract import ExtractionSettings, extract_embeddings
from helpers.families.omar_rq import FAMILY
from helpers.utils.spellings import translated
from models.errors import ConfigError
from models.omar_rq.chunks import chunk_offsets

RATE, SECONDS = 16000, 0.32  # a chunk has 5120 samples, 5 vectors of 64 ms
LENGTHS = (5120, 5121, 7681, 9000, 13000, 1500)
SMALL = {"embed_dim": 8, "depth": 2, "num_heads": 2, "max_seconds": SECONDS}


def config(**section):
    base = configs.EX_SSL.schema(family="omar_rq")
    return replace(base, omar_rq=replace(base.omar_rq, **{**SMALL, **section}))


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """A store of waveforms, some of which do not fill their last chunk."""
    path = tmp_path_factory.mktemp("waves") / "waveform.h5"
    rng = np.random.default_rng(0)
    with TrackStore.create(path, (), "int16", {"kind": "waveform", "sample_rate": RATE, "full_scale": 32768}) as writer:
        for i, n in enumerate(LENGTHS):
            writer.append(f"{i}.wav", rng.integers(-8000, 8000, n).astype(np.int16))
        writer.seal()
    return path


def extracted(waves, out, pool="mean", frames=False, **section):
    """The network of a config, and what it made of the store by the config's rule, per block."""
    one = config(chunk_pool=pool, **section)
    net = FAMILY.network(one, None, 0).eval()
    settings = ExtractionSettings(rule=FAMILY.extraction_rule(one, net), frames=frames, batch_size=3)
    return net, extract_embeddings(net, waves, out, [0, 1], settings).paths


@pytest.mark.parametrize(("overlap", "ratio", "pool"), [(0.5, None, "mean"), (0.0, 0.0, "max"), (0.9, 1.0, "mean")])
def test_stored_chunks_are_cut_and_padded_as_published(waves, tmp_path, overlap, ratio, pool):
    net, paths = extracted(waves, tmp_path / "out", pool, overlap=overlap, last_chunk_ratio=ratio)
    source, length = TrackStore.open(waves), round(SECONDS * RATE)
    for block, path in paths.items():
        store, spans = TrackStore.open(path), TrackStore.open(path.parent / "windows")
        for name in source.names:
            x = source.read(name).astype(np.float32) / 32768
            starts = chunk_offsets(len(x), RATE, SECONDS, overlap, 0.1 if ratio is None else ratio)
            assert spans.read(name)[:, 0].tolist() == starts
            cut = [np.pad(x[s : s + length], (0, max(s + length - len(x), 0))) for s in starts]
            with torch.no_grad():
                vectors = net.encode(torch.from_numpy(np.stack(cut)), [block])[0]
            want = vectors.mean(1) if pool == "mean" else vectors.amax(1)
            np.testing.assert_allclose(store.read(name), want, atol=2e-5)


def test_frames_of_overlapping_chunks_are_one_line_of_vectors(waves, tmp_path):
    net, paths = extracted(waves, tmp_path / "out", frames=True, overlap=0.5, last_chunk_ratio=0.0)
    store, times = TrackStore.open(paths[1]), TrackStore.open(paths[1].parent / "times")
    source, length = TrackStore.open(waves), round(SECONDS * RATE)
    assert store.attrs["embedding_rate"] == pytest.approx(15.625)
    for name in source.names:
        x, centres = source.read(name).astype(np.float32) / 32768, times.read(name).mean(axis=1)
        assert (np.diff(centres) > 0).all()
        assert centres[-1] > (len(x) - 1024) / RATE - 0.064  # to the end, but for what makes no vector
        with torch.no_grad():
            first = net.encode(torch.from_numpy(np.pad(x[:length], (0, max(length - len(x), 0))))[None], [1])[0, 0]
        np.testing.assert_allclose(store.read(name)[0], first[0], atol=2e-5)


@pytest.mark.parametrize(
    ("section", "half", "words"),
    [
        ({"last_chunk_ratio": 0.2}, False, r"set omar_rq\.overlap"),
        ({"overlap": 0.5}, True, r"leave dataset\.half_overlapped_inference"),
    ],
)
def test_keys_of_chunks_that_do_not_go_together_are_refused(section, half, words):
    one = config(**section)
    one = replace(one, dataset=replace(one.dataset, half_overlapped_inference=half))
    with pytest.raises(ConfigError, match=words):
        FAMILY.extraction_rule(one, FAMILY.sketch(one))


def test_without_keys_of_chunks_windows_are_the_common_ones():
    one = config()
    assert FAMILY.extraction_rule(one, FAMILY.sketch(one)) is None
    assert FAMILY.extraction_rule(config(chunk_seconds=0.2), FAMILY.sketch(one)).overlap == 0.5


def test_a_single_recording_without_labels_is_found(tmp_path):
    with TrackStore.create(tmp_path / "one.h5", (), "int16", {"kind": "waveform", "sample_rate": RATE}) as writer:
        writer.append("one.wav", np.ones(100, np.int16))
        writer.seal()
    section = replace(config().datamodule, base_dir=str(tmp_path / "one.h5"))
    assert find_tracks(section, ("predict",), tmp_path, waveform=RATE, unlabelled=0.1).truths == {}


GIN = """
build_module.representation = @MelSpectrogram
Conformer.embed_dim = 8
Conformer.depth = 2
Conformer.num_heads = 2
MaskingModel.lr = 2e-4
MaskingModel.weight_decay = 0.03
MaskingModel.codebook_size = 32
CosineAnnealingCallback.warmup_steps = 4
CosineAnnealingCallback.eta_min = 1e-6
train.params = {"max_steps": 20}
AudioDataset.num_frames = 16000
AudioDataset.new_freq = 16000
"""


def test_a_gin_file_says_how_it_is_trained(tmp_path, caplog):
    (tmp_path / "own.gin").write_text(GIN)
    updates = translated({"gin": str(tmp_path / "own.gin")}, configs.EX_SSL.aliases)
    assert updates == {"omar_rq": {"gin": str(tmp_path / "own.gin")}, "family": "omar_rq"}
    base = configs.EX_SSL.schema(family="omar_rq")
    one = replace(base, omar_rq=replace(base.omar_rq, **updates["omar_rq"]))
    how = FAMILY.optimization(one)
    assert (how.name, how.lr, how.weight_decay, how.interval) == ("adamw", 2e-4, 0.03, "step")
    assert [how.lr * how.schedule(i) for i in (0, 3, 20, 99)] == pytest.approx([5e-5, 2e-4, 1e-6, 1e-6])
    own = replace(one, module=replace(one.module, optimizer=replace(one.module.optimizer, lr=0.5)))
    assert FAMILY.optimization(own).lr == 0.5  # what the config says itself counts
    with caplog.at_level("INFO"):
        FAMILY.before_training(one, 4)
    assert "AudioDataset, train only the length of clips is read" in caplog.text
    (tmp_path / "own.gin").write_text(GIN.replace("steps = 4", "steps = 'few'"))
    with pytest.raises(ConfigError, match=r"warmup_steps"):
        FAMILY.optimization(one)


def test_a_collapsed_codebook_is_said_in_words():
    metrics = {"val_accuracy": 0.5, "val_majority": 0.2, "val_perplexity_CQT_0": 1.2, "val_perplexity_CQT_1": 30.0}
    notes = FAMILY.training_notes(config(codebook_size=64), metrics)
    assert "50.0 % right; always naming the most frequent token is right in 20.0 %" in notes[0]
    assert "CQT_0 1.2, CQT_1 30.0" in notes[1]
    assert len(notes) == 3
    assert notes[2].startswith("Codebook CQT_0 has collapsed: its tokens are spread like 1.2 of 64 codes")
    assert FAMILY.training_notes(config(), {}) == []


def test_a_network_that_reads_mels_predicts_a_cqt_too():
    """Tokens of notes beside those of the mel's shape: as many patches, each normalised by its own numbers."""
    one = config(targets=["mel", "cqt"], num_codebooks=2, codebook_size=24, cqt_norm=[2.5, 2.0])
    net = FAMILY.network(one, None, 0)
    mel, cqt = FAMILY.objective(one, net).targets
    wave = torch.randn(2, 5120, generator=torch.Generator().manual_seed(0))
    assert mel.patches(wave).shape[:2] == cqt.patches(wave).shape[:2] == (2, 5)
    bare = FAMILY.objective(replace(one, omar_rq=replace(one.omar_rq, cqt_norm=None)), net).targets[1]
    torch.testing.assert_close(
        cqt.patches(wave) * 2.0 + 2.5, bare.patches(wave) * bare.norm_std + bare.norm_mean, atol=1e-4, rtol=1e-4
    )
    for odd, words in ((["mel", "waveform"], "predicts its own tokens"), (["mel", "encodec"], "predicts its own tokens")):
        with pytest.raises(ConfigError, match=words):
            FAMILY.objective(config(targets=odd), net)
    with pytest.raises(ConfigError, match="cqt_norm"):
        FAMILY.objective(config(targets=["mel", "cqt"], cqt_norm=[1.0, 0.0]), net)
