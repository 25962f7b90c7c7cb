"""Small sound files for tests, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tune(seconds: float = 1.0, rate: int = 44100, channels: int = 2, seed: int = 0) -> np.ndarray:
    """A few partials and some noise, [N, channels] float32, peaks below 0.6; the channels differ."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    frames = [
        sum(0.1 * np.sin(2 * np.pi * f * t + p) for f, p in zip(rng.uniform(80, 3000, 4), rng.uniform(0, 6, 4)))
        + 0.02 * rng.standard_normal(len(t))
        for _ in range(channels)
    ]
    return np.stack(frames, axis=1).astype(np.float32)


def write(path: Path, audio: np.ndarray, rate: int = 44100, **kind: str) -> Path:
    """Through libsndfile, by the suffix; `kind` may name format and subtype."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        kind = {"format": "OGG", "subtype": "OPUS", **kind}
    soundfile.write(path, audio, rate, **kind)
    return path


def write_av(path: Path, audio: np.ndarray, rate: int, codec: str, container: str | None = None, **options: str) -> Path:
    """Through FFmpeg: m4a, AAC, WebM. audio [N, 1 or 2]."""
    import av

    layout = "mono" if audio.shape[1] == 1 else "stereo"
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                out.mux(packet)
    return path


def folder_of(root: Path, count: int, seconds: float = 0.5, rate: int = 16000) -> Path:
    """`count` wav files of different lengths in two folders."""
    for k in range(count):
        write(root / f"{'ab'[k % 2]}/track {k:04d}.wav", tune(seconds * (1 + k % 3), rate, 1, seed=k), rate)
    return root


FORMATS = ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.aiff", "a.m4a", "a.aac", "a.webm"]
RATE = {"a.opus": 48000, "a.webm": 48000}  # Hz, of the others 44100


def write_formats(folder: Path) -> Path:
    """One file of 2 s per format."""
    for name in FORMATS:
        rate = RATE.get(name, 44100)
        sound = tune(2.0, rate)
        if name == "a.m4a":
            write_av(folder / name, sound, rate, "aac")
        elif name == "a.aac":
            write_av(folder / name, sound, rate, "aac", container="adts")
        elif name == "a.webm":
            write_av(folder / name, sound, rate, "libopus")
        else:
            write(folder / name, sound, rate)
    return folder
