"""The page in headless Chromium, from its own server on 127.0.0.1: tags beside Python's, playback, microphone, a quick interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import audio
from models.windows import plan_windows
from tests.sound import tune, write
from tests.web.browser import DONE, READY, probabilities, serving, visit

pytestmark = pytest.mark.slow
TOLERANCE = 1e-3
LONGEST_TASK = 200  # ms


def pcm(path: Path, found: dict[str, Any]) -> np.ndarray:
    """What the browser decoded, as the debug hook kept it, mono at its rate."""
    return audio.to_mono_float(np.fromfile(path, np.float32).reshape(-1, found["channels"]))


def python_tags(net: Any, wave: np.ndarray, model: dict[str, Any], hop: int) -> tuple[np.ndarray, np.ndarray]:
    """The suite's own answer to mono samples at the network's rate: [W, 2] times and [W, L] probabilities."""
    plan = plan_windows(len(wave), model["samples"], hop, "shift")
    return plan / model["rate"], probabilities(net, np.stack([wave[a:b] for a, b in plan]))


# ---- tags
SIZES = "globalThis.batches = []; const Plain = Worker; globalThis.Worker = class extends Plain { constructor(...given) { super(...given);"
SIZES += "this.addEventListener('message', ({ data }) => data.type === 'scores' && batches.push(data.windows.length)) } }"


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in ("maest", "samplecnn") for kind in ("wav", "mp3", "m4a")] + [("musicnn", "wav")]
)
def test_tags_are_pythons(networks, url, sounds, tmp_path, name, kind, record_property):
    net = networks[1][name]
    choose = [["select", "#model", {"label": name}], ["status", ["Ready"]]] if name != "maest" else []
    steps = [
        ["open", "?debug"],
        READY,
        *choose,
        ["file", str(sounds[kind])],
        DONE,
        ["evaluate", "batches"],
        ["debug", str(tmp_path / "pcm")],
        ["text", "#top"],
    ]
    answer = visit(url, steps, init=SIZES)
    assert answer["foreign"] == []
    assert answer["errors"] == []
    sizes, found, shown = answer["out"][-3:]
    assert sizes[0] == 1  # the first tags wait for one window only
    assert sum(sizes) == len(found["windows"])
    model, scores = found["model"], np.array(found["scores"], np.float32)
    assert (model["rate"], model["classes"]) == (net.sample_rate, [label.replace("---", " – ") for label in net.label_names])
    assert found["rate"] == 44100  # decoded at the file's own rate: resampled once, by the page
    heard = pcm(tmp_path / "pcm", found)
    hop = (model["samples"] + 1) // 2
    times, wanted = python_tags(net, audio.resample(heard, 44100, net.sample_rate), model, hop)
    np.testing.assert_allclose(found["windows"], times, atol=1e-6)
    assert np.abs(wanted[0] - wanted[-1]).max() > 20 * TOLERANCE  # windows differ: a mixed-up one would be seen
    difference = float(np.abs(scores - wanted).max())
    assert difference < TOLERANCE
    best = net.label_names[int(np.argmax(found["mean"]))].replace("---", " – ")
    assert shown.startswith(best)
    # stated apart: Python's own decoding and resampling of the file
    own = audio.load(sounds[kind], net.sample_rate)
    plan = [(round(a * net.sample_rate), round(b * net.sample_rate)) for a, b in found["windows"]]
    pairs = [(scores[k], own[a:b]) for k, (a, b) in enumerate(plan) if b <= len(own)]
    assert len(pairs) >= len(plan) - 1
    apart = float(np.abs(np.stack([s for s, _ in pairs]) - probabilities(net, np.stack([w for _, w in pairs]))).max())
    print(f"{name} {kind}: page - Python on the same PCM {difference:.1e}; on Python's own decoding {apart:.1e}")
    record_property("same_pcm", difference)
    record_property("own_decoding", apart)
    assert apart < {"wav": TOLERANCE, "mp3": 0.01, "m4a": 0.1}[kind]


def test_without_the_servers_headers_it_runs_on_one_thread(networks, sounds):
    with serving(networks[0], isolated=False) as plain:
        answer = visit(
            plain,
            [["open"], READY, ["text", "#model-about"], ["evaluate", "crossOriginIsolated"], ["file", str(sounds["wav"])], DONE],
        )
    assert answer["out"][2].endswith("Computing with 1 thread.")
    assert answer["out"][3] is False
    assert answer["out"][-1]["status"].startswith("Done")


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_pieces_join_without_a_seam(url, sounds, tmp_path, kind):
    """Files too long to decode as a whole are decoded in pieces: the same samples, to the step of 16 bits that a browser's decoder may round to."""
    decoded = []
    for k, query in enumerate(("?debug", "?debug&piece=2.7")):
        out = visit(url, [["open", query], READY, ["file", str(sounds[kind])], DONE, ["debug", str(tmp_path / str(k))]])["out"]
        decoded.append(np.fromfile(tmp_path / str(k), np.float32).reshape(-1, out[-1]["channels"]))
    whole, joined = decoded
    assert 0 <= len(joined) - len(whole) < 3 * 1152  # an mp3's padding at its end is cut by whole decoding only
    assert np.abs(joined[: len(whole)] - whole).max() <= (0 if kind == "wav" else 1.01 / 32768)


