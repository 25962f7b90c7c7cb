"""The one rule of how a track is cut, and its streaming form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.windows import left_padding, plan_windows, stream_windows

LENGTHS = st.integers(1, 400)


@pytest.mark.parametrize(
    ("n", "tail", "want"),
    [
        (626, "pad", [[0, 625]]),  # a 10 s clip: its one surplus frame is no window
        (687, "pad", [[0, 625]]),  # 62 of 625 are below 10 %
        (688, "pad", [[0, 625], [625, 688]]),
        (688, "shift", [[0, 625], [63, 688]]),
        (688, "drop", [[0, 625]]),
        (626, "shift", [[0, 625], [1, 626]]),
        (100, "drop", [[0, 100]]),
        (1250, "shift", [[0, 625], [625, 1250]]),
    ],
)
def test_tails(n, tail, want):
    assert plan_windows(n, 625, tail=tail).tolist() == want


def test_half_overlap():
    assert plan_windows(30, 10, 5).tolist() == [[0, 10], [5, 15], [10, 20], [15, 25], [20, 30]]
    assert plan_windows(31, 10, 5).tolist()[-1] == [25, 31]  # one frame behind the last full window is 10 % of 10
    assert plan_windows(307, 100, 50).tolist()[-1] == [200, 300]  # 7 frames are not


@given(n=LENGTHS, length=st.integers(1, 100), half=st.booleans(), tail=st.sampled_from(["pad", "shift", "drop"]))
def test_every_track_is_seen(n, length, half, tail):
    hop = max(length // 2, 1) if half else length
    windows = plan_windows(n, length, hop, tail)
    assert len(windows) >= 1
    assert windows[0, 0] == 0
    assert (windows[:, 1] > windows[:, 0]).all()
    assert (windows[:, 1] - windows[:, 0] <= length).all()
    assert windows.max() <= n
    seen = np.zeros(n, dtype=bool)
    for start, stop in windows:
        seen[start:stop] = True
    unseen = n - seen.sum()
    assert seen[: n - unseen].all()  # only the end may be missing
    if tail == "shift":
        assert unseen == 0
    if tail == "pad":
        assert unseen < max(0.1 * length, 1)


@settings(deadline=None)
@given(data=st.data(), n=LENGTHS, length=st.integers(1, 60), half=st.booleans(), tail=st.sampled_from(["pad", "shift", "drop"]))
def test_streaming_gives_the_same_windows(data, n, length, half, tail):
    hop = max(length // 2, 1) if half else length
    whole = np.arange(2 * n, dtype=np.float32).reshape(2, n)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    blocks = [whole[:, a:b] for a, b in zip([0, *cuts], [*cuts, n])]
    got = list(stream_windows(iter(blocks), length, hop, tail, silence=-1.0))
    want = plan_windows(n, length, hop, tail)
    assert [[start, stop] for _, start, stop in got] == want.tolist()
    for window, start, stop in got:
        left = left_padding(stop - start, length)
        expected = np.full((2, length), -1.0, dtype=np.float32)
        expected[:, left : left + stop - start] = whole[:, start:stop]
        np.testing.assert_array_equal(window, expected)


def test_streaming_holds_no_more_than_it_needs():
    held = []

    def blocks():
        for i in range(200):
            held.append(i)
            yield np.zeros((1, 10), dtype=np.float32)

    for _, start, _ in stream_windows(blocks(), 20):
        assert held[-1] * 10 <= start + 40  # read just ahead of what is given out


@pytest.mark.parametrize(
    ("n", "length", "hop", "tail"), [(0, 5, 5, "pad"), (5, 0, 5, "pad"), (5, 5, 0, "pad"), (5, 5, 5, "wrap")]
)
def test_impossible_windows_are_refused(n, length, hop, tail):
    with pytest.raises(ValueError, match="got|choose"):
        plan_windows(n, length, hop, tail)


def test_an_empty_stream_is_refused():
    with pytest.raises(ValueError, match="empty"):
        list(stream_windows(iter([]), 10))
