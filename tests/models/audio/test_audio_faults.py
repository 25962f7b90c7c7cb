"""Audio files that cannot be used: every failure by name."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from models import audio
from models.audio import containers
from models.errors import AudioError
from tests.sound import FORMATS, tune, write


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_cut_off_files_are_named(files, tmp_path, name, share):
    if name in ("a.aac", "a.webm"):
        pytest.skip("these formats tell no length, and a part of one is a whole one")
    data = (files / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(AudioError, match=rf"{name} (is (damaged or )?cut off|is not audio)"):
        audio.load(path)


def test_a_streamed_wav_promises_nothing(tmp_path):
    data = bytearray(write(tmp_path / "a.wav", tune(0.5, 16000, 1), 16000).read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff\xff\xff\xff"
    (tmp_path / "b.wav").write_bytes(data)
    assert len(audio.load(tmp_path / "b.wav", 16000)) == 8000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("zero.wav", b"", r"is empty \(0 bytes\)"),
        ("text.mp3", b"hello world " * 900, "not audio"),
        ("junk.flac", np.random.default_rng(0).bytes(9000), "not audio"),
        ("list.m4a", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n", "not audio"),
        ("list.mp3", b"ffconcat version 1.0\nfile 'a.wav'\n", "not audio"),
    ],
)
def test_what_is_no_audio_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for use in (audio.load, audio.info):
        with pytest.raises(AudioError, match=rf"{name}.*{message}"):
            use(tmp_path / name)


def test_absent_files_and_folders_are_named(tmp_path):
    with pytest.raises(AudioError, match=r"nope\.wav is not there"):
        audio.load(tmp_path / "nope.wav")
    with pytest.raises(AudioError, match="is a folder, not a file"):
        audio.load(tmp_path)


def test_unreadable_files_are_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", tune(0.1))
    monkeypatch.setattr(containers, "open_regular", lambda *a: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(AudioError, match=r"a\.wav cannot be read: Permission denied"):
        audio.load(path)


def test_special_files_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match=r"pipe\.wav is no regular file"):
        audio.load(tmp_path / "pipe.wav")


def test_a_folder_that_cannot_be_read_is_listed_like_a_file(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", tune(0.1))
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith(("locked", "bare")):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert audio.find_audio(tmp_path) == ["a.wav", "locked/"]
    with pytest.raises(AudioError, match=r"The folder .*locked cannot be read: Permission denied"):
        audio.load(tmp_path / "locked/")
    (tmp_path / "bare").mkdir()
    with pytest.raises(AudioError, match=r"bare cannot be read: Permission denied"):
        audio.find_audio(tmp_path / "bare")


def test_tags_in_an_odd_encoding_do_no_harm(files, tmp_path):
    """FFmpeg's tags are decoded strictly by default: a title in Latin-1 would make the file unreadable."""
    import av

    tagged = tmp_path / "a.m4a"
    with av.open(str(files / "a.m4a")) as source, av.open(str(tagged), "w", format="mp4") as out:
        out.metadata["title"] = "XXXX"
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = tagged.read_bytes()
    assert b"XXXX" in data
    tagged.write_bytes(data.replace(b"XXXX", b"caf\xe9"))
    assert len(audio.load(tagged, None)) > 80000


def test_no_samples_and_no_stream(tmp_path):
    import av

    with pytest.raises(AudioError, match="no samples"):
        audio.load(write(tmp_path / "a.wav", np.zeros((0, 1), dtype=np.float32)))
    with av.open(str(tmp_path / "v.mp4"), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for packet in itertools.chain(stream.encode(av.VideoFrame(16, 16, "yuv420p")), stream.encode(None)):
            out.mux(packet)
    with pytest.raises(AudioError, match=r"v\.mp4 has no audio stream"):
        audio.load(tmp_path / "v.mp4")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_samples_are_named_with_their_place(tmp_path, bad):
    sound = tune(3.0, 16000, 2)
    sound[40000, 1] = bad
    path = write(tmp_path / "a.wav", sound, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav holds NaN or infinite samples, the first at 2\.500 s"):
        audio.load(path)
    assert len(audio.load(path, 16000, 0, 2.0)) == 32000  # a part without them is fine


def test_damage_in_the_middle_is_an_error(files, tmp_path):
    data = bytearray((files / "a.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(AudioError, match="damaged"):
        audio.load(tmp_path / "a.flac")


def test_content_decides_not_the_suffix(files, tmp_path):
    for name, other in [
        ("a.mp3", "x.wav"),
        ("a.wav", "x.mp3"),
        ("a.ogg", "x.flac"),
        ("a.m4a", "x.mp3"),
        ("a.flac", "x.raw"),
        ("a.mp3", "x"),
    ]:
        (tmp_path / other).write_bytes((files / name).read_bytes())
        assert np.array_equal(audio.load(tmp_path / other), audio.load(files / name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1.0}, "start -1"),
        ({"start": float("nan")}, "start nan"),
        ({"seconds": 0.0}, "seconds 0"),
        ({"start": 5.0}, r"nothing behind 5\.0 s"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"sample_rate": 44.1}, "sample_rate is 44.1"),
    ],
)
def test_impossible_parts_are_refused(files, arguments, message):
    with pytest.raises(AudioError, match=message):
        audio.load(files / "a.wav", **arguments)
