"""The page and what it cannot use: files, networks, browsers, microphones. Each is said, and none breaks the page."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import export_model
from models.weights.downloads import digest_of
from tests.sound import tune, write
from tests.web.browser import DONE, READY, ROOT, WEB, chromium, server_module, serving, small_maest, visit

pytestmark = pytest.mark.slow


def wav_header(rate: int, frames: int) -> bytes:
    """Of a mono wav of 8 bits."""
    kind = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    return b"RIFF" + struct.pack("<I", 36 + frames) + b"WAVEfmt " + kind + b"data" + struct.pack("<I", frames)


def test_files_that_cannot_be_used_say_why(url, sounds, tmp_path):
    (tmp_path / "text.mp3").write_text("this is no music " * 500)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "nothing.wav").write_bytes(wav_header(8000, 0))
    (tmp_path / "cut.flac").write_bytes(b"fLaC" + bytes(20))
    write(tmp_path / "nan.wav", np.full((20000, 1), np.nan, np.float32), 16000, subtype="FLOAT")
    words = {
        "text.mp3": "cannot be decoded",
        "empty.wav": "is empty",
        "nothing.wav": "",
        "cut.flac": "cannot be decoded",
        "nan.wav": "",
    }
    steps: list[Any] = [["open"], READY]
    for name in words:
        steps += [["file", str(tmp_path / name)], ["message"], ["evaluate", "document.getElementById('result').hidden"]]
    out = visit(url, [*steps, ["file", str(sounds["wav"])], DONE])
    for k, (name, word) in enumerate(words.items()):
        message, hidden = out["out"][3 + 3 * k], out["out"][4 + 3 * k]
        assert word in message["message"], name
        assert message["status"] == "Nothing was heard.", name
        assert hidden, name
    assert out["out"][-1]["status"].startswith("Done")  # none of them breaks the page
    assert out["out"][-1]["message"] == ""
    assert out["errors"] == []


def test_two_hours_of_flac_are_refused_before_decoding(url, tmp_path):
    path = write(tmp_path / "two hours.flac", np.zeros((2 * 3600 * 44100 // 10, 2), np.int16), 4410)
    data = bytearray(path.read_bytes())  # silence of 2 hours at 4410 Hz: call it 44100 Hz, 10 times as many samples
    rate_bits = (44100 << 12) | (int.from_bytes(data[18:22], "big") & 0xFFF)
    data[18:22] = rate_bits.to_bytes(4, "big")
    samples = 2 * 3600 * 44100
    data[21] = (data[21] & 0xF0) | (samples >> 32)
    data[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(data)
    out = visit(url, [["open"], READY, ["file", str(path)], ["message"]])["out"]
    message = out[-1]["message"]
    for word in ("2:00:00", "FLAC", "2.5 GB", "400 MB", "18:54", "WAV or MP3"):
        assert word in message


def loudness_network(folder: Path) -> None:
    """An ONNX file that costs nothing: 10 s at 8 kHz -> [mean |x|, 1 - mean |x|], with its metadata."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Abs", ["waveform"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axis"], ["loud"], keepdims=1),
        helper.make_node("Sub", ["one", "loud"], ["quiet"]),
        helper.make_node("Concat", ["loud", "quiet"], ["activations"], axis=1),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
    ]
    sound = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", 80000])
    out = helper.make_tensor_value_info("activations", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "loudness", [sound], [out], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "loudness.onnx")
    schema = {
        "inputs": [{"name": "waveform", "shape": ["batch", 80000]}],
        "outputs": [{"name": "activations", "shape": ["batch", 2], "output_purpose": "predictions"}],
    }
    about = {"name": "loudness", "classes": ["loud", "quiet"], "schema": schema, "inference": {"sample_rate": 8000}}
    (folder / "loudness.json").write_text(json.dumps(about))