# ---- the interface while it works
def test_no_long_task_on_the_main_thread(url, tmp_path):
    """The issue's bound, on the best of three visits: another program may have had the processor."""
    path = write(tmp_path / "long.mp3", np.tile(tune(5, 44100, 2), (24, 1)))
    longest = []
    for _ in range(3):
        answer = visit(url, [["open"], READY, ["file", str(path)], DONE, ["longTasks"]])
        assert answer["out"][-2]["status"].startswith("Done")
        longest.append(max(answer["out"][-1], default=0))
        if longest[-1] <= LONGEST_TASK:
            break
    print(f"longest main-thread task {min(longest)} ms")
    assert min(longest) <= LONGEST_TASK


def test_tags_follow_the_playback(url, sounds):
    steps = [
        ["open"], READY, ["file", str(sounds["wav"])], DONE,
        ["evaluate", "document.getElementById('player').play()"],
        ["until", "parseFloat(document.getElementById('head').style.left) > 8"],
        ["evaluate", "document.getElementById('player').pause()"],
        ["evaluate", "(() => { const p = document.getElementById('player'), h = document.getElementById('head').style.left;"
                     " return [100 * p.currentTime / 12.4, parseFloat(h)] })()"],
        ["text", "#now"],
        ["evaluate", "document.getElementById('player').currentTime = 11"],
        ["until", "document.getElementById('now').textContent.startsWith('At 0:11')"],
        ["attribute", "#timeline", "aria-valuetext"],
    ]  # fmt: skip
    out = visit(url, steps)["out"]
    assert out[7][1] == pytest.approx(out[7][0], abs=5)
    assert out[8].startswith("At 0:0")
    assert out[11] == "0:11 of 0:12"


def test_one_window_is_one_window_and_times_stay_on_one_line(url, tmp_path):
    """The last time of the axis has little room to its right."""
    brief, long = write(tmp_path / "brief.wav", tune(0.5, 8000, 1), 8000), write(tmp_path / "long.wav", tune(25, 8000, 1), 8000)
    heights = "[...document.querySelectorAll('#axis span')].map((tick) => tick.getBoundingClientRect().height)"
    whole = "document.getElementById('timeline').getAttribute('aria-valuemax') === '25'"
    steps = [["open"], READY, ["file", str(brief)], DONE, ["file", str(long)], ["until", whole], ["evaluate", heights]]
    out = visit(url, steps, viewport={"width": 1200, "height": 900})["out"]
    assert out[3]["status"].startswith("Done: 1 window, ")
    assert len(out[6]) > 5
    assert len(set(out[6])) == 1


def test_it_can_be_stopped_and_used_again(url, sounds, tmp_path):
    long = write(tmp_path / "long.wav", np.tile(tune(60, 8000, 1), (20, 1)), 8000)
    steps = [
        ["open"],
        READY,
        ["file", str(long)],
        ["until", "!document.getElementById('result').hidden"],
        ["click", "#stop"],
        DONE,
    ]
    out = visit(url, [*steps, ["text", "#notice"], ["file", str(sounds["wav"])], DONE, ["text", "#name"]])["out"]
    assert out[5]["status"] == "Stopped."
    assert "before its end" in out[6]
    assert out[8]["status"].startswith("Done")
    assert out[9] == "music.wav"


