"""Audio files in: against librosa and the samples that were written, every failure by name."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from models import audio
from models.audio import containers
from models.errors import AudioError
from tests.sound import FORMATS, RATE, tune, write


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_out_at_its_length_and_level(files, name):
    rate = RATE.get(name, 44100)
    want = tune(2.0, rate).mean(1)
    about = audio.info(files / name)
    got = audio.load(files / name, sample_rate=None)
    assert (about.sample_rate, about.channels, about.frames) == (rate, 2, len(got))
    assert about.duration == pytest.approx(len(got) / rate)
    assert got.dtype == np.float32
    # Raw AAC carries the encoder's delay and padding, which nothing in the file tells.
    slack = 4096 if name == "a.aac" else 400 if name == "a.webm" else 0
    assert abs(len(got) - len(want)) <= slack
    if not slack:
        assert np.corrcoef(got, want)[0, 1] > 0.98
    assert np.sqrt((got**2).mean()) == pytest.approx(
        np.sqrt((want**2).mean()), rel=0.05
    )  # FFmpeg's own mono mix is 1.41 times that


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.aiff"])
@pytest.mark.parametrize("rate", [None, 16000, 22050, 48000])
def test_equals_librosa_bit_for_bit(files, name, rate):
    import librosa

    assert np.array_equal(audio.load(files / name, rate), librosa.load(files / name, sr=rate)[0])


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_channels_are_averaged(tmp_path, channels):
    sound = tune(0.1, channels=channels)
    path = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(path, None), sound.mean(1), atol=1e-7)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24), ("FLOAT", 0), ("DOUBLE", 2**-24)],
)
def test_every_pcm_width_is_scaled_to_one(tmp_path, subtype, step):
    sound = tune(0.1, channels=1)
    path = write(tmp_path / "a.wav", sound, subtype=subtype)
    assert np.abs(audio.load(path, None) - sound[:, 0]).max() <= step


def test_float_beyond_one_is_kept(tmp_path):
    path = write(tmp_path / "a.wav", np.array([[3.5], [-2.0], [0.5]], dtype=np.float32), subtype="FLOAT")
    assert audio.load(path, None).tolist() == [3.5, -2.0, 0.5]


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_is_the_slice_of_the_whole(files, name):
    rate = RATE.get(name, 44100)
    whole, at_16k = audio.load(files / name, None), audio.load(files / name, 16000)
    for start, seconds in [(0.0, 0.3), (0.01, 0.5), (0.7, 0.25), (1.3, None), (1.9, 5.0), (0.0, 99.0)]:
        first = round(start * rate)
        last = None if seconds is None else first + round(seconds * rate)
        assert np.array_equal(audio.load(files / name, None, start, seconds), whole[first:last])
        first = round(start * 16000)
        last = None if seconds is None else first + round(seconds * 16000)
        part = audio.load(files / name, 16000, start, seconds)
        assert part.shape == at_16k[first:last].shape
        assert np.abs(part - at_16k[first:last]).max() <= 1e-6


@given(
    rates=st.sampled_from(
        [(44100, 16000), (22050, 16000), (48000, 16000), (8000, 16000), (11025, 24000), (44101, 16000), (96000, 44100)]
    ),
    start=st.floats(0, 2.4),
    seconds=st.floats(0.001, 3),
)
@settings(max_examples=25, deadline=None)
def test_parts_lie_on_the_whole_files_grid(tmp_path_factory, rates, start, seconds):
    rate_in, rate_out = rates
    path = write(tmp_path_factory.mktemp("grid") / "a.wav", tune(2.5, rate_in, 1), rate_in, subtype="FLOAT")
    whole = audio.load(path, rate_out)
    first = round(start * rate_out)
    part = audio.load(path, rate_out, start, seconds)
    want = whole[first : first + max(1, round(seconds * rate_out))]
    assert part.shape == want.shape
    assert np.abs(part - want).max() <= 1e-6


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a"])
@pytest.mark.parametrize("rate", [None, 16000])
def test_iterate_gives_loads_answer_in_even_pieces(files, name, rate):
    own = RATE.get(name, 44100)
    blocks = list(audio.iterate(files / name, rate, block_seconds=0.3))
    assert {len(block) for block in blocks[:-1]} == {round(0.3 * (rate or own))}
    assert 0 < len(blocks[-1]) <= len(blocks[0])
    assert np.array_equal(np.concatenate(blocks), audio.load(files / name, rate))
    part = np.concatenate(list(audio.iterate(files / name, rate, 0.1, start=0.5, seconds=0.75)))
    assert np.array_equal(part, audio.load(files / name, rate, 0.5, 0.75))


def test_iterate_reads_only_as_far_as_it_is_asked(files, monkeypatch):
    read = []
    original = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, *a, **k: read.append(1) or original(self, *a, **k))
    path = write(files / "long.wav", tune(20.0, 44100, 1))
    next(audio.iterate(path, 16000, block_seconds=1.0))
    assert len(read) <= 2  # of 14


def test_resample_is_what_load_does(files):
    native = audio.load(files / "a.flac", None)
    assert np.array_equal(audio.resample(native, 44100, 16000), audio.load(files / "a.flac", 16000))
    assert audio.resample(native, 44100, 44100) is native


# ---- MP3s whose header tells nothing, or lies


def mp3_frames(path):
    """The frames of an MP3 file as bytes, its header frame first."""
    data, at, frames = path.read_bytes(), 0, []
    while (frame := containers.mpeg_frame(data, at)) is not None:
        frames.append(data[at : at + frame.size])
        at += frame.size
    return frames


def test_vbr_mp3_without_a_header_has_its_full_length(tmp_path):
    # Quiet, then loud and rich: the first frames' bitrate says nothing about the rest.
    sound = np.concatenate([0.001 * tune(2.0), np.random.default_rng(0).uniform(-0.8, 0.8, (44100 * 4, 2)).astype(np.float32)])
    path = tmp_path / "vbr.mp3"
    with soundfile.SoundFile(path, "w", 44100, 2, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2) as file:
        file.write(sound)
    frames = mp3_frames(path)
    assert b"Xing" in frames[0]
    path.write_bytes(b"".join(frames[1:]))
    assert abs(soundfile.info(path).duration - 6.0) > 0.2  # what libsndfile would have made of it
    assert audio.info(path).duration == pytest.approx(6.0, abs=0.06)
    assert len(audio.load(path, None)) == audio.info(path).frames


def test_real_vbr_mp3_without_a_header(shared):
    path = shared / "audio/music/outfoxing_vbr_noxing_44k_stereo.mp3"
    assert audio.info(path).duration == pytest.approx(30.0, abs=0.03)
    vbr, plain = audio.load(path), audio.load(shared / "audio/music/outfoxing_44k_stereo.mp3")
    assert len(vbr) / 16000 == pytest.approx(30.0, abs=0.03)
    assert np.abs(np.sqrt((vbr[-80000:] ** 2).mean()) / np.sqrt((plain[-80000:] ** 2).mean()) - 1) < 0.02


def test_joined_mp3s_come_out_whole(tmp_path):
    """The first part's header tells the first part's length; libsndfile would stop there."""
    one = write(tmp_path / "one.mp3", tune(1.0))
    path = tmp_path / "two.mp3"
    path.write_bytes(one.read_bytes() * 2)
    assert audio.info(path).frames == audio.load(path, None).size
    assert audio.load(path, None).size / 44100 == pytest.approx(2.0, abs=0.15)


def test_tags_before_and_behind_an_mp3(tmp_path):
    plain = write(tmp_path / "a.mp3", tune(1.0))
    frames = b"".join(mp3_frames(plain)[1:])
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 8, 0]) + bytes(1024)
    (tmp_path / "b.mp3").write_bytes(tag + frames + b"TAG" + bytes(125))
    assert audio.load(tmp_path / "b.mp3", None).size == len(mp3_frames(plain)[1:]) * 1152


def test_real_files_have_the_length_that_ffmpeg_counts(shared):
    import av

    for path in sorted((shared / "audio/music").iterdir()):
        with av.open(str(path)) as container:
            frames = sum(frame.samples for frame in container.decode(audio=0))
        assert audio.info(path).frames == frames == len(audio.load(path, None))


# ---- arrays


@pytest.mark.parametrize(
    ("array", "want"),
    [
        (np.array([0, 128, 255], dtype=np.uint8), [-1, 0, 127 / 128]),
        (np.array([-32768, 16384], dtype=np.int16), [-1, 0.5]),
        (np.array([-(2**31), 2**30], dtype=np.int32), [-1, 0.5]),
        (np.array([0.25, -3.0]), [0.25, -3.0]),
        (np.array([[0.5, -0.5]] * 4), [0.0] * 4),
        (np.array([[0.5] * 4, [0.0] * 4]), [0.25] * 4),
        (np.array([[32767, -32767]] * 3, dtype=np.int16), [0.0] * 3),
    ],
)
def test_arrays_become_mono_float(array, want):
    before = array.copy()
    got = audio.to_mono_float(array)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-7)
    assert np.array_equal(array, before)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(0), "empty"),
        (np.zeros((4, 4, 4)), r"\[4, 4, 4\]"),
        (np.array([1.0, np.nan]), "1 NaN or infinite"),
        (np.array([1j]), "complex"),
        (np.array([1, 2]), "int64"),
        (np.array([True]), "bool"),
        (np.array(["a"]), "<U1"),
        (np.zeros((100, 90)), "can be the channels"),
    ],
)
def test_arrays_that_are_no_audio_are_named(array, message):
    with pytest.raises(AudioError, match=message):
        audio.to_mono_float(array)


# ---- folders


def test_find_audio(tmp_path, caplog):
    caplog.set_level("INFO")
    music = [
        "b/2.WAV", "a/1.mp3", "z.flac", ".hidden/x.wav", "ü/new\nline .ogg", "...And Justice.ogg", "...Trail of Dead/1.wav",
        ".5 The Gray Chapter/a.mp3",
        "..Bis/b.mp3", "_x.wav", "-rf.wav", "~.wav", "#1.wav",
    ]  # fmt: skip
    system = [
        "a/._1.mp3",
        "__MACOSX/1.mp3",
        ".git/x.wav",
        "lost+found/a.wav",
        "@eaDir/b.wav",
        "$RECYCLE.BIN/c.wav",
        ".Trash-1000/d.wav",
        ".Trashes/e.wav",
    ]
    for name in [*music, *system, "a/notes.txt", ".DS_Store", ".ogg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.wav").mkdir()
    os.symlink(tmp_path, tmp_path / "b/loop")
    os.symlink(tmp_path / "nowhere", tmp_path / "broken link.wav")  # is listed, so that it is reported as a bad file
    for _ in range(2):
        assert audio.find_audio(tmp_path) == sorted([*music, "broken link.wav"])
    said = [one for one in caplog.messages if "skipped" in one]
    assert len(said) == 1
    assert "1 x ._*" in said[0]
    assert "2 x .Trash*" in said[0]
    for wrong in (tmp_path / "nope", tmp_path / "z.flac"):
        with pytest.raises(AudioError, match="is not a folder"):
            audio.find_audio(wrong)


def test_a_real_folder_is_not_hidden_by_a_link_to_it(tmp_path):
    for name in ("real/a.wav", "real/deep/b.wav", "elsewhere/c.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    os.rename(tmp_path / "in/elsewhere", tmp_path / "elsewhere")
    os.symlink(tmp_path / "in/real", tmp_path / "in/a link")
    os.symlink(tmp_path / "in/real/deep", tmp_path / "in/another")
    os.symlink(tmp_path / "elsewhere", tmp_path / "in/outside")
    assert audio.find_audio(tmp_path / "in") == ["outside/c.wav", "real/a.wav", "real/deep/b.wav"]
