"""The page for everyone: by keyboard, by screen reader, on a phone, in both colour schemes, with less motion."""

from __future__ import annotations

import pytest

from tests.web.browser import DONE, READY, visit

pytestmark = pytest.mark.slow


def test_it_is_accessible_in_both_schemes_and_on_a_phone(url, sounds, tmp_path):
    for width, scheme in ((360, "dark"), (1000, "light")):
        steps = [["open"], READY, ["axe"], ["file", str(sounds["wav"])], DONE, ["click", "summary"], ["axe"]]
        steps += [["evaluate", "[document.documentElement.scrollWidth, innerWidth]"]]
        out = visit(url, steps, viewport={"width": width, "height": 740}, scheme=scheme)["out"]
        assert out[2] == []
        assert out[6] == []
        assert out[7] == [width, width]


def test_labels_roles_and_names(url, sounds):
    name = "e.labels?.length ? e.labels[0].textContent : e.getAttribute('aria-label') ?? e.textContent"
    names = f"[...document.querySelectorAll('input, select, button, progress, audio')].map((e) => [e.id, {name}])"
    role = "[id, document.getElementById(id).getAttribute('role')]"
    roles = f"Object.fromEntries(['message', 'status', 'timeline', 'heat'].map((id) => {role}))"
    steps = [["open"], READY, ["file", str(sounds["wav"])], DONE, ["evaluate", names], ["evaluate", roles]]
    steps += [["attribute", *which] for which in (("#heat", "aria-label"), ("#top", "aria-live"), ("#top", "aria-busy"))]
    out = visit(url, steps)["out"]
    assert len(out[4]) >= 9
    assert all(name.strip() for _, name in out[4]), out[4]
    assert out[5] == {"message": "alert", "status": "status", "timeline": "slider", "heat": "img"}
    assert "strongest: Genre – style" in out[6]
    assert (out[7], out[8]) == ("polite", "false")


def test_everything_can_be_done_by_keyboard(url, sounds):
    """From the top: skip link, choose a network, a file, seek on the time line, open the table."""
    tab = ["press", "Tab"]
    chosen = [
        "until",
        "document.getElementById('model-about').innerText.startsWith('MusiCNN')",
    ]  # else "Ready" may be that of the first network
    steps = [
        ["open"], READY, tab, ["focused"], ["press", "Enter"], tab, ["focused"], ["press", "ArrowDown"], chosen, ["status", ["Ready"]],
        tab, ["focused"], tab, ["focused"], ["keyboardFile", str(sounds["wav"])], DONE,
        ["evaluate", "document.getElementById('timeline').focus()"], ["press", "End"],
        ["until", "document.getElementById('player').currentTime > 10"], ["press", "ArrowLeft"],
        ["until", "document.getElementById('player').currentTime < 9"], ["attribute", "#timeline", "aria-valuetext"],
        ["press", "Space"], ["until", "!document.getElementById('player').paused"], ["press", "Space"],
        ["until", "document.getElementById('player').paused"],
        tab, ["focused"], ["press", "Enter"], ["until", "document.querySelectorAll('#table tbody tr').length > 3"],
        tab, ["press", "Tab"], ["focused"], ["text", "#model-about"],
    ]  # fmt: skip
    out = visit(url, steps)["out"]
    assert out[3] == "Skip to the content"
    assert (out[6], out[11], out[13]) == ("model", "own", "file")
    assert out[27].startswith("Numbers")
    assert out[32] == "save"
    assert out[33].startswith("MusiCNN")  # the arrow key chose the second network


def test_less_motion_is_respected(url, sounds):
    """With prefers-reduced-motion the place that plays moves with the player's own few events, not with every frame."""
    counted = "const raf = requestAnimationFrame; globalThis.frames_ = 0; globalThis.requestAnimationFrame = (f) => { frames_ += 1; return raf(f) }"
    asked = {}
    for reduced in (False, True):
        steps = [["open"], READY, ["file", str(sounds["wav"])], DONE, ["wait", 500], ["evaluate", "frames_ = 0"],
                 ["evaluate", "document.getElementById('player').play()"],
                 ["until", "document.getElementById('player').currentTime > 1.5"], ["evaluate", "frames_"]]  # fmt: skip
        asked[reduced] = visit(url, steps, init=counted, reduced=reduced)["out"][-1]
    assert asked[True] <= 2 < asked[False]
