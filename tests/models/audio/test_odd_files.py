"""Files as people have them: read whole and right, or refused by name; never short without a word."""

from __future__ import annotations

import logging
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import audio
from models.errors import AudioError
from tests import odd_audio
from tests.odd_audio import FFMPEG, Odd

NAMES = 94  # of the files that are made by bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    found = odd_audio.odd_files(folder)
    (folder / "headless.mp3").write_bytes(b"".join(odd_audio.frames_of((folder / "a.mp3").read_bytes())[1:]))
    frames = odd_audio.frames_of((folder / "a.mp3").read_bytes())
    (folder / "vbri.mp3").write_bytes(odd_audio.vbri((folder / "a.mp3").read_bytes(), len(frames) - 1))
    return folder, found


def read(path):
    return audio.load(path, None)


def check(folder, path, odd: Odd, caplog) -> None:
    path.write_bytes(odd.data)
    if isinstance(odd.want, str):
        for use in (audio.info, audio.load, lambda p: audio.load(p, 16000, 0.1, 0.2)):
            with pytest.raises(AudioError, match=odd.want):
                use(path)
        return
    want = odd_audio.wanted(folder, odd, read)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        got = read(path)
    about = audio.info(path)
    assert about.frames == len(got), odd.name
    if odd.first == 1:
        assert len(got) == len(want), odd.name
    assert len(got) >= odd.first * len(want)
    n = min(len(got), len(want))
    assert np.abs(got[:n] - want[:n]).max() <= 2e-6, odd.name
    assert len(got) <= len(want)
    if odd.remark:
        assert odd.remark in "; ".join(about.remarks), odd.name
        assert path.name in caplog.text
    else:
        assert about.remarks == (), odd.name
    rate = about.sample_rate
    first, n = round(0.6 * rate), round(0.5 * rate)
    assert np.array_equal(audio.load(path, None, 0.6, 0.5), got[first : first + n]), odd.name
    assert np.array_equal(np.concatenate(list(audio.iterate(path, None, 0.25))), got), odd.name


@pytest.mark.parametrize("number", range(NAMES))
def test_an_odd_file_is_read_right_or_refused(made, tmp_path, caplog, number):
    folder, found = made
    assert len(found) == NAMES
    check(folder, tmp_path / found[number].name, found[number], caplog)


@pytest.mark.skipif(FFMPEG is None, reason="FFmpeg's command is not installed")
def test_files_of_ffmpegs_command(made, tmp_path, caplog):
    for odd in odd_audio.with_ffmpeg(made[0]):
        check(made[0], tmp_path / odd.name, odd, caplog)


@pytest.mark.skipif(FFMPEG is None, reason="FFmpeg's command is not installed")
def test_lengths_are_what_ffmpeg_reads(made, tmp_path):
    """Of those that FFmpeg itself reads whole, header frames left out."""
    names = (
        "streamed.flac", "streamed 24 bit.flac", "id3v1 behind.flac", "apev2 behind.flac", "id3v2 in front.flac", "id3v1 behind.ogg",
        "several id3v2.mp3", "tags behind.mp3", "xing too few.mp3", "vbri.mp3", "size ffffffff.wav", "junk behind.wav", "open.au",
    )  # fmt: skip
    for odd in (one for one in made[1] if one.name in names):
        path = tmp_path / odd.name
        path.write_bytes(odd.data)
        command = [str(FFMPEG), "-v", "error", "-i", str(path), "-ac", "1", "-f", "f32le", "-"]
        raw = subprocess.run(command, check=False, capture_output=True).stdout
        assert len(raw) // 4 == audio.info(path).frames, odd.name


KINDS = ["a.mp3", "a.flac", "a.ogg", "a.wav"]


@given(kind=st.sampled_from(KINDS), behind=st.binary(min_size=1, max_size=3000), times=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_whatever_stands_behind_the_sound_is_found(made, tmp_path_factory, kind, behind, times):
    folder, _ = made
    path = tmp_path_factory.mktemp("behind") / kind
    path.write_bytes((folder / kind).read_bytes() + behind * times)
    want = read(folder / kind)
    try:
        got = read(path)
    except AudioError as error:
        assert kind in str(error)  # noqa: PT017
        return
    assert np.array_equal(got[: len(want)], want)
    assert audio.info(path).frames == len(got)


@given(kind=st.sampled_from(KINDS), zeros=st.integers(1, 1 << 18))
@settings(max_examples=40, deadline=None)
def test_the_sound_is_found_behind_zeros(made, tmp_path_factory, kind, zeros):
    folder, _ = made
    path = tmp_path_factory.mktemp("before") / kind
    path.write_bytes(bytes(zeros) + (folder / kind).read_bytes())
    assert np.array_equal(read(path), read(folder / kind))


@given(
    kind=st.sampled_from([*KINDS, "a.aiff", "a.au", "a.caf", "a.w64", "rf64.wav", "a.opus", "a.m4a", "a.mka", "a.webm", "a.tta", "a.wv", "a.avi"]),
    where=st.floats(0, 1, exclude_max=True),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_nothing_is_read_short_without_a_word(made, tmp_path_factory, kind, where):
    folder, _ = made
    data = (folder / kind).read_bytes()
    path = tmp_path_factory.mktemp("cut") / kind
    path.write_bytes(data[: int(where * len(data))])
    want = read(folder / kind)
    try:
        got = read(path)
    except AudioError as error:
        assert kind in str(error)  # noqa: PT017
        return
    assert np.array_equal(got, want[: len(got)])
    assert len(got) == len(want) or audio.info(path).remarks


def test_a_wav_beyond_4_gib_is_whole(made, tmp_path):
    """Its header can tell no more than 32 bits. The file is sparse: it takes no room."""
    folder, _ = made
    wav = (folder / "a.wav").read_bytes()
    sound = wav[44:]
    n_bytes = (1 << 32) + 100_000
    path = tmp_path / "long.wav"
    with open(path, "wb") as file:
        file.write(wav[:40] + (n_bytes % (1 << 32)).to_bytes(4, "little"))
        file.truncate(44 + n_bytes)
        file.seek(44 + n_bytes - len(sound))
        file.write(sound)
    about = audio.info(path)
    assert about.frames == n_bytes // 2
    assert "all that 32 bits can" in about.remarks[0]
    start = (n_bytes - len(sound)) // 2 / odd_audio.RATE
    assert np.array_equal(audio.load(path, None, start), read(folder / "a.wav"))
