"""The page's modules without a browser: resampling beside soxr, windows beside models/windows.py, headers beside the suite's own reading."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import audio
from models.tagging import Tagged
from models.windows import plan_windows
from tests.sound import tune, write, write_av
from tests.web.browser import ROOT, WEB, node, server_module


def run(job: str, *words: object) -> Any:
    script = str(Path(__file__).parent / "modules.mjs")
    done = subprocess.run([node(), script, job, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture
def resample(tmp_path):
    def resample(wave: np.ndarray, rate_in: int, rate_out: int, block: int = 4096) -> np.ndarray:
        wave.astype(np.float32).tofile(tmp_path / "in.f32")
        run("resample", tmp_path / "in.f32", tmp_path / "out.f32", rate_in, rate_out, block)
        return np.fromfile(tmp_path / "out.f32", np.float32)

    return resample


# ---- resampling
@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(44100, 16000), (44100, 22050), (48000, 22050), (8000, 16000), (16000, 16000), (44099, 16000)]
)
def test_resampling_is_soxrs(resample, rate_in, rate_out):
    rng = np.random.default_rng(1)
    t = np.arange(rate_in + 37) / rate_in
    top = 0.25 * min(rate_in, rate_out)  # towards the upper end soxr's gain falls to 0.999
    wave = sum(0.1 * np.sin(2 * np.pi * f * t + f) for f in rng.uniform(30, top, 12)).astype(np.float32)
    want = audio.resample(wave, rate_in, rate_out)
    got = resample(wave, rate_in, rate_out)
    assert len(got) == len(want)
    inside = slice(rate_out // 10, -rate_out // 10)  # at the edges the filters' tails differ
    assert np.abs(got - want)[inside].max() < 2e-5


@pytest.mark.parametrize("frequency", [11050, 12000, 15000, 21000])
def test_what_the_lower_rate_cannot_hold_is_gone(resample, frequency):
    t = np.arange(44100) / 44100
    out = resample(0.9 * np.sin(2 * np.pi * frequency * t), 44100, 22050)
    assert np.abs(out[500:-500]).max() < 0.9 * 10 ** (-90 / 20)


@pytest.mark.parametrize("rate_in", [44100, 48000, 44099, 8000])
@pytest.mark.parametrize("share", [0.002, 0.1, 0.9])
def test_what_it_can_hold_is_kept(resample, rate_in, share):
    frequency = share * min(rate_in, 22050) / 2
    out = resample(0.9 * np.sin(2 * np.pi * frequency * np.arange(rate_in) / rate_in), rate_in, 22050)
    want = 0.9 * np.sin(2 * np.pi * frequency * np.arange(22050) / 22050)  # in phase: no delay
    assert np.abs(out - want)[1000:-1000].max() < 3e-6


def test_blocks_do_not_matter(resample):
    wave = np.random.default_rng(2).standard_normal(30011)
    whole = resample(wave, 44100, 16000, 10**6)
    assert len(whole) == -(-30011 * 160 // 441)
    for block in (1000, 127, 7):
        assert np.array_equal(resample(wave, 44100, 16000, block), whole)


def test_a_click_of_one_sample(resample):
    assert len(resample(np.ones(1), 44100, 16000)) == 1


# ---- windows
def test_windows_are_the_suites():
    cases = [
        (n, 100, hop, block)
        for n in (1, 50, 99, 100, 150, 200, 220, 317, 1000)
        for hop in (100, 50, 30)
        for block in (7, 64, 5000)
    ]
    for (n, length, hop, _), (found, foretold) in zip(cases, run("windows", json.dumps(cases))):
        plan = plan_windows(n, length, hop, "shift")
        assert [f[:2] for f in found] == plan.tolist()
        assert foretold == len(plan)
        assert all(size == length for *_, size in found)
        if n >= length:
            assert all([first, last] == [start + 1, stop] for start, stop, first, last, _ in found)


def test_a_remainder_of_almost_nothing_makes_no_window():
    ((found, foretold),) = run("windows", json.dumps([(1009, 1000, 500, 100)]))
    assert [f[:2] for f in found] == [[0, 1000]]
    assert foretold == 1


def test_a_short_clip_stands_in_the_middle_of_silence():
    ((found, _),) = run("windows", json.dumps([(1, 3, 3, 1)]))
    assert found == [[0, 1, 0, 0, 3]]


def test_mono_is_the_mean():
    channels = np.random.default_rng(0).uniform(-1, 1, (3, 50)).astype(np.float32)
    for c in (1, 2, 3):
        want = audio.to_mono_float(np.ascontiguousarray(channels[:c].T)) if c > 1 else channels[0]
        np.testing.assert_allclose(run("mix", json.dumps(channels[:c].tolist())), want, atol=1e-7)


# ---- headers
def test_headers_tell_rate_channels_and_length(tmp_path):
    files, wanted = [], []
    for name, rate, channels, kind in [
        ("a.wav", 44100, 2, {}),
        ("b.wav", 22050, 1, {"subtype": "FLOAT"}),
        ("c.wav", 48000, 2, {"subtype": "PCM_24"}),
        ("d.flac", 32000, 2, {}),
        ("e.ogg", 44100, 1, {}),
        ("f.opus", 48000, 2, {}),
        ("g.mp3", 44100, 2, {}),
        ("h.mp3", 22050, 1, {}),
        ("i.mp3", 11025, 1, {}),
    ]:
        files.append(write(tmp_path / name, tune(1.5, rate, channels), rate, **kind))
        wanted.append((rate, channels))
    files.append(write_av(tmp_path / "j.m4a", tune(1.5, 44100, 2), 44100, "aac"))
    wanted.append((44100, 2))
    for file, (rate, channels), found in zip(files, wanted, run("inspect", *files)):
        assert (found["rate"], found["channels"]) == (rate, channels), file
        if file.suffix in (".wav", ".flac", ".m4a"):
            assert found["seconds"] == pytest.approx(1.5, abs=0.06)


def test_what_is_no_sound_has_no_header(tmp_path):
    contents = [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt ", b"fLaC" + bytes(3), b"ID3\4\0\0\0\0\0\1x" * 3, b"hello world " * 900]
    contents += [b"\0\0\0\x18ftypM4A " + bytes(40), b"OggS" + bytes(60), b"\xff\xfb" + bytes(600)]
    files = []
    for k, content in enumerate(contents):
        files.append(tmp_path / str(k))
        files[-1].write_bytes(content)
    assert all(found["rate"] is None for found in run("inspect", *files))


# ---- metadata
def metadata(**changes: Any) -> dict[str, Any]:
    return {
        "name": "net",
        "classes": ["Rock---Punk", "drums"],
        "schema": {
            "inputs": [{"name": "waveform", "shape": ["batch", 27]}],
            "outputs": [
                {"name": "logits", "shape": ["batch", 2], "output_purpose": "logits"},
                {"name": "p", "shape": ["batch", 2], "output_purpose": "predictions"},
            ],
        },
        "inference": {"sample_rate": 16000},
        **changes,
    }


def test_metadata_is_understood():
    found = run("describe", json.dumps(metadata()))
    assert (found["input"], found["samples"], found["rate"], found["output"]) == ("waveform", 27, 16000, "p")
    assert found["classes"] == ["Rock – Punk", "drums"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": {"inputs": []}}, "schema.inputs"),
        ({"schema": {"inputs": [{"name": "mel", "shape": ["batch", 96, 625]}]}}, "spectrograms"),
        ({"inference": {"sample_rate": "16k"}}, "sample_rate"),
        ({"classes": ["one"]}, "1 classes"),
        ({"classes": []}, "no classes"),
        ({"schema": {**metadata()["schema"], "outputs": []}}, "predictions"),
        ({"file": {"bytes": 5}}, "bytes and sha256"),
    ],
)
def test_metadata_that_cannot_be_used_is_named(changes, words):
    assert words in run("describe", json.dumps(metadata(**changes)))["error"]


def test_results_are_summed_as_the_suite_does():
    rng = np.random.default_rng(3)
    times = np.array([[0, 5], [2.5, 7.5], [5, 10], [6.2, 11.2]], np.float32)
    scores = rng.random((4, 3)).astype(np.float32)
    tagged = Tagged(["a", 'b "x"', "c"], scores, times, 11.2, np.zeros((0, 1), np.float32))
    found = run(
        "result", json.dumps(tagged.labels), json.dumps(times.tolist()), json.dumps(scores.ravel().tolist()), "[0, 3.8, 9, 99]"
    )
    np.testing.assert_allclose(found["mean"], tagged.probabilities, atol=1e-6)
    assert [tagged.labels[k] for k in found["largest"]] == [label for label, _ in tagged.top(3)]
    np.testing.assert_allclose(found["bounds"], tagged.bounds(), atol=1e-5)
    assert found["at"] == [0, 1, 3, 3]
    assert found["csv"].splitlines()[0] == 'start_s,stop_s,a,"b ""x""",c'
    assert len(found["csv"].splitlines()) == 5


