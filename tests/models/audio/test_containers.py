"""What a file's bytes say about its length."""

from __future__ import annotations

import re

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio.containers import CutOff, layout_of, mpeg_frame
from models.audio.ogg import page_at
from models.audio.segments import Joined, Span, View
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
@settings(deadline=None, max_examples=20)
def test_any_bytes_are_survived(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "x"
    for start in MAGIC:
        path.write_bytes(start + data)
        try:
            found = layout_of(path)
        except CutOff as error:
            assert re.search(r"promise|ends|bytes", str(error))  # noqa: PT017
        else:
            assert all(len(piece) >= 0 for link in found.links for piece in link.pieces)


MAGIC = (
    b"", b"\xff\xfb\x90\x64", b"OggS\0\2", b"RIFF0000WAVE", b"RIFF0000WAVEfmt ", b"RF640000WAVEds64", b"FORM0000AIFFCOMM", b".snd", b"caff\0\1\0\0",
    b"ID3\4\0\0\0\0\0\1", b"fLaC\0\0\0\x22", b"\0\0\0\x10ftyp", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", b"RIFF0000AVI ", b"TTA1", b"wvpk", b"MAC ",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), bytes.fromhex("726966662e91cf11a5d628db04c10000"), b"\xff\xf1\x50\x80",
    b"#!AMR\n", b"#!AMR-WB\n", b"\x0b\x77", b"\x7f\xfe\x80\x01", b"\x56\xe0\0", b"NIST_1A\n   1024\n", b"DSD ", b"FORM\0\0\0\x218SVX",
    b"\0\0\0\x10moov1234stsz\0\0\0\0mdat",
)  # fmt: skip


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_good_mp3_is_read_as_it_is(tmp_path, rate, channels):
    path = write(tmp_path / "a.mp3", tune(6.0, rate, channels), rate)
    for behind in (b"", b"TAG" + bytes(125)):
        path.write_bytes(path.read_bytes() + behind)
        (link,) = layout_of(path).links
        assert link.pieces == ()
        assert link.frames == soundfile.info(path).frames
    assert layout_of(path).remarks == ()


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.opus", "a.aiff", "a.flac"])
def test_whole_files_are_not_cut_off(tmp_path, name):
    path = write(tmp_path / name, tune(0.3, 48000), 48000)
    assert [link.pieces for link in layout_of(path).links] == [()]
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with pytest.raises(CutOff):
        layout_of(path)


def test_joined_pieces_are_one_file(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(100)))
    with Joined(str(path), (b"head", Span(10, 20), Span(90, 100))) as file:
        assert file.read() == b"head" + bytes(range(10, 20)) + bytes(range(90, 100))
        assert file.seek(-3, 2) == 21
        assert file.read(10) == bytes(range(97, 100))
        assert file.seek(2) == 2
        assert file.read(4) == b"ad" + bytes([10, 11])
        assert file.seek(1, 1) == 7
        assert file.read(1) == bytes([13])


@given(st.binary(max_size=300), st.integers(0, 50))
@settings(deadline=None, max_examples=50)
def test_a_view_finds_what_bytes_find(tmp_path_factory, data, start):
    path = tmp_path_factory.mktemp("view") / "x"
    path.write_bytes(data)
    with open(path, "rb") as file:
        view = View(file)
        assert view.find(b"\0", start) == data.find(b"\0", start)
        assert view.without_zeros(start) == max(len(data) - len(data[start:].lstrip(b"\0")), min(start, len(data)))
        assert view.at(start, 20) == data[start : start + 20]


def test_ogg_checksums(tmp_path):
    data = write(tmp_path / "a.ogg", tune(0.3)).read_bytes()
    with open(tmp_path / "a.ogg", "rb") as file:
        page = page_at(View(file), 0)
    assert page is not None
    assert page.stop == data.index(b"OggS", 4)
    (tmp_path / "a.ogg").write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with open(tmp_path / "a.ogg", "rb") as file:
        assert page_at(View(file), 0) is None