def test_the_csv_file_holds_every_window(url, sounds, tmp_path, networks):
    steps = [
        ["open", "?debug"],
        READY,
        ["file", str(sounds["wav"])],
        DONE,
        ["download", "#save", str(tmp_path / "tags.csv")],
        ["debug", ""],
    ]
    out = visit(url, steps)["out"]
    assert out[4] == "music.maest.tags.csv"
    lines = (tmp_path / "tags.csv").read_text().splitlines()
    assert lines[0].split(",")[2] == "Genre – style 0"
    table = np.array([list(map(float, line.split(","))) for line in lines[1:]])
    np.testing.assert_allclose(table[:, 2:], out[5]["scores"], atol=1e-5)


# ---- another network or step for what is shown
def test_another_network_or_step_hears_the_recording_again(networks, url, sounds, tmp_path):
    steps = [
        ["open", "?debug"], READY, ["file", str(sounds["wav"])], DONE, ["text", "#h-result"],
        ["evaluate", "document.getElementById('player').currentTime = 5"], ["click", "summary"],
        ["select", "#model", {"label": "samplecnn"}], DONE, ["text", "#h-result"], ["debug", str(tmp_path / "pcm")],
        ["download", "#save", str(tmp_path / "tags.csv")], ["select", "#hop", "1"], DONE, ["debug", ""],
        ["evaluate", "document.getElementById('player').currentTime"], ["text", "#table tbody tr:nth-child(2) th"],
    ]  # fmt: skip
    answer = visit(url, steps)
    out = answer["out"]
    assert answer["errors"] == []
    assert out[4] == "Heard in music.wav by the network maest"
    assert out[9] == "Heard in music.wav by the network samplecnn"
    assert out[11] == "music.samplecnn.tags.csv"
    assert (tmp_path / "tags.csv").read_text().startswith("start_s,stop_s,tag 0,")
    net, half, whole = networks[1]["samplecnn"], out[10], out[14]
    wave = audio.resample(pcm(tmp_path / "pcm", half), 44100, net.sample_rate)
    for found, hop in ((half, (net.window_length + 1) // 2), (whole, net.window_length)):
        times, wanted = python_tags(net, wave, found["model"], hop)
        np.testing.assert_allclose(found["windows"], times, atol=1e-6)
        assert np.abs(np.array(found["scores"]) - wanted).max() < TOLERANCE
    assert out[15] == pytest.approx(5)  # the place that plays stays
    assert out[16] == "0:02.7–0:05.4"  # so does the table; windows of 2.68 s in tenths


def test_of_networks_chosen_in_quick_succession_the_last_counts(url, sounds):
    """As the arrow keys choose them; the first two are given up while they load."""
    change = "s.value = [...s.options].find((o) => o.label === name).value; s.dispatchEvent(new Event('change'))"
    quickly = f"(() => {{ const s = document.getElementById('model'); for (const name of NAMES) {{ {change} }} }})()"
    steps: list[Any] = [["open", "?debug=results"], READY, ["file", str(sounds["wav"])], DONE]
    for names in (["samplecnn", "maest", "samplecnn"], ["maest", "samplecnn", "maest"]):
        steps += [["evaluate", quickly.replace("NAMES", str(names))], DONE, ["text", "#network"], ["debug", ""]]
    answer = visit(url, steps)
    assert answer["errors"] == []
    assert [answer["out"][k] for k in (6, 10)] == ["samplecnn", "maest"]
    assert [answer["out"][k]["model"]["classes"][0] for k in (7, 11)] == ["tag 0", "Genre – style 0"]
    assert [len(answer["out"][k]["scores"][0]) for k in (7, 11)] == [10, 12]


def test_the_same_file_can_be_chosen_twice(url, sounds):
    """A browser says nothing of a choice that changes nothing: what was chosen is forgotten when the chooser opens."""
    forgotten = (
        "(() => { const e = document.getElementById('ID'); const was = e.value; e.click(); return [was !== '', e.value] })()"
    )
    chosen = [["file", str(sounds["wav"])], DONE]
    steps = [["open"], READY, *chosen, ["evaluate", forgotten.replace("ID", "file")], *chosen]
    steps += [["own", str(sounds["wav"])], ["message"], ["evaluate", forgotten.replace("ID", "own")]]
    out = visit(url, steps)["out"]
    assert out[4] == out[9] == [True, ""]
    assert out[6]["status"].startswith("Done")


def test_a_file_that_is_no_longer_there_must_be_given_again(url, sounds, tmp_path):
    path = tmp_path / "music.wav"
    path.write_bytes(sounds["wav"].read_bytes())
    steps = [["open"], READY, ["file", str(path)], DONE, ["select", "#hop", "1"], DONE]
    gone = [["evaluate", "document.getElementById('result').hidden"], ["evaluate", "document.getElementById('save').disabled"]]
    init = "const read = Blob.prototype.arrayBuffer; globalThis.gone = false; Blob.prototype.arrayBuffer = function () {"
    init += " return globalThis.gone ? Promise.reject(new DOMException('It changed.', 'NotReadableError')) : read.call(this) }"
    steps += [["evaluate", "gone = true"], ["select", "#model", {"label": "samplecnn"}], ["message"], *gone]
    steps += [["evaluate", "gone = false; document.getElementById('file').click()"], ["file", str(path)], DONE]
    out = visit(url, steps, init=init)["out"]
    assert "music.wav cannot be read: give the file again" in out[8]["message"]
    assert out[9:11] == [True, True]
    assert out[13]["status"].startswith("Done"), out[13]


# ---- microphone
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def test_the_microphone_is_heard(networks, url, sounds, tmp_path):
    flags = [*MICROPHONE, f"--use-file-for-fake-audio-capture={sounds['wav']}"]
    steps = [
        ["open", "?debug"], READY, ["select", "#model", {"label": "samplecnn"}], ["status", ["Ready"]], ["click", "#listen"],
        ["until", "(globalThis.maestDebug.result?.windows.length ?? 0) >= 3"], ["click", "#stop"], DONE, ["debug", str(tmp_path / "pcm")],
    ]  # fmt: skip
    found = visit(url, steps, args=flags, permissions=["microphone"])["out"][-1]
    net = networks[1]["samplecnn"]
    wave = audio.resample(pcm(tmp_path / "pcm", found), found["rate"], net.sample_rate)
    assert np.abs(wave).max() > 0.05
    spans = np.round(np.array(found["windows"]) * net.sample_rate).astype(int)
    want = probabilities(net, np.stack([wave[a:b] for a, b in spans]))
    assert np.abs(np.array(found["scores"]) - want).max() < TOLERANCE


def test_the_microphones_sound_is_not_kept_and_that_is_said(url, sounds):
    flags = [*MICROPHONE, f"--use-file-for-fake-audio-capture={sounds['wav']}"]
    hidden = ["evaluate", "[document.getElementById('result').hidden, document.getElementById('save').disabled]"]
    steps = [
        ["open", "?debug=results"], READY, ["click", "#listen"],
        ["until", "(globalThis.maestDebug.result?.windows.length ?? 0) >= 1"], ["attribute", "#hop", "disabled"],
        ["click", "#stop"], DONE, ["select", "#hop", "1"], ["text", "#status"], hidden,
        ["select", "#model", {"label": "samplecnn"}], READY, hidden,
    ]  # fmt: skip
    out = visit(url, steps, args=flags, permissions=["microphone"])["out"]
    assert out[4] is not None
    assert "not kept" in out[8]
    assert out[9] == [False, False]  # that network's tags stay
    assert "listen again" in out[11]["status"]
    assert out[12] == [True, True]


def test_a_refused_microphone_is_said(url):
    out = visit(
        url, [["open"], READY, ["click", "#listen"], ["message"], ["evaluate", "document.getElementById('listen').disabled"]]
    )["out"]
    assert "refused" in out[3]["message"] or "no microphone" in out[3]["message"]
    assert out[4] is False