def test_times_are_written_in_seconds_or_tenths():
    assert run("clock", "[[75], [3725], [59.97], [59.97, true], [2.68, true], [3725.04, true]]") == [
        "1:15", "1:02:05", "1:00", "1:00.0", "0:02.7", "1:02:05.0",
    ]  # fmt: skip


# ---- what is installed and served
def test_the_lock_names_no_host():
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_sources_are_readable():
    """No blobs and nothing from elsewhere: every line of the page is one that a person wrote."""
    sources = [p for p in WEB.rglob("*") if p.suffix in (".js", ".html", ".css") and "node_modules" not in p.parts]
    assert len(sources) > 8
    for path in sources:
        text = path.read_text()
        assert max(map(len, text.splitlines())) < 300, path
        assert "https://" not in text, path
        assert text.count("\n") <= 360, path


def test_the_list_offers_whole_exports_only(tmp_path):
    for name in ("b.onnx", "b.json", "a.onnx", "a.json", "alone.onnx", "notes.json"):
        (tmp_path / name).write_text("{}")
    found = json.loads(server_module().listing(tmp_path))
    assert [m["name"] for m in found["models"]] == ["a", "b"]
    assert found["models"][0] == {"name": "a", "onnx": "a.onnx", "metadata": "a.json", "bytes": 2}


