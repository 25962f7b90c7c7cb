"""MPEG audio (MP3, MP2): its frames, counted, and the files that a decoder is given of them.

libsndfile believes the frame count of a Xing, Info or VBRI header, and guesses the length of a file that has none from its first frame: a
variable-bitrate one then ends early (30.0 s came out as 26.6 s), silently. Here all frames are counted; where a decoder would be misled it is given
a header frame with the true count.

Sources: ISO/IEC 11172-3 (frame headers); the Xing and LAME tags (gabriel.mp3-tech.org/mp3infotag.html) and Fraunhofer's VBRI.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .segments import CutOff, Layout, Link, Span, View
from .tags import is_tag

_BITRATES = {  # kbit/s by (MPEG 1?, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz by version bits
_IN_A_ROW = 4  # frames that are no coincidence
_ENCODER, _DELAYS = 36, 21  # bytes of the encoder's part of a header frame, and where in it delay and padding stand
_DECODER_DELAY = 529  # samples, of every MP3 decoder
_ROOM = 4096  # bytes before the end of a block in which a frame may not be whole
_LEAST = 96  # bytes of a header frame that is made here: 4, side information, 16, the encoder's part


@dataclass(frozen=True)
class MpegFrame:
    """One MPEG audio frame's header."""

    version: int  # bits: 3 MPEG 1, 2 MPEG 2, 0 MPEG 2.5
    layer: int
    bitrate: int  # kbit/s
    sample_rate: int  # Hz
    mono: bool
    size: int  # bytes, header included

    @property
    def samples(self) -> int:
        """Per channel."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152

    def alike(self, other: MpegFrame) -> bool:
        """Whether both can be of one stream."""
        return (self.version, self.layer, self.sample_rate) == (other.version, other.layer, other.sample_rate)


def mpeg_frame(data: bytes, at: int = 0) -> MpegFrame | None:
    """The frame whose header stands at byte `at`, or None (free-format frames, which tell no size, included)."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer_bits = (data[at + 1] >> 3) & 3, (data[at + 1] >> 1) & 3
    bitrate_index, rate_index, padding = data[at + 2] >> 4, (data[at + 2] >> 2) & 3, (data[at + 2] >> 1) & 1
    if version == 1 or layer_bits == 0 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    layer = 4 - layer_bits
    bitrate, rate = _BITRATES[version == 3, layer][bitrate_index], _RATES[version][rate_index]
    if layer == 1:
        size = (12000 * bitrate // rate + padding) * 4
    else:
        size = (72000 if layer == 3 and version != 3 else 144000) * bitrate // rate + padding
    return MpegFrame(version, layer, bitrate, rate, data[at + 3] >> 6 == 3, size)


@dataclass(frozen=True)
class HeaderFrame:
    """What a Xing, Info or VBRI header says: frames of sound and bytes, None for what it does not say; and of a Xing or Info header the encoder's own
    part, with its delay and padding, b"" without one.
    """

    frames: int | None
    n_bytes: int | None
    encoder: bytes | None = None


@dataclass
class Run:
    """Frames of one kind in a row, and the bytes they stand in; `cut`: bytes that the last, incomplete one lacks."""

    first: MpegFrame
    header: HeaderFrame | None
    count: int = 0  # of all frames, the header frame included
    spans: list[Span] = field(default_factory=list)
    cut: int = 0

    @property
    def sound(self) -> int:
        """Frames of sound."""
        return self.count - (self.header is not None)

    @property
    def n_bytes(self) -> int:
        """Of all frames."""
        return sum(map(len, self.spans))

    def seconds(self, frames: int) -> float:
        """How long so many frames are."""
        return frames * self.first.samples / self.first.sample_rate


def frames_begin(view: View, at: int, in_a_row: int = _IN_A_ROW) -> bool:
    """Return whether frames follow each other from a place on: several, or as many as there are up to a tag or the end of the file."""
    frame = first = mpeg_frame(view.at(at, 4))
    for n in range(1, in_a_row):
        if frame is None or first is None:
            return False
        at += frame.size
        if at >= view.size:
            return n > 1 or at == view.size
        frame = mpeg_frame(view.at(at, 4))
        if frame is None or not frame.alike(first):
            return is_tag(view, at) or (n > 1 and frames_begin(view, at, 2))
    return first is not None


def find_frames(view: View, at: int) -> int:
    """Return the place from `at` on where frames begin, -1 where they do nowhere."""
    while (at := view.find(b"\xff", at)) >= 0:
        if frames_begin(view, at):
            return at
        at += 1
    return -1


def find_runs(view: View, start: int) -> list[Run]:
    """Return the runs of frames from the one that begins at `start` to the end of the file. What is between them is no sound."""
    runs: list[Run] = []
    sizes: dict[bytes, int] = {}  # by the four bytes of the headers of this run, of which there are few
    at = begin = start
    run: Run | None = None

    def leave(stop: int) -> None:
        if run is not None and stop > begin:
            run.spans.append(Span(begin, stop))

    while at >= 0:
        head = view.at(at, 4)
        frame = mpeg_frame(head)
        if frame is None or not (run is None or frame.alike(run.first) or frames_begin(view, at)):
            leave(at)
            at = begin = _resync(view, at, run)
            continue
        if at + frame.size > view.size:
            leave(at)
            if run is not None:
                run.cut = at + frame.size - view.size
            return [one for one in runs if one.sound > 0]
        header = None
        start_of_frame = view.at(at, 44) if frame.layer == 3 else b""
        if any(mark in start_of_frame for mark in (b"Xing", b"Info", b"VBRI")):
            header = header_frame(view.at(at, frame.size), frame)
        if run is None or header is not None or not frame.alike(run.first) or frame.mono != run.first.mono:
            leave(at)
            run, begin, sizes = Run(frame, header), at, {}
            runs.append(run)
        run.count += 1
        at += frame.size
        if header is None:
            sizes[head] = frame.size
            at = _walk(view, at, run, sizes)
    return [one for one in runs if one.sound > 0]


def _walk(view: View, at: int, run: Run, sizes: dict[bytes, int]) -> int:
    """Count frames whose headers are known, as far as nothing special comes: the loop in which a long file's time goes."""
    no_sides = bytes(9)  # as in a header frame, which has no side information
    while len(block := view.at(at, 1 << 16)) > _ROOM:
        place, stop = 0, len(block) - _ROOM
        while place < stop:
            size = sizes.get(block[place : place + 4])
            if size is None or block[place + 4 : place + 13] == no_sides:
                return at + place
            run.count += 1
            place += size
        at += place
    return at


def _resync(view: View, at: int, run: Run | None) -> int:
    """The next place where frames begin again: two in a row like those before, or several of another kind. -1: nowhere."""
    at += 1
    while (at := view.find(b"\xff", at)) >= 0:
        frame = mpeg_frame(view.at(at, 4))
        if frame is not None:
            after = mpeg_frame(view.at(at + frame.size, 4))
            alike = run is not None and frame.alike(run.first) and after is not None and after.alike(frame)
            if alike or frames_begin(view, at):
                return at
        at += 1
    return -1


def header_frame(data: bytes, frame: MpegFrame) -> HeaderFrame | None:
    """Return what a frame says as a Xing, Info or VBRI header; None where it is none."""
    tag = 4 + _side(frame)
    if data[tag : tag + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(data[tag + 4 : tag + 8], "big")
        at = tag + 8
        values: list[int | None] = []
        for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
            values.append(int.from_bytes(data[at : at + size], "big") if flags & bit else None)
            at += size if flags & bit else 0
        encoder = data[at : at + _ENCODER] if data[at : at + 1].strip(b"\0") else b""
        return HeaderFrame(values[0], values[1], encoder if len(encoder) == _ENCODER else b"")
    if data[36:40] == b"VBRI":
        return HeaderFrame(int.from_bytes(data[50:54], "big"), int.from_bytes(data[46:50], "big"))
    return None


def _side(frame: MpegFrame) -> int:
    """Bytes of the side information, behind which a Xing header stands."""
    return (17 if frame.mono else 32) if frame.version == 3 else (9 if frame.mono else 17)


def _gap(encoder: bytes | None) -> int:
    """Samples that a decoder takes off behind a header frame: its own delay, and what the encoder says that it put in front and behind."""
    if encoder is None:
        return 0
    if not encoder:
        return _DECODER_DELAY
    delay, padding = divmod(int.from_bytes(encoder[_DELAYS : _DELAYS + 3], "big"), 4096)
    return delay + _DECODER_DELAY + max(0, padding - _DECODER_DELAY)


def mpeg_layout(view: View, start: int) -> Layout:
    """Return the streams of MPEG audio that begins at `start`.

    Raises CutOff where a header promises more frames than there are and its byte count does not say that these are all.
    """
    runs, remarks = find_runs(view, start), []
    links = []
    if alone := [run for run in runs if run.count == 1 and len(runs) > 1]:  # which no decoder opens
        runs = [run for run in runs if run not in alone] or runs
        remarks.append(f"{len(alone)} MPEG frames that stand alone are left out, the first at byte {alone[0].spans[0].start}")
    for i, run in enumerate(runs):
        last = i == len(runs) - 1
        promised = None if run.header is None else run.header.frames
        complete = not run.cut
        if promised and promised != run.sound:
            whole = run.header is not None and run.header.n_bytes is not None and abs(run.header.n_bytes - run.n_bytes) <= 1
            if promised > run.sound and not whole:
                if promised - run.sound > 1 or run.cut:
                    raise CutOff(
                        f"its header promises {run.seconds(promised):.2f} s ({promised} MPEG frames), "
                        f"{run.seconds(run.sound):.2f} s ({run.sound}) are there"
                    )
                complete = False
            remarks.append(f"its header says {promised} MPEG frames, {run.sound} are there and are read")
        elif run.header is not None and not promised:
            remarks.append(f"its header does not say how many MPEG frames it has; {run.sound} were counted")
        if run.cut and last:
            remarks.append(f"its last MPEG frame is cut off ({run.cut} bytes are missing) and left out")
        if holes := [a for a, b in zip(run.spans, run.spans[1:]) if not is_tag(view, a.stop)]:
            remarks.append(f"{len(holes)} gaps between its MPEG frames hold something else, the first at byte {holes[0].stop}")
        links.append(_link(run, complete))
    return Layout(tuple(links), tuple(dict.fromkeys(remarks)))


def _link(run: Run, complete: bool) -> Link:
    """The run for a decoder: as it is, or with a header frame that tells the true number of frames in place of its own."""
    most = run.sound * run.first.samples
    if run.header is None or run.first.layer != 3:
        return Link(tuple(run.spans), most)
    encoder = run.header.encoder
    if run.header.frames == run.sound:
        return Link(tuple(run.spans), most - _gap(encoder))
    if encoder and not complete:  # what would be taken off at the end is not there
        encoder = encoder[: _DELAYS + 1] + bytes([encoder[_DELAYS + 1] & 0xF0, 0]) + encoder[_DELAYS + 3 :]
    without_own = (replace(run.spans[0], start=run.spans[0].start + run.first.size), *run.spans[1:])
    return Link(without_own if encoder is None else (_made_header(run, encoder), *without_own), most - _gap(encoder))


def _made_header(run: Run, encoder: bytes) -> bytes:
    """A header frame with the true number of frames and bytes: silent, otherwise as the first frame."""
    first = run.first
    for index in range(1, 15):
        head = bytes(
            [0xFF, 0xE0 | first.version << 3 | (4 - first.layer) << 1 | 1, index << 4 | _RATES[first.version].index(first.sample_rate) << 2,
             0xC0 if first.mono else 0]
        )  # fmt: skip
        frame = mpeg_frame(head)
        if frame is not None and frame.size >= _LEAST:
            break
    assert frame is not None
    n_bytes = frame.size + sum(map(len, run.spans))
    tag = b"Info" + b"".join(number.to_bytes(4, "big") for number in (3, run.sound, n_bytes)) + encoder
    return (head + bytes(_side(first)) + tag).ljust(frame.size, b"\0")
