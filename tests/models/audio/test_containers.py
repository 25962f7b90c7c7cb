"""What a file's bytes say about its length."""

from __future__ import annotations

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio.containers import cut_off, mpeg_frame, mpeg_length
from tests.sound import tune, write


@pytest.mark.parametrize(
    ("header", "want"),
    [
        ("fffb9064", (3, 3, 128, 44100, False, 417, 1152)),
        ("fffb9264", (3, 3, 128, 44100, False, 418, 1152)),
        ("fff384c4", (2, 3, 64, 24000, True, 192, 576)),
        ("fffd8004", (3, 2, 128, 44100, False, 417, 1152)),
        ("ffff9064", (3, 1, 288, 44100, False, 312, 384)),
        ("ffe34064", (0, 3, 32, 11025, False, 208, 576)),
    ],
)
def test_frame_headers(header, want):
    frame = mpeg_frame(bytes.fromhex(header), 0)
    assert (frame.version, frame.layer, frame.bitrate, frame.sample_rate, frame.mono, frame.size, frame.samples) == want


@pytest.mark.parametrize("header", ["00000000", "fffb0064", "fffbf064", "fffb9c64", "ffeb9064", "fff99064", "ff"])
def test_what_is_no_frame_header(header):
    assert mpeg_frame(bytes.fromhex(header), 0) is None


@given(st.binary(max_size=400))
@settings(deadline=None, max_examples=60)
def test_any_bytes_are_survived(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "x"
    for start in (b"", b"\xff\xfb\x90\x64", b"OggS\0", b"RIFF0000WAVE", b"ID3\4\0\0\0\0\0\1"):
        path.write_bytes(start + data)
        assert mpeg_length(path) is None or mpeg_length(path).sample_rate > 0
        assert cut_off(path) is None or isinstance(cut_off(path), str)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_header_frame_and_count_agree(tmp_path, rate, channels):
    path = write(tmp_path / "a.mp3", tune(1.0, rate, channels), rate)
    length = mpeg_length(path)
    assert length.promised is not None
    assert length.counted is None  # the header fits the file's size: nothing to count
    data = path.read_bytes()
    path.write_bytes(data + bytes(10000))  # now it does not
    assert mpeg_length(path).counted == length.promised
    assert length.promised >= soundfile.info(path).frames


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.opus", "a.aiff", "a.flac"])
def test_whole_files_are_not_cut_off(tmp_path, name):
    path = write(tmp_path / name, tune(0.3, 48000), 48000)
    assert cut_off(path) is None
    data = path.read_bytes()
    if name != "a.flac":
        path.write_bytes(data[:-5])
        assert cut_off(path) is not None