def test_the_server_is_this_machines_and_keeps_to_its_folder(tmp_path):
    import http.client
    import threading

    (tmp_path / "models").mkdir()
    (tmp_path / "secret.json").write_text("secret")
    server = server_module().server(0, tmp_path / "models")
    assert server.server_address[0] == "127.0.0.1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        answers = {}
        for path in ("/models/index.json", "/models/../secret.json", "/models/..%2fsecret.json", "/../README.md", "/index.html"):
            connection = http.client.HTTPConnection(*server.server_address, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            answers[path] = (answer.status, answer.read(), dict(answer.getheaders()))
            connection.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert json.loads(answers["/models/index.json"][1]) == {"models": []}
    assert answers["/index.html"][2]["Cross-Origin-Embedder-Policy"] == "require-corp"
    for path in ("/models/../secret.json", "/models/..%2fsecret.json", "/../README.md"):
        assert answers[path][0] == 404, path


def test_the_list_can_be_written_for_other_servers(tmp_path):
    import sys

    (tmp_path / "a.onnx").write_text("")
    (tmp_path / "a.json").write_text("{}")
    command = [sys.executable, str(WEB / "serve.py"), "--list", "--models", str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode == 0
    assert [m["name"] for m in json.loads((tmp_path / "index.json").read_text())["models"]] == ["a"]