@pytest.mark.parametrize("kind", ["mp3", "wav"])
def test_two_hours_are_heard_in_pieces(tmp_path, kind):
    """Every minute louder than the one before: what is heard stands where it was played, and memory does not grow with the file."""
    chromium()
    loudness_network(tmp_path)
    minute = tune(60, 8000, 1)
    steps_up = np.linspace(0.1, 1.0, 120, dtype=np.float32)
    path = write(tmp_path / f"two hours.{kind}", np.concatenate([gain * minute for gain in steps_up]), 8000)
    found = "[maestDebug.result.windows, maestDebug.result.scores.map((s) => s[0])]"
    steps = [
        ["open", "?debug=results&piece=60"],
        READY,
        ["select", "#hop", "1"],
        ["file", str(path)],
        ["status", ["Done", "Nothing"], 400000],
    ]
    with serving(tmp_path) as address:
        # what nobody holds any more is not the page's: it is collected before it is counted
        count = "const used = () => (gc(), performance.memory.usedJSHeapSize);"
        wait = "for (let k = 0; k < 40 && used() > 100e6; k++) await new Promise((go) => setTimeout(go, 250));"
        kept = ["evaluate", f"(async () => {{ {count} {wait} return used(); }})()"]
        options = {"args": ["--js-flags=--expose-gc", "--enable-precise-memory-info"]}
        out = visit(address, [*steps, ["evaluate", found], kept], timeout=500, **options)["out"]
    assert out[4]["status"].startswith("Done: 720 windows, 2:00:00"), out[4]
    windows, loud = np.array(out[5][0]), np.array(out[5][1])
    inside = np.flatnonzero((windows[:, 0] % 60 > 9) & (windows[:, 1] % 60 > 20))  # wholly in one minute, away from its edges
    want = steps_up[(windows[inside, 0] // 60).astype(int)] * np.abs(minute).mean()
    np.testing.assert_allclose(loud[inside], want, rtol=0.05)
    assert out[6] < 100e6


def test_silence_and_short_clips_are_said(url, tmp_path):
    silent = write(tmp_path / "silent.wav", np.zeros((6 * 44100, 1)))
    short = write(tmp_path / "short.wav", tune(1))
    click = write(tmp_path / "click.wav", np.full((1, 1), 0.5))
    steps = [["open"], READY]
    for path in (silent, short, click):
        steps += [["file", str(path)], DONE, ["text", "#notice"]]
    (tmp_path / "text.mp3").write_text("this is no music " * 500)
    notice = ["evaluate", "[document.getElementById('notice').hidden, document.getElementById('notice').textContent]"]
    steps += [["file", str(silent)], DONE, ["file", str(tmp_path / "text.mp3")], ["message"], notice]
    out = visit(url, steps)["out"]
    assert out[15] == [True, ""]  # a file that cannot be heard is not said to be silent
    assert "silent" in out[4]
    assert "shorter than one window (1.00 of 4.99 s)" in out[7]
    assert all(out[k]["status"].startswith("Done: 1 window") for k in (6, 9))


def test_without_webassembly_it_says_so(url):
    answer = visit(
        url,
        [["open"], ["message"], ["evaluate", "document.getElementById('file').disabled"]],
        init="delete globalThis.WebAssembly",
    )
    assert "no WebAssembly" in answer["out"][1]["message"]
    assert answer["out"][2] is True
    assert answer["errors"] == []


def test_without_networks_it_says_how_to_make_one(tmp_path, networks, sounds):
    own = [str(networks[0] / f"samplecnn.{kind}") for kind in ("onnx", "json")]
    with serving(tmp_path) as empty:
        out = visit(empty, [["open"], ["message"], ["own", *own], ["status", ["Ready"]], ["file", str(sounds["wav"])], DONE])[
            "out"
        ]
    commands = [line for line in out[1]["message"].splitlines() if line.startswith("python")]
    assert [line.split()[1] for line in commands] == [
        "ex_maest.py",
        "ex_maest.py",
        "ex_ssl.py",
    ]  # musicnn, whose weights are there; MAEST; CLMR
    assert all(f"\n{line}\n" in (ROOT / "docs/browser.md").read_text() for line in commands)  # whole, to be pasted
    assert out[3]["message"] == ""
    assert out[5]["status"].startswith("Done")


def test_networks_that_do_not_fit_say_why_and_leave_the_one_before(networks, tmp_path, sounds):
    source = networks[0]
    for name in ("a_good", "b_other", "c_broken", "d_text", "e_mel"):
        for kind in ("onnx", "json"):
            shutil.copy(source / f"maest.{kind}", tmp_path / f"{name}.{kind}")
    about = json.loads((source / "maest.json").read_text())
    renamed = {**about, "schema": {**about["schema"], "inputs": [{**about["schema"]["inputs"][0], "name": "sound"}]}}
    mel = {**about, "schema": {**about["schema"], "inputs": [{"name": "mel", "shape": ["batch", 96, 625]}]}}
    (tmp_path / "b_other.json").write_text(json.dumps(renamed))
    (tmp_path / "c_broken.onnx").write_bytes((source / "maest.onnx").read_bytes()[:5000])
    (tmp_path / "c_broken.json").write_text(json.dumps({k: v for k, v in about.items() if k != "file"}))
    (tmp_path / "d_text.json").write_text("{")
    (tmp_path / "e_mel.json").write_text(json.dumps(mel))
    assert [one["name"] for one in server_module().models(tmp_path)] == [
        "a_good",
        "b_other",
        "c_broken",
        "e_mel",
    ]  # text is not offered
    words = {"b_other": "no input sound", "c_broken": "cannot be read", "e_mel": "spectrograms"}
    steps: list[Any] = [["open"], READY]
    for name in words:
        steps += [
            ["select", "#model", {"label": name}],
            ["status", ["That network cannot be used"]],
            ["select", "#model", {"label": "a_good"}],
            ["status", ["Ready"]],
        ]
    with serving(tmp_path) as address:
        steps += [["own", str(tmp_path / "a_good.onnx")], ["status", ["That network cannot be used"]]]
        chosen = ["evaluate", "document.querySelector('#model').selectedOptions[0].label"]
        found = visit(address, [*steps, chosen, ["text", "#model-about"], ["file", str(sounds["wav"])], DONE])
    *out, label, about, _, heard = found["out"]
    assert (label, heard["status"].startswith("Done")) == ("a_good", True)
    assert about
    for k, word in enumerate(words.values()):
        assert word in out[3 + 4 * k]["message"]
        assert out[5 + 4 * k]["message"] == ""
    assert "two files together" in out[-1]["message"]


def test_a_network_under_anothers_metadata_is_refused(networks, tmp_path, sounds):
    """Same shapes, other weights and names: nothing but the file's sha256 tells. Metadata that does not name its file is taken."""
    source, nets = networks
    other = small_maest()
    other.labels = other.labels[::-1]
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.1)
    export_model(other, tmp_path / "b_other.onnx", "onnx", blocks=[])
    for kind in ("onnx", "json"):
        shutil.copy(source / f"maest.{kind}", tmp_path / f"a_good.{kind}")
        shutil.copy(source / f"maest.{kind}", tmp_path / f"c_swapped.{kind}")
    shutil.copy(tmp_path / "b_other.onnx", tmp_path / "c_swapped.onnx")
    unnamed = json.loads((source / "maest.json").read_text())
    del unnamed["file"]
    (tmp_path / "unnamed").mkdir()
    (tmp_path / "unnamed" / "net.json").write_text(json.dumps(unnamed))
    good = tmp_path / "a_good.onnx"
    size = {name: (source / f"{name}.onnx").stat().st_size for name in nets}
    assert (tmp_path / "b_other.onnx").stat().st_size == size["maest"]
    steps: list[Any] = [["open"], READY, ["file", str(sounds["wav"])], DONE]
    for choose in (
        ["select", "#model", {"label": "c_swapped"}],
        ["own", str(good), str(tmp_path / "b_other.json")],
        ["own", str(good), str(source / "samplecnn.json")],
    ):
        steps += [choose, ["status", ["That network cannot be used"]], ["text", "#h-result"]]
    steps += [["own", str(good), str(tmp_path / "unnamed" / "net.json")], DONE, ["text", "#h-result"]]
    with serving(tmp_path) as address:
        out = visit(address, steps)["out"]
    maest, swapped = (digest_of(path) for path in (good, tmp_path / "b_other.onnx"))
    for k, words in {
        5: [
            "c_swapped.onnx does not belong to c_swapped.json",
            f"it has the sha256 {swapped}",
            f"a file with the sha256 {maest}",
        ],
        8: ["a_good.onnx does not belong to b_other.json", f"it has the sha256 {maest}", f"a file with the sha256 {swapped}"],
        11: ["samplecnn.json", f"it has {size['maest']:,} bytes", f"a file with {size['samplecnn']:,} bytes"],
    }.items():
        for word in [*words, "Take both files from one export"]:
            assert word in out[k]["message"]
        assert out[k]["status"] == "That network cannot be used. a_good is still loaded."
        assert out[k + 1] == "Heard in music.wav by the network a_good"  # what it heard stays
    assert out[14]["status"].startswith("Done")


def test_without_what_npm_installs_it_says_so(networks, tmp_path, monkeypatch):
    """The page's files without node_modules."""
    shutil.copytree(WEB, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules", "models"))
    module = server_module()
    monkeypatch.setattr("tests.web.browser.server_module", lambda: module)
    monkeypatch.setattr(module, "ROOT", tmp_path / "web")
    with serving(networks[0]) as address:
        out = visit(address, [["open"], ["message"]])["out"]
    assert "npm ci" in out[1]["message"]
